import * as v from 'valibot';
import { LIMITS } from './limits.ts';
import { SandboxPath } from './sandbox-path.ts';

/** As `sha256sum` prints it. */
export const Sha256 = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/, 'a checksum is 64 hexadecimal digits of SHA-256'));

/**
 * Where an artifact's bytes are: on a web server, or with the masters, who hold an uploaded file under the SHA-256 of
 * its list of blocks (docs/artifacts.md).
 */
const ArtifactUri = v.pipe(
  v.string(),
  v.maxLength(LIMITS.artifactUriLength),
  v.regex(
    /^(https?:\/\/[^\s/]+(\/\S*)?|blob:[0-9a-f]{64})$/,
    'an artifact is http://, https:// or blob: and a SHA-256, without spaces',
  ),
);

/** Agents that fetch what tasks need say so in this attribute: `yes`. One without it would start a task without its files. */
export const ARTIFACTS_ATTRIBUTE = 'artifacts';

/** One thing that is in the task's sandbox before it starts (Mesos: CommandInfo.URI). */
export const Artifact = v.object({
  uri: ArtifactUri,
  /** The file's name below the sandbox; default the last part of the URI's path. Of an archive: the folder it is unpacked in, default the sandbox itself. */
  path: v.optional(SandboxPath),
  /** Unpacked instead of kept: a tar, also compressed with gzip, or a zip. Default false. */
  extract: v.optional(v.boolean(), false),
  executable: v.optional(v.boolean(), false),
  /** Kept by the agent for other tasks. Default: where `sha256` is given, or the masters hold it. */
  cache: v.optional(v.boolean()),
  /** Of the file as it is fetched; another content is a failure. */
  sha256: v.optional(Sha256),
});
export type Artifact = v.InferOutput<typeof Artifact>;

export const Artifacts = v.pipe(v.array(Artifact), v.maxLength(LIMITS.artifactsPerTask));
