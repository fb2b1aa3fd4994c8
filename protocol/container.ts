import * as v from 'valibot';
import { Id } from './ids.ts';
import { LIMITS } from './limits.ts';

const Port = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535));

/** Absolute, and nothing in it that leads elsewhere: no empty, `.` or `..` part, no NUL, comma or colon. */
const AbsolutePath = v.pipe(
  v.string(),
  v.maxLength(LIMITS.pathLength),
  v.regex(/^(\/[^/\0:,]+)+$/, 'a path is absolute, like /srv/data, without a comma or a colon'),
  v.check((path) => !path.split('/').some((part) => part === '.' || part === '..'), 'a path has no . and no .. in it'),
);

/** One folder or file of the agent's machine, or one of the task's persistent volumes, and where the container sees it. */
const ContainerVolume = v.pipe(
  v.object({
    /** Of the machine: only what its operator allows (`mesq agent --allow-mounts`). */
    host: v.optional(AbsolutePath),
    /** A persistent volume in the task's resources. */
    volume: v.optional(Id),
    path: AbsolutePath,
    readOnly: v.optional(v.boolean(), false),
  }),
  v.check(
    ({ host, volume }) => (host === undefined) !== (volume === undefined),
    'it names host or volume, one of them',
  ),
);

export const PULL_POLICIES = ['never', 'missing', 'always'] as const;
export const CONTAINER_NETWORKS = ['bridge', 'host', 'none'] as const;

/**
 * In what a task runs (docs/containers.md). Its program is the task's `argv`, in place of the image's command; where that
 * is empty, the image's own. It is never privileged.
 */
export const ContainerInfo = v.object({
  /** As its engine takes it: `docker.io/library/busybox:1.37`, or with a digest. */
  image: v.pipe(
    v.string(),
    v.maxLength(LIMITS.imageLength),
    v.regex(/^[A-Za-z0-9][A-Za-z0-9._:/@+-]*$/, 'an image is written like docker.io/library/busybox:1.37'),
  ),
  /** `missing`: pulled where the agent does not have it. */
  pull: v.optional(v.picklist(PULL_POLICIES), 'missing'),
  /** Default the image's. */
  workdir: v.optional(AbsolutePath),
  /** A name or number known in the image, and a group behind a colon. Default the image's. */
  user: v.optional(
    v.pipe(
      v.string(),
      v.regex(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}(:[A-Za-z0-9_.-]{1,64})?$/, 'a user is a name or a number'),
    ),
  ),
  network: v.optional(v.picklist(CONTAINER_NETWORKS), 'bridge'),
  /** Only on a bridge. `host` is one of the task's ports; default the one at the same place in their order. */
  ports: v.optional(
    v.pipe(v.array(v.object({ container: Port, host: v.optional(Port) })), v.maxLength(LIMITS.containerPorts)),
    [],
  ),
  volumes: v.optional(v.pipe(v.array(ContainerVolume), v.maxLength(LIMITS.containerVolumes)), []),
});
export type ContainerInfo = v.InferOutput<typeof ContainerInfo>;

/** Agents that have an engine say so in this attribute: `docker` or `podman`. */
export const CONTAINERS_ATTRIBUTE = 'containers';
