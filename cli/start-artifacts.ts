import { join } from 'node:path';
import type { ArtifactOptions } from '../agent/run-artifacts.ts';
import type { ArtifactSource } from '../io/artifact-source.ts';
import { runningSha256, systemDigest } from '../io/node/digest.ts';
import { sandboxFiller } from '../io/node/sandbox-filler.ts';
import { fileStorage } from '../io/node/storage.ts';
import type { SystemUser } from '../io/node/users.ts';
import { Fault } from '../protocol/faults.ts';
import { sizeToMb } from '../protocol/size.ts';

const MB = 1_048_576;

export interface ArtifactWishes {
  /** `2G`: the most that is kept of what tasks have fetched. Default a tenth of the disk, at most 2 GB. */
  readonly artifactCache?: string;
}

/** What reads over HTTP is loaded with the first artifact: most agents never need it. */
function webSource(): ArtifactSource {
  return {
    takes: (uri) => /^https?:/.test(uri),
    read: async (...what) => (await import('../io/node/http-source.ts')).httpSource().read(...what),
  };
}

/** With what an agent fetches artifacts, into `<data>/artifacts`. A fault where the size cannot be read. */
export function artifactsOf(
  { artifactCache }: ArtifactWishes,
  data: string,
  user: SystemUser | undefined,
): ArtifactOptions | Fault {
  const size = artifactCache === undefined ? undefined : sizeToMb(artifactCache);
  if (size instanceof Fault) return new Fault('BAD_USAGE', `--artifact-cache: ${size.message}`, size.hint);
  const files = join(data, 'artifacts');
  return {
    sources: [webSource()],
    storage: fileStorage(files),
    filler: sandboxFiller({ files, tasks: join(data, 'tasks'), user }),
    digest: systemDigest,
    runningDigest: runningSha256,
    ...(size === undefined ? {} : { cacheBytes: Math.floor((size / 1_000) * MB) }),
  };
}
