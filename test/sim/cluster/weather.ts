import type { SeededRandom } from '../random.ts';

/** What goes wrong in one run of a whole cluster; each is drawn from the seed. */
export interface ClusterWeather {
  readonly masters: number;
  readonly agents: number;
  /** Of a QoS 0 message. */
  readonly loss: number;
  readonly duplicates: number;
  /** A packet in so many takes up to so many milliseconds more. */
  readonly tail: { readonly chance: number; readonly ms: number };
  /** Virtual milliseconds with faults, before everything heals. */
  readonly stormMs: number;
  /** Mean virtual milliseconds between two faults. */
  readonly faultMs: number;
  /** Milliseconds of a disk's step, and of a stall, which one in 200 steps is. */
  readonly disk: { readonly ms: number; readonly stallMs: number };
  /** Masters are cut off from power when it hurts most: just after a vote, on an election. */
  readonly spiteful: boolean;
  /** A backup is taken, all masters are lost, and it is restored. */
  readonly restores: boolean;
  /** Masters are added, removed and replaced. */
  readonly changes: boolean;
  /** Of masters and agents, so many are of the next version at first; above 0 they are upgraded, and taken back. */
  readonly newer: number;
  /** Clocks of processes run up to so much faster or slower. */
  readonly clockError: number;
}

export function drawWeather(random: SeededRandom): ClusterWeather {
  const of = <Value>(...values: readonly [Value, ...Value[]]): Value =>
    values[random.below(values.length)] ?? values[0];
  return {
    masters: of(3, 3, 3, 5, 1),
    agents: of(2, 3, 5, 20),
    loss: of(0, 0.02, 0.1),
    duplicates: of(0, 0.05, 0.2),
    tail: of({ chance: 0, ms: 0 }, { chance: 0.01, ms: 300 }, { chance: 0.03, ms: 1_500 }),
    stormMs: 40_000,
    faultMs: of(1_000, 3_000, 8_000),
    disk: of({ ms: 0.2, stallMs: 0 }, { ms: 0.5, stallMs: 400 }, { ms: 12, stallMs: 1_500 }),
    spiteful: random.chance(0.3),
    // Nobody changes the masters of a cluster that is about to be lost.
    ...drawCare(random),
    newer: of(0, 0, 0.4),
    clockError: of(0, 0.001, 0.1),
  };
}

function drawCare(random: SeededRandom): Pick<ClusterWeather, 'restores' | 'changes'> {
  const restores = random.chance(0.15);
  return { restores, changes: !restores && random.chance(0.5) };
}
