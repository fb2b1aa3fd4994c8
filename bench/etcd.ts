import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { freePort } from './three-masters.ts';

const MEMBERS = ['e1', 'e2', 'e3'];
/** A put is tried at every member again after this long, whatever became of the one before. */
const AGAIN_MS = 20;
const GIVE_UP_MS = 2_000;

interface Member {
  readonly client: string;
  readonly peer: string;
}

/** Its version where etcd is installed. */
export function etcdVersion(): string | undefined {
  return /etcd Version: (\S+)/.exec(spawnSync('etcd', ['--version'], { encoding: 'utf8' }).stdout ?? '')?.[1];
}

/**
 * Three members of etcd with its own defaults (heartbeat 100 ms, election 1,000 ms), whose leader is killed with -9
 * `kills` times: milliseconds until the next put is acknowledged.
 */
export async function killEtcdLeaders(folder: string, kills: number): Promise<number[]> {
  const members = new Map<string, Member>();
  for (const name of MEMBERS)
    members.set(name, {
      client: `http://127.0.0.1:${await freePort()}`,
      peer: `http://127.0.0.1:${await freePort()}`,
    });
  const running = new Map<string, ChildProcess>();
  const start = (name: string): void => {
    const { client, peer } = members.get(name) ?? { client: '', peer: '' };
    const cluster = [...members].map(([each, one]) => `${each}=${one.peer}`).join(',');
    const addresses = ['--listen-client-urls', client, '--advertise-client-urls', client, '--listen-peer-urls', peer];
    const founding = ['--initial-advertise-peer-urls', peer, '--initial-cluster', cluster];
    const argv = ['--name', name, '--data-dir', join(folder, name), ...addresses, ...founding, '--log-level', 'fatal'];
    running.set(name, spawn('etcd', ['--logger', 'zap', ...argv], { stdio: 'ignore' }));
  };
  process.once('exit', () => {
    for (const child of running.values()) child.kill('SIGKILL');
  });
  for (const name of MEMBERS) start(name);
  const took: number[] = [];
  for (let kill = 0; kill < kills; kill++) {
    const leader = await leaderOf(members);
    const child = running.get(leader);
    const began = performance.now();
    child?.kill('SIGKILL');
    await firstPut([...members].filter(([name]) => name !== leader).map(([, { client }]) => client));
    took.push(performance.now() - began);
    if (child !== undefined && child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    start(leader);
  }
  for (const child of running.values()) {
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
  return took;
}

async function call(url: string, path: string, body: object): Promise<unknown> {
  const init = { method: 'POST', body: JSON.stringify(body), signal: AbortSignal.timeout(GIVE_UP_MS) };
  const response = await fetch(`${url}${path}`, init);
  if (!response.ok) throw new Error(`${response.status}`);
  return response.json();
}

/** Waits until all members know one leader, and have all that is committed. */
async function leaderOf(members: ReadonlyMap<string, Member>): Promise<string> {
  for (;;) {
    const said = await Promise.all(
      [...members].map(async ([name, { client }]) => {
        const status = await call(client, '/v3/maintenance/status', {}).catch(() => undefined);
        const { header, leader, raftAppliedIndex } = (status ?? {}) as Status;
        return { name, id: header?.member_id, leader, applied: raftAppliedIndex };
      }),
    );
    const [first] = said;
    const settled = said.every(
      ({ leader, applied }) => leader !== undefined && leader === first?.leader && applied === first?.applied,
    );
    const found = said.find(({ id, leader }) => id !== undefined && id === leader);
    if (settled && found !== undefined) return found.name;
    await pause(50);
  }
}

interface Status {
  readonly header?: { readonly member_id?: string };
  readonly leader?: string;
  readonly raftAppliedIndex?: string;
}

/** Resolves as soon as any of them has acknowledged a put. */
async function firstPut(clients: readonly string[]): Promise<void> {
  const put = { key: btoa('bench'), value: btoa('x'.repeat(100)) };
  let done = false;
  while (!done) {
    for (const client of clients)
      call(client, '/v3/kv/put', put).then(
        () => {
          done = true;
        },
        () => undefined,
      );
    await pause(AGAIN_MS);
  }
}
