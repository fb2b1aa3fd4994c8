import { createServer } from 'node:net';
import { join, resolve } from 'node:path';
import { deviceName } from '../agent/devices/cut-devices.ts';
import { machineOf } from '../firmware-adapters/machine.ts';
import { deviceFiles } from '../io/node/device-files.ts';
import { makeFolders } from '../io/node/make-folders.ts';
import { Fault } from '../protocol/faults.ts';
import { formatResources } from '../protocol/resources.ts';
import { shareDevices, shareResources } from './share-resources.ts';
import { mastersToStart } from './start-masters-found.ts';
import { Part } from './start-part.ts';
import type { Terminal } from './terminal.ts';

export interface StartUpOptions {
  readonly agents: number;
  /** Undefined: as many as the cluster in `data` has, or one. */
  readonly masters: number | undefined;
  /** Folder of everything: `m1`, …, `a1`, `a2`, …, `log`. */
  readonly data: string;
  /** Of the first master's broker on 127.0.0.1, the next one's is one higher; 0 takes free ones. */
  readonly port: number;
  /** The same of MQTT over WebSocket. */
  readonly http: number;
  readonly prefix: string;
  /** The script that is `mesq`. */
  readonly script: string;
  /** Something that people should know: a part that died, say. */
  readonly onNote: (text: string) => void;
}

export interface RunningCluster {
  /** Of each master's broker. */
  readonly urls: readonly string[];
  /** Of MQTT over WebSocket. */
  readonly webSocketUrls: readonly string[];
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
  const count = await mastersToStart(options.masters, data);
  if (count instanceof Fault) return count;
  try {
    await makeFolders(data);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return new Fault('DISK', `the data folder ${data} cannot be made: ${why}`, 'Pass a --data that you may write to.');
  }
  const machine = machineOf({ files: deviceFiles('/'), dataFolder: data });
  const { resources, devices } = await machine.probe();
  const shares = shareResources(resources, options.agents);
  const deals = shareDevices(devices, options.agents);
  const parts = new Map<string, Part>();
  const stop = async (): Promise<void> => {
    const masters = [...parts].filter(([name]) => name.startsWith('m')).map(([, part]) => part);
    await Promise.all([...parts.values()].filter((part) => !masters.includes(part)).map((part) => part.stop()));
    await Promise.all(masters.map((part) => part.stop()));
  };
  const masters = await startMasterParts(options, count, data, parts);
  if (masters instanceof Fault) {
    await stop();
    return masters;
  }
  const urls = masters.map(({ url }) => url);
  const webSocketUrls = masters.flatMap(({ webSocketUrl }) => webSocketUrl ?? []);
  for (const [at, share] of shares.entries()) {
    const name = `a${at + 1}`;
    const folder = join(data, name);
    const argv = [options.script, 'agent', '--master', urls.join(','), '--data', folder, '--name', name];
    // Each counts its own: one that is told of none has none.
    const own = deals[at]?.map(deviceName).join(',') || 'none';
    const more = ['--resources', formatResources(share), '--prefix', options.prefix, '--devices', own];
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
  const problem = await Promise.race([joined(terminal, urls, options), ...deaths]);
  if (problem instanceof Fault && problem.code !== 'TIMED_OUT') {
    await stop();
    return problem;
  }
  if (problem instanceof Fault) options.onNote(problem.message);
  for (const part of parts.values()) part.ready();
  const pids = (): Record<string, number | undefined> =>
    Object.fromEntries([...parts].map(([name, { pid }]) => [name, pid]));
  return { urls, webSocketUrls, pids, stop };
}

interface MasterPart {
  readonly url: string;
  readonly webSocketUrl: string | undefined;
}

/** Masters must know each other's ports before they start: where there are several, free ones are looked for first. */
async function startMasterParts(
  options: StartUpOptions,
  masters: number,
  data: string,
  parts: Map<string, Part>,
): Promise<MasterPart[] | Fault> {
  const { port } = options;
  const wanted = Array.from({ length: masters }, (_, at) => (port === 0 ? 0 : port + at));
  const ports = masters > 1 && port === 0 ? await freePorts(masters) : wanted;
  const urls = new Map(ports.map((one, at) => [`m${at + 1}`, `mqtt://127.0.0.1:${one}`]));
  const started = await Promise.all(
    [...urls.keys()].map((name, at) => startMasterPart(options, data, parts, name, urls, at)),
  );
  const found: MasterPart[] = [];
  for (const one of started) {
    if (one instanceof Fault) return one;
    found.push(one);
  }
  return found;
}

/** The first start finds the ports that were left open; every later one takes the same. */
async function startMasterPart(
  { http, prefix, script, onNote }: StartUpOptions,
  data: string,
  parts: Map<string, Part>,
  name: string,
  urls: ReadonlyMap<string, string>,
  place: number,
): Promise<MasterPart | Fault> {
  let url = urls.get(name) ?? '';
  let webSocketUrl: string | undefined;
  let listening: () => void = () => {};
  const ready = new Promise<undefined>((done) => {
    listening = () => done(undefined);
  });
  const peers = [...urls].filter(([peer]) => peer !== name).flatMap(([peer, at]) => ['--peer', `${peer}=${at}`]);
  const part = new Part({
    name,
    logFile: join(data, 'log', `${name}.log`),
    argv: () => {
      const at = webSocketUrl === undefined ? `127.0.0.1:${http === 0 ? 0 : http + place}` : new URL(webSocketUrl).host;
      const argv = ['--id', name, '--data', join(data, name), '--listen', url, '--http', at, '--prefix', prefix];
      return [script, 'master', ...argv, ...peers];
    },
    onLine: (line) => {
      const found = /^listening (\S+)$/.exec(line)?.[1];
      if (found?.startsWith('mqtt://')) url = found;
      if (found?.startsWith('ws://')) webSocketUrl = found;
      if (webSocketUrl !== undefined) listening();
    },
    onDeath: onNote,
  });
  parts.set(name, part);
  const fault = await Promise.race([ready, part.diedAtStart]);
  return fault ?? { url, webSocketUrl };
}

/** Ports that nobody listens on at this moment. */
async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  const ports = await Promise.all(
    servers.map(
      (server) =>
        new Promise<number>((resolve, reject) => {
          server.once('error', reject);
          server.listen(0, '127.0.0.1', () => {
            const address = server.address();
            resolve(typeof address === 'object' && address !== null ? address.port : 0);
          });
        }),
    ),
  );
  await Promise.all(servers.map((server) => new Promise((closed) => server.close(closed))));
  return ports;
}

async function joined(
  terminal: Terminal,
  urls: readonly string[],
  { agents, prefix }: StartUpOptions,
): Promise<Fault | undefined> {
  const { clock } = terminal;
  const until = clock.monotonic() + JOIN_MS;
  const connection = await terminal.connect({ urls, prefix, name: 'up', timeoutMs: JOIN_MS });
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
