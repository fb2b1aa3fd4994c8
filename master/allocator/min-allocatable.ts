import type { Quantities } from '../../protocol/quantities.ts';
import { scalarOf } from '../../protocol/resource-arithmetic.ts';
import type { Resources } from '../../protocol/resources.ts';

/** What is worth an offer: all of any one of these. None: anything at all. */
export type MinAllocatable = readonly Quantities[];

/** 0.01 cpus or 32 MB (Mesos: min_allocatable_resources). */
export const MIN_ALLOCATABLE: MinAllocatable = [[{ name: 'cpus', amount: 10 }], [{ name: 'mem', amount: 32_000 }]];

export function isAllocatable(resources: Resources, minimum: MinAllocatable): boolean {
  if (resources.length === 0) return false;
  return (
    minimum.length === 0 ||
    minimum.some((all) => all.every(({ name, amount }) => (scalarOf(resources, name) ?? 0) >= amount))
  );
}
