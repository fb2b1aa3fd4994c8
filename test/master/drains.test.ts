import test from 'ava';
import { Drains } from '../../master/drains.ts';
import type { Leader } from '../../master/leader.ts';
import type { Command } from '../../master/registry/commands.ts';
import type { AgentRecord } from '../../master/registry/registry.ts';
import { TIMES } from '../../protocol/limits.ts';
import { VirtualClock } from '../sim/clock.ts';

/** A leader of one agent, which has nothing but what drains look at; of its proposals nothing becomes by itself. */
function leaderOf(about: object, ...tasks: object[]) {
  const clock = new VirtualClock();
  const proposed: Command['kind'][] = [];
  const agent = { agent: 'a', state: 'active', attributes: [], ...about } as unknown as AgentRecord;
  const registry = {
    agents: new Map([['a', agent]]),
    tasksOf: new Map([['a', new Set(tasks.keys())]]),
    tasks: new Map(tasks.entries()),
  };
  const propose = ({ kind }: Command): void => void proposed.push(kind);
  const leader = { registry, propose, wallMs: () => clock.wall(), world: { clock } } as unknown as Leader;
  return { clock, proposed, agent, registry, drains: new Drains(leader, () => []) };
}

const HOT = [{ name: 'drain-wish', text: 'heat' }];

test('a wish whose proposal was refused is proposed again, until it is heeded', async (t) => {
  const { clock, proposed, agent, registry, drains } = leaderOf({ attributes: HOT });
  await clock.advance(1_000);
  t.deepEqual(proposed, ['HEED_HEALTH']);
  await clock.advance(60_000);
  t.deepEqual(proposed, ['HEED_HEALTH', 'HEED_HEALTH']);
  const drained = { ...agent, drain: { wish: 'heat', deadlineMs: clock.wall() + TIMES.healthDrainMs } };
  registry.agents.set('a', drained);
  drains.watch(drained);
  await clock.advance(3_600_000);
  t.is(proposed.length, 2);
});

test('numbers and ranges are no reason to drain: they may be of any length, and it is shown to everybody', async (t) => {
  for (const value of [{ scalar: 1_000 }, { ranges: [{ begin: 1, end: 9 }] }]) {
    const { clock, proposed } = leaderOf({ attributes: [{ name: 'drain-wish', ...value }] });
    await clock.advance(60_000);
    t.deepEqual(proposed, []);
  }
});

test('what a drained machine says of itself is followed by nothing in the log once nothing runs there', async (t) => {
  const running = { state: 'TASK_RUNNING', kill: undefined };
  const { clock, proposed, agent, registry, drains } = leaderOf({ drain: { deadlineMs: 0 } }, running);
  await clock.advance(1_000);
  t.deepEqual(proposed, ['EVICT_AGENT']);
  registry.tasks.set(0, { ...running, kill: { graceMs: undefined } });
  for (let word = 0; word < 5; word++) {
    drains.watch(agent);
    await clock.advance(1_000);
  }
  await clock.advance(3_600_000);
  t.deepEqual(proposed, ['EVICT_AGENT']);
});
