import { parseArgs } from 'node:util';
import { ClusterSimulation } from '../test/sim/cluster/cluster-simulation.ts';
import { RaftSimulation } from '../test/sim/raft-simulation.ts';

/*
 * npm run sim -- --minutes 10              fresh seeds for ten minutes, of whole clusters and of Raft alone in turn
 * npm run sim -- --seed 7                  one seed of a whole cluster again, with everything that happened
 * npm run sim -- --seed 7 --only raft      one seed of Raft alone
 * Ends with 1 at the first violation, and names its seed; with 2 where it is asked for what there is not.
 */

const KINDS = ['cluster', 'raft'] as const;
type Kind = (typeof KINDS)[number];

interface Played {
  readonly violations: readonly string[];
  readonly virtualMs: number;
  /** What happened, a line each, and sums of it. */
  readonly told: readonly string[];
}

interface Asked {
  readonly first: number;
  /** One seed again, and what happened. */
  readonly again: boolean;
  readonly minutes: number;
  readonly kinds: readonly Kind[];
}

const asked = askedFor();
if (typeof asked === 'string') {
  console.error(asked);
  process.exit(2);
}
const { first, again, kinds: only } = asked;
const until = again ? 0 : Date.now() + asked.minutes * 60_000;
const spent = { cluster: { virtualMs: 0, realMs: 0 }, raft: { virtualMs: 0, realMs: 0 } };
let failed = false;
let seed = first;
for (; !failed; seed++) {
  for (const kind of again ? only.slice(0, 1) : only) {
    const began = performance.now();
    const { violations, virtualMs, told } = await play(kind, seed);
    spent[kind].virtualMs += virtualMs;
    spent[kind].realMs += performance.now() - began;
    if (again) for (const line of told) console.log(line);
    for (const violation of violations) console.error(`seed ${seed} of ${kind}: ${violation}`);
    failed ||= violations.length > 0;
    if (failed && !again) console.error(`again: npm run sim -- --seed ${seed} --only ${kind}`);
  }
  if (Date.now() >= until) break;
}
const speeds = KINDS.filter((kind) => spent[kind].realMs > 0).map(
  (kind) => `${kind} ${Math.round(spent[kind].virtualMs / spent[kind].realMs)} times real time`,
);
console.log(`seeds ${first} to ${seed}: ${speeds.join(', ')}`);
if (failed) process.exitCode = 1;

async function play(kind: Kind, at: number): Promise<Played> {
  if (kind === 'raft') {
    const simulation = new RaftSimulation(at);
    const violations = simulation.run();
    return { violations, virtualMs: simulation.virtualMs, told: [JSON.stringify(simulation.tally)] };
  }
  const simulation = new ClusterSimulation(at);
  const violations = await simulation.run();
  const { weather, audit, faults, packed, transcript, clock } = simulation;
  const sums = [weather, Object.fromEntries(faults), { ...audit.tally, packed }].map((each) => JSON.stringify(each));
  return { violations, virtualMs: clock.monotonic(), told: [...transcript, ...sums] };
}

/** What the arguments ask for, or what is wrong with them. */
function askedFor(): Asked | string {
  const { values, problem } = argumentsGiven();
  if (problem !== undefined) return problem;
  const { seed, minutes = '1', only: kind } = values;
  if (seed !== undefined && !/^\d{1,15}$/.test(seed)) return `--seed is a whole number, not ${seed}`;
  if (!/^\d+(\.\d+)?$/.test(minutes)) return `--minutes is a number, not ${minutes}`;
  const kinds = KINDS.filter((each) => kind === undefined || each === kind);
  if (kinds.length === 0) return `--only is ${KINDS.join(' or ')}, not ${kind}`;
  const isAgain = seed !== undefined;
  return {
    first: isAgain ? Number(seed) : Date.now() % 1_000_000_000,
    again: isAgain,
    minutes: Number(minutes),
    kinds,
  };
}

function argumentsGiven() {
  try {
    const { values } = parseArgs({
      options: { seed: { type: 'string' }, minutes: { type: 'string' }, only: { type: 'string' } },
    });
    return { values, problem: undefined };
  } catch (error) {
    // An option that there is not, or one without its value.
    return { values: {}, problem: error instanceof Error ? error.message : String(error) };
  }
}
