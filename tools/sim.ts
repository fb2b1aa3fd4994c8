import { parseArgs } from 'node:util';
import { RaftSimulation } from '../test/sim/raft-simulation.ts';

/*
 * npm run sim -- --seed 7        one seed again
 * npm run sim -- --minutes 10    fresh seeds for ten minutes
 * Ends with 1 at the first violation, and names its seed.
 */
const { values } = parseArgs({ options: { seed: { type: 'string' }, minutes: { type: 'string', default: '1' } } });
const first = values.seed === undefined ? Date.now() % 1_000_000_000 : Number(values.seed);
const until = values.seed === undefined ? Date.now() + Number(values.minutes) * 60_000 : 0;
if (!Number.isSafeInteger(first) || Number.isNaN(until)) throw new Error('--seed and --minutes are numbers');

const began = Date.now();
let virtualMs = 0;
let seed = first;
for (; ; seed++) {
  const simulation = new RaftSimulation(seed);
  const violations = simulation.run();
  virtualMs += simulation.virtualMs;
  if (values.seed !== undefined) console.log(JSON.stringify(simulation.tally));
  for (const violation of violations) console.error(`seed ${seed}: ${violation}`);
  if (violations.length > 0) process.exitCode = 1;
  if (violations.length > 0 || Date.now() >= until) break;
}
const spentMs = Math.max(1, Date.now() - began);
console.log(`seeds ${first} to ${seed}: ${Math.round(virtualMs / spentMs)} times real time`);
