import { type Agent, startAgent } from '../agent/agent.ts';
import type { Launcher, TaskStarted } from '../io/launcher.ts';
import type { Log } from '../io/log.ts';
import { systemClock } from '../io/node/clock.ts';
import { connectMqttBus } from '../io/node/mqtt-bus.ts';
import { systemRandom } from '../io/node/random.ts';
import { Fault } from '../protocol/faults.ts';
import { TIMES } from '../protocol/limits.ts';
import { parseResources } from '../protocol/resources.ts';
import { memoryStorage } from './memory-storage.ts';

/** How a memory agent reaches its masters. */
export interface Way {
  readonly urls: readonly string[];
  /** Needs `mqtts:` beyond loopback. */
  readonly password?: string;
  /** PEM. */
  readonly ca?: string;
  readonly certificate?: string;
  readonly key?: string;
}

/** What happened to one agent, for whoever counts. */
export interface MemoryAgentListener {
  /** Registered or resumed. */
  readonly established: () => void;
  /** A task has been started. */
  readonly started: () => void;
  /** An attempt to connect has failed, or a connection has ended. */
  readonly failed: () => void;
}

/**
 * An agent as it is shipped, on a real connection, but with its data folder and its tasks in memory, so that a process
 * holds thousands. A task of it runs until it is killed.
 */
export async function startMemoryAgent(
  name: string,
  { urls, ...credentials }: Way,
  listener: MemoryAgentListener,
): Promise<Agent> {
  const resources = parseResources('cpus:1;mem:1024');
  if (resources instanceof Fault) throw resources;
  const agent = await startAgent({
    name,
    prefix: 'mesq',
    urls,
    identity: { machine: `machine-${name}`, serial: '' },
    boot: 'boot',
    hostname: name,
    metered: false,
    machine: { found: { resources, attributes: [], devices: [] } },
    connect: (_agent, will) => {
      const bus = connectMqttBus({
        urls,
        clientId: `${name}~bench`,
        username: name,
        ...credentials,
        backOffCapMs: TIMES.reconnectMs,
        will,
        clock: systemClock,
        random: systemRandom,
        log: counting(listener.failed),
      });
      const worked = bus.worked.bind(bus);
      // A session that stands is what an agent says of its connection.
      bus.worked = () => {
        worked();
        listener.established();
      };
      return bus;
    },
    storage: memoryStorage(),
    launcher: memoryLauncher(listener.started),
    lines: { pathFrom: () => '', onConnection: () => undefined, close: () => Promise.resolve() },
    prober: { probe: () => Promise.resolve({ trouble: 'nothing is probed' }), stop: () => undefined },
    output: () => ({
      size: () => Promise.resolve(0),
      read: () => Promise.resolve(undefined),
      cut: () => Promise.resolve(false),
      watch: () => () => undefined,
    }),
    sandboxes: { open: () => Promise.resolve('missing') },
    pathOf: (folder) => folder,
    volumes: { root: '', make: () => Promise.resolve(), remove: () => Promise.resolve() },
    clock: systemClock,
    random: systemRandom,
    log: SILENT,
    onFailed: (fault) => {
      throw fault;
    },
  });
  if (agent instanceof Fault) throw agent;
  return agent;
}

const SILENT: Log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

/** The log of a bus: what it says at `warn` or repeats at `debug` is a connection that came to nothing, or ended. */
function counting(failed: () => void): Log {
  const count = (event: string): void => {
    if (event === 'bus_unreachable' || event === 'bus_disconnected') failed();
  };
  return { ...SILENT, warn: count, debug: count };
}

function memoryLauncher(startedOne: () => void): Launcher {
  const running = new Map<string, number>();
  const listeners: ((started: TaskStarted) => void)[] = [];
  const done = (): Promise<void> => Promise.resolve();
  return {
    launch: ({ folder }) => {
      const pid = 2 + running.size;
      running.set(folder, pid);
      startedOne();
      setImmediate(() => {
        for (const tell of listeners) tell({ folder, pid });
      });
      return Promise.resolve();
    },
    isolation: { cgroups: 'none', cpu: false, memory: 'process', processes: 'none', user: undefined, notes: [] },
    resend: done,
    usage: () => Promise.resolve(undefined),
    onStarted: (listener) => void listeners.push(listener),
    onExit: () => undefined,
    onRestarted: () => undefined,
    limit: () => Promise.resolve('absent'),
    signal: (folder) => Promise.resolve(running.has(folder)),
    sweep: done,
    adopt: (folder) => {
      const pid = running.get(folder);
      return Promise.resolve(pid === undefined ? { state: 'missing' } : { state: 'running', pid, supervised: true });
    },
    claim: () => Promise.resolve(false),
    folders: () => Promise.resolve([...running.keys()]),
    remove: done,
    close: done,
    stop: done,
  };
}
