import { join, resolve } from 'node:path';
import { adapterNamed } from '../firmware-adapters/catalog.ts';
import { deviceFiles } from '../io/node/device-files.ts';
import { makeFolders } from '../io/node/make-folders.ts';
import { Fault } from '../protocol/faults.ts';
import { formatResources } from '../protocol/resources.ts';
import { shareResources } from './share-resources.ts';
import { Part } from './start-part.ts';
import type { Terminal } from './terminal.ts';

export interface StartUpOptions {
  /** How many. */
  readonly agents: number;
  /** Folder of everything: `m1`, `a1`, `a2`, …, `log`. */
  readonly data: string;
  /** Of the broker on 127.0.0.1; 0 takes a free one. */
  readonly port: number;
  /** Of MQTT over WebSocket on 127.0.0.1; 0 takes a free one. */
  readonly http: number;
  readonly prefix: string;
  /** The script that is `mesq`. */
  readonly script: string;
  /** Something that people should know: a part that died, say. */
  readonly onNote: (text: string) => void;
}

export interface RunningCluster {
  /** Of the broker. */
  readonly url: string;
  /** Of MQTT over WebSocket. */
  readonly webSocketUrl: string | undefined;
  /** By name: `m1`, `a1`, …; undefined while a part is down. */
  pids(): Readonly<Record<string, number | undefined>>;
  stop(): Promise<void>;
}

/** Until the agents have joined; after it, whoever is late joins later. */
const JOIN_MS = 30_000;
const JOIN_POLL_MS = 100;

/** Starts a cluster on this machine, each part a process of its own, and waits until its agents have joined. */
export async function startUp(options: StartUpOptions, terminal: Terminal): Promise<RunningCluster | Fault> {
  const data = resolve(options.data);
  try {
    await makeFolders(data);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return new Fault('DISK', `the data folder ${data} cannot be made: ${why}`, 'Pass a --data that you may write to.');
  }
  const adapter = await adapterNamed('linux', { files: deviceFiles('/'), dataFolder: data });
  if (adapter === undefined) return new Fault('UNSUPPORTED', 'there is no adapter for this machine');
  const shares = shareResources((await adapter.probe()).resources, options.agents);
  const parts = new Map<string, Part>();
  const stop = async (): Promise<void> => {
    const [master, ...agents] = parts.values();
    await Promise.all(agents.map((part) => part.stop()));
    await master?.stop();
  };
  const master = await startMasterPart(options, data, parts);
  if (master instanceof Fault) return master;
  const { url, webSocketUrl } = master;
  for (const [at, share] of shares.entries()) {
    const name = `a${at + 1}`;
    const folder = join(data, name);
    const argv = [options.script, 'agent', '--master', url, '--data', folder, '--name', name];
    const more = ['--resources', formatResources(share), '--prefix', options.prefix];
    parts.set(
      name,
      new Part({
        name,
        argv: () => [...argv, ...more],
        logFile: join(data, 'log', `${name}.log`),
        onDeath: options.onNote,
      }),
    );
  }
  const deaths = [...parts.values()].map((part) => part.diedAtStart);
  const problem = await Promise.race([joined(terminal, url, options), ...deaths]);
  if (problem instanceof Fault && problem.code !== 'TIMED_OUT') {
    await stop();
    return problem;
  }
  if (problem instanceof Fault) options.onNote(problem.message);
  for (const part of parts.values()) part.ready();
  const pids = (): Record<string, number | undefined> =>
    Object.fromEntries([...parts].map(([name, { pid }]) => [name, pid]));
  return { url, webSocketUrl, pids, stop };
}

/** The first start finds the ports; every later one takes the same. */
async function startMasterPart(
  { port, http, prefix, script, onNote }: StartUpOptions,
  data: string,
  parts: Map<string, Part>,
): Promise<{ url: string; webSocketUrl: string | undefined } | Fault> {
  let url = `mqtt://127.0.0.1:${port}`;
  let webSocketUrl: string | undefined;
  let listening: () => void = () => {};
  const ready = new Promise<undefined>((done) => {
    listening = () => done(undefined);
  });
  const part = new Part({
    name: 'm1',
    logFile: join(data, 'log', 'm1.log'),
    argv: () => {
      const at = webSocketUrl === undefined ? `127.0.0.1:${http}` : new URL(webSocketUrl).host;
      return [
        script,
        'master',
        '--id',
        'm1',
        '--data',
        join(data, 'm1'),
        '--listen',
        url,
        '--http',
        at,
        '--prefix',
        prefix,
      ];
    },
    onLine: (line) => {
      const found = /^listening (\S+)$/.exec(line)?.[1];
      if (found?.startsWith('mqtt://')) url = found;
      if (found?.startsWith('ws://')) webSocketUrl = found;
      if (webSocketUrl !== undefined) listening();
    },
    onDeath: onNote,
  });
  parts.set('m1', part);
  const fault = await Promise.race([ready, part.diedAtStart]);
  return fault ?? { url, webSocketUrl };
}

async function joined(terminal: Terminal, url: string, { agents, prefix }: StartUpOptions): Promise<Fault | undefined> {
  const { clock } = terminal;
  const until = clock.monotonic() + JOIN_MS;
  const connection = await terminal.connect({ urls: [url], prefix, name: 'up', timeoutMs: JOIN_MS });
  if (connection instanceof Fault) return connection;
  try {
    while (clock.monotonic() < until) {
      const answer = await connection.client.request('agents', {}, { timeoutMs: JOIN_MS });
      if (answer instanceof Fault) return answer;
      const active = answer.agents.filter(({ name, state }) => state === 'active' && /^a\d+$/.test(name)).length;
      if (active >= agents) return undefined;
      await new Promise((resume) => setTimeout(resume, JOIN_POLL_MS));
    }
    return new Fault('TIMED_OUT', `not all of the ${agents} agents have joined yet; see mesq agents`);
  } finally {
    await connection.close();
  }
}

/** The script that this process runs: what its parts run too. */
export function scriptOfMesq(): string {
  const [, script] = process.argv;
  if (script === undefined) throw new Error('broken invariant: a process of node has a script');
  return script;
}
