import test from 'ava';
import { ClusterSimulation } from './cluster-simulation.ts';
import { FAULT_NAMES } from './faults.ts';

/** Seeds that are run always, one of them for the sake of a disk that is lost, and how many fresh ones: about a minute. */
const FIXED = [...Array.from({ length: 23 }, (_, at) => at + 1), 35];
const FRESH = 4;

async function play(seeds: readonly number[]) {
  const total = { elections: 0, starts: 0, applied: 0, compared: 0, acknowledged: 0, virtualMs: 0 };
  const packed = { toMasters: 0, toAgents: 0, unreadable: 0 };
  const faults = new Map<string, number>();
  for (const seed of seeds) {
    const simulation = new ClusterSimulation(seed);
    const violations = await simulation.run();
    if (violations.length > 0) return { seed, violations, total, faults, packed };
    for (const [name, count] of Object.entries(simulation.audit.tally)) total[name as keyof typeof total] += count;
    for (const [name, count] of simulation.faults) faults.set(name, (faults.get(name) ?? 0) + count);
    for (const [name, count] of Object.entries(simulation.packed)) packed[name as keyof typeof packed] += count;
    total.acknowledged += simulation.client.acknowledged.size;
    total.virtualMs += simulation.clock.monotonic();
  }
  return { seed: undefined, violations: [], total, faults, packed };
}

test('whole clusters keep their promises through everything that goes wrong: fixed seeds', async (t) => {
  const { seed, violations, total, faults, packed } = await play(FIXED);
  t.deepEqual(violations, [], `npm run sim -- --seed ${seed}`);
  t.log(JSON.stringify({ ...total, packed }));
  t.deepEqual(
    FAULT_NAMES.filter((name) => !faults.has(name)),
    [],
    'every fault was made',
  );
  t.true(Math.min(total.starts, total.compared, total.acknowledged) > FIXED.length);
  // On metered links, in both directions.
  t.true(Math.min(packed.toMasters, packed.toAgents) > FIXED.length);
});

test('the same, with fresh seeds', async (t) => {
  const first = Date.now() % 1_000_000_000;
  const { seed, violations } = await play(Array.from({ length: FRESH }, (_, at) => first + at));
  t.log(`seeds ${first} to ${first + FRESH - 1}`);
  t.deepEqual(violations, [], `npm run sim -- --seed ${seed}`);
});

test('a seed plays the same again, to the last message', async (t) => {
  const weather = { stormMs: 15_000 };
  const [one, other] = [new ClusterSimulation(5, weather), new ClusterSimulation(5, weather)];
  await one.run();
  await other.run();
  t.true(one.transcript.length > 50);
  t.deepEqual(one.transcript, other.transcript);
});
