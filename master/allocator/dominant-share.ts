import type { Resources } from '../../protocol/resources.ts';

/** Sums of scalars by name, in thousandths: what dominant resource fairness compares (ranges and sets do not count). */
export type Quantities = Map<string, number>;

export function addTo(sum: Quantities, resources: Resources, sign: 1 | -1): void {
  for (const resource of resources) {
    if (!('scalar' in resource)) continue;
    const total = (sum.get(resource.name) ?? 0) + sign * resource.scalar;
    if (total === 0) sum.delete(resource.name);
    else sum.set(resource.name, total);
  }
}

/** The largest fraction of the cluster's total that anything allocated takes: 0 to 1 (Ghodsi et al., NSDI 2011). */
export function dominantShare(allocated: Quantities, totals: Quantities): number {
  let share = 0;
  for (const [name, amount] of allocated) {
    const total = totals.get(name) ?? 0;
    if (total > 0) share = Math.max(share, amount / total);
  }
  return share;
}

/** One who shares: compared by dominant share, then by the number of allocations so far, then by name. */
export class Claimant {
  readonly name: string;
  readonly allocated: Quantities = new Map();
  count = 0;

  constructor(name: string) {
    this.name = name;
  }
}

export function byShare(totals: Quantities): (left: Claimant, right: Claimant) => number {
  return (left, right) =>
    dominantShare(left.allocated, totals) - dominantShare(right.allocated, totals) ||
    left.count - right.count ||
    (left.name < right.name ? -1 : left.name > right.name ? 1 : 0);
}
