import { setTimeout as pause } from 'node:timers/promises';
import { systemRandom } from '../io/node/random.ts';
import { randomWord } from '../io/random.ts';
import type { MasterView } from '../protocol/operator.ts';
import { type Client, Fault, parseResources } from '../sdk/index.ts';
import { MASTERS } from './three-masters.ts';

const ASK_MS = 30_000;

/** One task for each of `count` agents of one cpu, that runs for ever. */
export async function fill(client: Client, count: number): Promise<void> {
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

/** Each agent's session, once `count` are active: it is another one after an agent was declared unreachable. */
export async function epochsOf(client: Client, count: number): Promise<Map<string, number>> {
  for (;;) {
    const answer = await client.request('agents', {}, { timeoutMs: ASK_MS });
    if (answer instanceof Fault) throw answer;
    const active = answer.agents.filter(({ state }) => state === 'active');
    if (active.length === count) return new Map(active.map(({ name, epoch }) => [name, epoch]));
    await pause(200);
  }
}

/** Waits until `count` masters are heard of: who leads. */
export async function leaderOf(client: Client, count = MASTERS): Promise<MasterView> {
  for (;;) {
    const answer = await client.request('masters', {}, { timeoutMs: ASK_MS });
    const there = answer instanceof Fault ? [] : answer.masters.filter(({ role }) => role !== 'unreachable');
    const leader = there.find(({ role }) => role === 'leader');
    if (there.length === count && leader !== undefined) return leader;
    await pause(50);
  }
}
