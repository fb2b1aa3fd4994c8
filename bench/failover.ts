import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { systemRandom } from '../io/node/random.ts';
import { randomWord } from '../io/random.ts';
import type { MasterView } from '../protocol/operator.ts';
import { type Client, Fault, parseResources } from '../sdk/index.ts';
import { connectClient } from '../tools/cluster.ts';
import { etcdVersion, killEtcdLeaders } from './etcd.ts';
import { benchFolder, endLauncher, type Part, startAgentPart } from './real-cluster.ts';
import { type Measured, quantile } from './report.ts';
import { MASTERS, Masters } from './three-masters.ts';

const AGENTS = 10;
const TARGET = { p50: 800, p99: 1_500, most: 3_000, transfer: 150 } as const;
/** A request that was lost with a leader is sent again by the client itself. */
const ASK_MS = 30_000;

/**
 * The leader of three masters is killed with -9, `kills` times, while ten agents are connected: time until the next
 * submission is accepted, until its first task starts, and until ten tasks have started. Then as many planned transfers,
 * and, where it is installed, etcd with its defaults.
 */
export async function measureFailover(parent: string, kills: number): Promise<Measured[]> {
  const folder = benchFolder(parent);
  const masters = new Masters(folder.path);
  await masters.start();
  const agents: Part[] = [];
  for (let at = 1; at <= AGENTS; at++)
    agents.push(await startAgentPart(folder.path, `a${at}`, masters.url, 'cpus:1;mem:1024'));
  const { client, close } = await connectClient(masters.url, 'bench');
  const waits = (): number =>
    agents.reduce((sum, { data }) => sum + timesIn(`${data}.log`, /waiting for a leader/g), 0);
  await leaderOf(client, MASTERS);
  const waitedBefore = waits();
  const accepted: number[] = [];
  const first: number[] = [];
  const all: number[] = [];
  for (let kill = 0; kill < kills; kill++) {
    const leader = await leaderOf(client, MASTERS);
    const began = Date.now();
    await masters.kill(leader);
    const { acceptedMs, started } = await burst(client, folder.path);
    accepted.push(acceptedMs - began);
    first.push(Math.min(...started) - began);
    all.push(Math.max(...started) - began);
    masters.startOne(leader);
  }
  const waited = waits() - waitedBefore;
  const transfers: number[] = [];
  for (let at = 0; at < kills; at++) {
    const leader = await leaderOf(client, MASTERS);
    const to = leader === 'm1' ? 'm2' : 'm1';
    const began = Date.now();
    const answer = await client.request('masters-transfer', { master: to }, { timeoutMs: ASK_MS });
    if (answer instanceof Fault) throw new Error(answer.message);
    transfers.push((await burst(client, folder.path)).acceptedMs - began);
  }
  await close();
  for (const agent of agents) {
    await agent.stop();
    await endLauncher(agent);
  }
  await masters.stop();
  const version = etcdVersion();
  const etcd = version === undefined ? [] : await killEtcdLeaders(join(folder.path, 'etcd'), kills);
  folder.remove();
  return [
    ...row(`leader killed ${kills} times: next submission accepted`, accepted),
    ...row(`the first of ten tasks on ten agents has started`, first),
    told(`all ten have started`, all),
    {
      what: 'agents that were connected to a follower while there was no leader, of each ten',
      value: (waited / kills).toFixed(1),
      beside: 'the others came when there was one again',
      target: undefined,
      met: undefined,
    },
    transferred(transfers),
    ...(version === undefined
      ? []
      : [told(`etcd ${version} with its defaults, leader killed ${kills} times: next put acknowledged`, etcd)]),
  ];
}

function row(what: string, values: readonly number[]): Measured[] {
  const met =
    quantile(values, 0.5) <= TARGET.p50 && quantile(values, 0.99) <= TARGET.p99 && Math.max(...values) <= TARGET.most;
  return [{ ...told(what, values), target: 'p50 ≤ 0.8 s, p99 ≤ 1.5 s, never > 3 s', met }];
}

function told(what: string, values: readonly number[]): Measured {
  const seconds = (ms: number): string => (ms / 1_000).toFixed(2);
  const [p50, p90, p99] = [0.5, 0.9, 0.99].map((q) => seconds(quantile(values, q)));
  const value = `p50 ${p50} s, p90 ${p90}, p99 ${p99}, most ${seconds(Math.max(...values))}`;
  return { what, value, beside: '', target: undefined, met: undefined };
}

function transferred(values: readonly number[]): Measured {
  const p50 = quantile(values, 0.5);
  return {
    what: `planned transfer, ${values.length} times: from the request to the next submission accepted`,
    value: `p50 ${p50.toFixed(0)} ms, p90 ${quantile(values, 0.9).toFixed(0)}, most ${Math.max(...values).toFixed(0)}`,
    beside: '',
    target: `≤ ${TARGET.transfer} ms`,
    met: Math.max(...values) <= TARGET.transfer,
  };
}

function timesIn(file: string, pattern: RegExp): number {
  return readFileSync(file, 'utf8').match(pattern)?.length ?? 0;
}

/** Ten tasks, each of which fills an agent: when the job was accepted, and when each began (wall clock). */
async function burst(client: Client, folder: string): Promise<{ acceptedMs: number; started: number[] }> {
  const resources = parseResources('cpus:1;mem:32');
  if (resources instanceof Fault) throw new Error(resources.message);
  const job = `f${randomWord(systemRandom, 8)}`;
  const argv = ['sh', '-c', `date +%s%3N > ${join(folder, job)}.$MESQ_TASK_INDEX.start`];
  const submitted = await client.request(
    'submit',
    { job, argv, count: AGENTS, resources: [...resources] },
    { framework: 'batch', request: job, timeoutMs: ASK_MS },
  );
  if (submitted instanceof Fault) throw new Error(submitted.message);
  const acceptedMs = Date.now();
  for await (const part of client.watch(job, { framework: 'batch' })) {
    if (part instanceof Fault) throw new Error(part.message);
    if (part.job.tasks.finished === AGENTS) break;
  }
  const files = readdirSync(folder).filter((name) => name.startsWith(`${job}.`) && name.endsWith('.start'));
  return { acceptedMs, started: files.map((name) => Number(readFileSync(join(folder, name), 'utf8'))) };
}

/** Waits until all masters are heard of, and hold what is committed, and all agents are there: who leads. */
async function leaderOf(client: Client, count: number): Promise<string> {
  for (;;) {
    const answer = await client.request('masters', {}, { timeoutMs: ASK_MS });
    const agents = await client.request('agents', {}, { timeoutMs: ASK_MS });
    if (answer instanceof Fault || agents instanceof Fault) continue;
    const active = agents.agents.filter(({ state }) => state === 'active');
    const leader = whole(answer.masters, count);
    if (leader !== undefined && active.length === AGENTS) return leader;
    await pause(20);
  }
}

function whole(masters: readonly MasterView[], count: number): string | undefined {
  const most = Math.max(...masters.map(({ commitIndex }) => commitIndex));
  const good =
    masters.length === count &&
    masters.every(({ commitIndex, role }) => role !== 'unreachable' && commitIndex === most);
  return good ? masters.find(({ role }) => role === 'leader')?.id : undefined;
}
