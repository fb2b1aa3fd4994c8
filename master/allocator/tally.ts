import type { Quantities } from '../../protocol/quantities.ts';
import type { Resources } from '../../protocol/resources.ts';

/** Sums of scalars by name, in thousandths, none zero: what shares and quotas compare (ranges and sets do not count). */
export type Tally = Map<string, number>;

export function addTo(tally: Tally, resources: Resources, sign: 1 | -1): void {
  for (const { name, scalar } of resources) if (scalar !== undefined) change(tally, name, sign * scalar);
}

export function change(tally: Tally, name: string, by: number): void {
  const amount = (tally.get(name) ?? 0) + by;
  if (amount === 0) tally.delete(name);
  else tally.set(name, amount);
}

export function quantitiesIn(tally: ReadonlyMap<string, number>): Quantities {
  return [...tally].filter(([, amount]) => amount > 0).map(([name, amount]) => ({ name, amount }));
}

/** What the whole cluster has. Its `version` tells whoever has put claimants in order that the order may have changed. */
export class Totals {
  readonly tally: Tally = new Map();
  version = 0;

  add(resources: Resources, sign: 1 | -1): void {
    addTo(this.tally, resources, sign);
    this.version++;
  }
}
