import { ClusterSimulation } from '../test/sim/cluster/cluster-simulation.ts';
import { RaftSimulation } from '../test/sim/raft-simulation.ts';
import type { Measured } from './report.ts';

const SEEDS = 12;
/** Played first, and not counted: the code is compiled then. */
const WARM = 4;
const CALM_MS = 600_000;
const SIZE = { masters: 3, agents: 20 } as const;
const TARGET = 300;

/** How much faster than real time the simulator is: three masters and twenty agents, and Raft alone. */
export async function measureSimulator(): Promise<Measured[]> {
  const storms: number[] = [];
  const calms: number[] = [];
  for (let seed = 1; seed <= WARM + SEEDS; seed++) {
    const simulation = new ClusterSimulation(seed, SIZE);
    const played = await speed(simulation, async () => {
      const [violation] = await simulation.run();
      if (violation !== undefined) throw new Error(`seed ${seed}: ${violation}`);
    });
    if (seed <= WARM) continue;
    storms.push(played);
    calms.push(await speed(simulation, () => simulation.clock.advance(CALM_MS / SEEDS)));
  }
  const began = performance.now();
  let virtualMs = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const simulation = new RaftSimulation(seed, { masters: SIZE.masters });
    simulation.run();
    virtualMs += simulation.virtualMs;
  }
  const raft = virtualMs / (performance.now() - began);
  return [
    row('seeds with faults, jobs, and three minutes of calm', harmonic(storms)),
    row('nothing to do, one client looking at its jobs', harmonic(calms)),
    { what: 'Raft alone, three masters', value: times(raft), beside: '', target: undefined, met: undefined },
  ];
}

function row(what: string, factor: number): Measured {
  return {
    what: `three masters, twenty agents: ${what}`,
    value: times(factor),
    beside: `${SEEDS} seeds, after ${WARM} that are not counted`,
    target: `≥ ${TARGET} times real time`,
    met: factor >= TARGET,
  };
}

function times(factor: number): string {
  return `${Math.round(factor)} times real time`;
}

async function speed({ clock }: ClusterSimulation, play: () => Promise<void>): Promise<number> {
  const [virtual, real] = [clock.monotonic(), performance.now()];
  await play();
  return (clock.monotonic() - virtual) / (performance.now() - real);
}

/** All seeds together: each takes about the same virtual time. */
function harmonic(factors: readonly number[]): number {
  return factors.length / factors.reduce((sum, factor) => sum + 1 / factor, 0);
}
