import test from 'ava';
import { RaftSimulation } from './raft-simulation.ts';

/** Seeds that are run always, and how many fresh ones. */
const FIXED = 60;
const FRESH = 30;

function play(seeds: readonly number[]) {
  const total = { elections: 0, crashes: 0, wipes: 0, installs: 0, reads: 0, acknowledged: 0, virtualMs: 0 };
  for (const seed of seeds) {
    const simulation = new RaftSimulation(seed);
    const violations = simulation.run();
    if (violations.length > 0) return { seed, violations, total };
    for (const [name, count] of Object.entries(simulation.tally)) total[name as keyof typeof total] += count;
    total.acknowledged += simulation.acknowledged;
    total.virtualMs += simulation.virtualMs;
  }
  return { seed: undefined, violations: [], total };
}

test('through loss, reordering, partitions, crashes, torn writes and lost disks Raft keeps its promises: fixed seeds', (t) => {
  const { seed, violations, total } = play(Array.from({ length: FIXED }, (_, at) => at + 1));
  t.deepEqual(violations, [], `seed ${seed}`);
  t.true(total.elections > FIXED && total.wipes > 0 && total.installs > 0 && total.reads > 0);
  t.log(JSON.stringify(total));
});

test('the same, with fresh seeds', (t) => {
  const first = Date.now() % 1_000_000_000;
  const { seed, violations } = play(Array.from({ length: FRESH }, (_, at) => first + at));
  t.log(`seeds ${first} to ${first + FRESH - 1}`);
  t.deepEqual(violations, [], `seed ${seed}`);
});
