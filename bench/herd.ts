import { setTimeout as pause } from 'node:timers/promises';
import { systemRandom } from '../io/node/random.ts';
import { randomWord } from '../io/random.ts';
import type { AgentView, MasterView } from '../protocol/operator.ts';
import { type Client, Fault, parseResources } from '../sdk/index.ts';
import { connectClient } from '../tools/cluster.ts';
import { MemoryAgents } from './memory-agents.ts';
import { processorMs } from './process-memory.ts';
import { benchFolder } from './real-cluster.ts';
import { type Measured, quantile } from './report.ts';
import { MASTERS, Masters } from './three-masters.ts';

const ASK_MS = 30_000;
/** Of 1,000 agents, from the kill to the last session. */
const TARGET_MS = 5_000;

/**
 * The leader of three masters is killed with -9 while `counts` agents, each with a task, are connected to it: how long
 * until they have a session with the next, whether one was declared unreachable or a task started again, and whether
 * the masters kept time meanwhile.
 */
export async function measureHerd(parent: string, counts: readonly number[]): Promise<Measured[]> {
  const rows: Measured[] = [];
  for (const count of counts) rows.push(...(await herd(parent, count)));
  return rows;
}

async function herd(parent: string, count: number): Promise<Measured[]> {
  const folder = benchFolder(parent);
  const masters = new Masters(folder.path);
  await masters.start();
  const { client, close } = await connectClient(masters.url, 'bench');
  await leaderOf(client);
  const way = { urls: masters.url.split(',') };
  const agents = new MemoryAgents();
  await agents.start(Array.from({ length: count }, (_, at) => ({ name: `s${at}`, way })));
  await agents.sessions(0, 0);
  await fill(client, count);
  const before = await agents.sessions(0, 1);
  const epochs = await epochsOf(client, count);
  const { id, term } = await leaderOf(client);
  await masters.loopDelay();

  const killed = Date.now();
  await masters.kill(id);
  const busy = (): number => masters.pids.reduce((sum, pid) => sum + processorMs(pid), 0);
  const busyBefore = busy();
  const after = await agents.sessions(killed, 1);
  const processor = (busy() - busyBefore) / count;
  const delay = await masters.loopDelay();
  const next = await leaderOf(client, MASTERS - 1);
  const changed = [...(await epochsOf(client, count))].filter(([name, epoch]) => epochs.get(name) !== epoch).length;

  await close();
  await agents.stop();
  await masters.stop();
  folder.remove();
  const took = after.establishedMs.map((ms) => ms - killed);
  const [first, p50, p90, most] = [0, 0.5, 0.9, 1].map((part) => `${(quantile(took, part) / 1_000).toFixed(2)}`);
  const restarted = after.starts - before.starts;
  return [
    {
      what: `${count} agents, plain: until they are registered with the next leader`,
      value: `first ${first} s, p50 ${p50}, p90 ${p90}, all ${most}`,
      beside: `${after.failures - before.failures} connections failed or ended; processor time of the masters ${processor.toFixed(2)} ms an agent`,
      target: count === 1_000 ? `all within ${TARGET_MS / 1_000} s` : undefined,
      met: count === 1_000 ? Math.max(...took) <= TARGET_MS : undefined,
    },
    {
      what: `${count} agents: declared unreachable, tasks started again, elections`,
      value: `${changed}, ${restarted}, ${next.term - term}`,
      beside: `the masters' loops were late by at most ${delay.mostMs.toFixed(0)} ms, p99 ${delay.p99Ms.toFixed(0)}`,
      target: '0, 0, 1',
      met: changed === 0 && restarted === 0 && next.term - term === 1,
    },
  ];
}

/** One task on each agent, that runs for ever. */
async function fill(client: Client, count: number): Promise<void> {
  const resources = parseResources('cpus:1;mem:32');
  if (resources instanceof Fault) throw resources;
  const job = `h${randomWord(systemRandom, 8)}`;
  const answer = await client.request(
    'submit',
    { job, argv: ['sleep', 'infinity'], count, resources: [...resources] },
    { framework: 'batch', request: job, timeoutMs: ASK_MS },
  );
  if (answer instanceof Fault) throw answer;
}

/** Each agent's session, once all are active: it changes when an agent was declared unreachable. */
async function epochsOf(client: Client, count: number): Promise<Map<string, number>> {
  for (;;) {
    const answer = await client.request('agents', {}, { timeoutMs: ASK_MS });
    if (answer instanceof Fault) throw answer;
    const active = answer.agents.filter(({ state }: AgentView) => state === 'active');
    if (active.length === count) return new Map(active.map(({ name, epoch }) => [name, epoch]));
    await pause(200);
  }
}

/** Waits until that many masters are heard of. */
async function leaderOf(client: Client, count = MASTERS): Promise<MasterView> {
  for (;;) {
    const answer = await client.request('masters', {}, { timeoutMs: ASK_MS });
    const there = answer instanceof Fault ? [] : answer.masters.filter(({ role }) => role !== 'unreachable');
    const leader = there.find(({ role }) => role === 'leader');
    if (there.length === count && leader !== undefined) return leader;
    await pause(50);
  }
}
