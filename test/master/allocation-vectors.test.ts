import { readFileSync } from 'node:fs';
import test from 'ava';
import { SeededRandom } from '../sim/random.ts';
import { type AllocationCase, runAllocationCase, runSorterCase, type SorterCase } from './allocation-cases.ts';

const path = process.env['MESQ_CASES'];
const vectors =
  path === undefined
    ? undefined
    : (JSON.parse(readFileSync(path, 'utf8')) as {
        readonly allocationCases: readonly AllocationCase[];
        readonly sorterCases: readonly SorterCase[];
      });

function shuffled(agents: string[], random: SeededRandom): string[] {
  return agents
    .map((agent) => ({ agent, at: random.next() }))
    .sort((left, right) => left.at - right.at)
    .map(({ agent }) => agent);
}

test('every vector of allocation holds, under any order of agents', (t) => {
  if (vectors === undefined) {
    t.log('skipped: MESQ_CASES names no file of vectors');
    t.pass();
    return;
  }
  t.true(vectors.allocationCases.length > 0);
  for (const vector of vectors.allocationCases) {
    for (let seed = 0; seed < 25; seed++) {
      const random = new SeededRandom(seed);
      const verdict = runAllocationCase(vector, (agents) => shuffled(agents, random));
      if (verdict !== undefined) {
        t.fail(verdict);
        break;
      }
    }
  }
});

test('every vector of sorting holds', (t) => {
  if (vectors === undefined) {
    t.log('skipped: MESQ_CASES names no file of vectors');
    t.pass();
    return;
  }
  for (const vector of vectors.sorterCases) t.is(runSorterCase(vector), undefined);
  t.true(vectors.sorterCases.length > 0);
});
