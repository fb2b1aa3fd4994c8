import { access } from 'node:fs/promises';
import { normalize } from 'node:path';
import { type ContainerEngine, EngineError, type EngineVersion } from '../io/containers.ts';
import { dockerSocket } from '../io/node/docker-socket.ts';
import type { Attribute } from '../protocol/attributes.ts';
import { CONTAINERS_ATTRIBUTE } from '../protocol/container.ts';
import { Fault } from '../protocol/faults.ts';
import { sizeToMb } from '../protocol/size.ts';

/** Where an engine is, and what its containers may see of the machine. */
export interface ContainerOptions {
  /** Path of a unix socket, or `none`. Default: looked for where they usually are. */
  readonly containers?: string;
  /** Absolute paths: what containers may be given, with all below it. Default none. */
  readonly allowMounts?: readonly string[];
  /** `4G`: what images that the agent fetched may take together. Default 4 GB. */
  readonly imageCache?: string;
}

export interface FoundEngine extends EngineVersion {
  readonly containers: ContainerEngine;
  readonly socket: string;
}

/** The engine of this machine; undefined where none was found. A fault where the one that was named does not answer. */
export async function findEngine({ containers: wanted }: ContainerOptions): Promise<FoundEngine | undefined | Fault> {
  if (wanted === 'none') return undefined;
  for (const socket of wanted === undefined ? usualSockets() : [wanted]) {
    if (wanted === undefined && !(await isThere(socket))) continue;
    const containers = dockerSocket(socket);
    try {
      return { ...(await containers.version()), containers, socket };
    } catch (error) {
      if (!(error instanceof EngineError)) throw error;
      if (wanted !== undefined)
        return new Fault(
          'UNSUPPORTED',
          `--containers ${wanted}: ${error.message}`,
          'Start the engine first: systemctl enable --now podman.socket, or docker.socket.',
        );
    }
  }
  return undefined;
}

/** Bytes. Faults: BAD_USAGE. */
export function imageCacheBytes({ imageCache = '4G' }: ContainerOptions): number | Fault {
  const thousandths = sizeToMb(imageCache);
  if (thousandths instanceof Fault)
    return new Fault('BAD_USAGE', `--image-cache: ${thousandths.message}`, thousandths.hint);
  return (thousandths / 1_000) * 1_048_576;
}

/** What agents say of it. */
export function engineAttribute({ engine }: EngineVersion): Attribute {
  return { name: CONTAINERS_ATTRIBUTE, text: engine };
}

/** The paths, each ending without a slash. Faults: BAD_USAGE. */
export function allowedMounts({ allowMounts = [] }: ContainerOptions): string[] | Fault {
  const wrong = allowMounts.find((path) => !path.startsWith('/'));
  if (wrong !== undefined)
    return new Fault('BAD_USAGE', `--allow-mounts: ${JSON.stringify(wrong)} is no absolute path`);
  return allowMounts.map((path) => normalize(path).replace(/\/+$/, ''));
}

function usualSockets(): string[] {
  const { DOCKER_HOST = '', XDG_RUNTIME_DIR } = process.env;
  return [
    ...(DOCKER_HOST.startsWith('unix://') ? [DOCKER_HOST.slice('unix://'.length)] : []),
    '/run/podman/podman.sock',
    '/var/run/docker.sock',
    ...(XDG_RUNTIME_DIR === undefined ? [] : [`${XDG_RUNTIME_DIR}/podman/podman.sock`]),
  ];
}

function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
