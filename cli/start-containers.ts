import { access } from 'node:fs/promises';
import { normalize } from 'node:path';
import type { AgentMachine } from '../agent/agent.ts';
import type { Found, MachineReading } from '../agent/machine-watch.ts';
import { EngineError, type EngineVersion } from '../io/containers.ts';
import { type FoundEngine, LateEngine } from '../io/late-engine.ts';
import type { Log } from '../io/log.ts';
import { dockerSocket } from '../io/node/docker-socket.ts';
import { type Attribute, mergeAttributes } from '../protocol/attributes.ts';
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

/** How long others wait for an engine that does not answer. */
const LOOK_MS = 10_000;

/** Waits for it, but not for an engine that hangs: whoever listens hears of one that answers later. */
async function soon(look: Promise<void>, waitMs = LOOK_MS): Promise<void> {
  let late: NodeJS.Timeout | undefined;
  const patience = new Promise<void>((resolve) => {
    late = setTimeout(resolve, waitMs);
  });
  await Promise.race([look, patience]);
  clearTimeout(late);
}

/**
 * The engine of this machine, looked for once, and for `waitMs` at most (default ten seconds): it may come later. Undefined
 * where none is wanted.
 */
export async function engineOf(
  { containers: wanted }: ContainerOptions,
  log: Log,
  waitMs?: number,
): Promise<LateEngine | undefined> {
  if (wanted === 'none') return undefined;
  const engine = new LateEngine({
    find: (socket = wanted) => findEngine(socket === undefined ? usualSockets() : [socket]),
    isThere,
    log,
  });
  await soon(engine.look(), waitMs);
  if (!engine.there && wanted !== undefined)
    log.warn('no container engine answers: it is looked for again and again', { at: wanted });
  return engine;
}

/** The first engine that answers; default: at the usual sockets. */
export async function findEngine(sockets: readonly string[] = usualSockets()): Promise<FoundEngine | undefined> {
  for (const socket of sockets) {
    if (!(await isThere(socket))) continue;
    const containers = dockerSocket(socket);
    try {
      return { ...(await containers.version()), containers, socket };
    } catch (error) {
      if (!(error instanceof EngineError)) throw error;
    }
  }
  return undefined;
}

/** A machine on which an engine may come and go. */
export function withEngine(machine: AgentMachine, engine: LateEngine | undefined): AgentMachine {
  const { found, probe, sample, reading } = machine;
  if (engine === undefined) return machine;
  // What a person said stands.
  const seen = <Seen extends Found>(one: Seen): Seen => ({
    ...one,
    attributes:
      engine.found === undefined ? one.attributes : mergeAttributes([engineAttribute(engine.found)], one.attributes),
  });
  const read = (one: MachineReading): MachineReading => ({ ...one, engine: engine.found?.engine ?? 'none' });
  return {
    ...machine,
    found: seen(found),
    reading: read(reading ?? {}),
    ...(probe === undefined ? {} : { probe: async () => seen(await probe()) }),
    sample: async () => {
      await soon(engine.look());
      return read((await sample?.()) ?? {});
    },
  };
}

/** Bytes. Faults: BAD_USAGE. */
export function imageCacheBytes({ imageCache = '4G' }: ContainerOptions): number | Fault {
  const thousandths = sizeToMb(imageCache);
  if (thousandths instanceof Fault)
    return new Fault('BAD_USAGE', `--image-cache: ${thousandths.message}`, thousandths.hint);
  return (thousandths / 1_000) * 1_048_576;
}

/** What agents say of it. */
function engineAttribute({ engine }: EngineVersion): Attribute {
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
