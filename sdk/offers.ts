import type { Offer } from '../protocol/offer.ts';
import {
  coalesceRanges,
  countRanges,
  type Range,
  type Ranges,
  subtractRanges,
  takeFirst,
} from '../protocol/resource-ranges.ts';
import type { Resource, Resources } from '../protocol/resources.ts';

/** What one task needs: scalars, and a number of ports, whichever they are. */
export interface Needs {
  /** Only the scalars count; their roles do not. */
  readonly resources: Resources;
  /** Default 0. */
  readonly ports?: number;
}

/** What a task takes of an offer, entry for entry, and what is left of it. */
export interface Packed {
  readonly taken: Resources;
  readonly left: Resources;
  /** The numbers of the ports taken, ascending. */
  readonly ports: readonly number[];
}

/**
 * Chooses what a task takes from `available`: what is reserved for the framework's role before what is nobody's,
 * the lowest ports first, never what is revocable or a volume. Undefined where it does not fit.
 */
export function pack(needs: Needs, available: Resources): Packed | undefined {
  const taken: Resource[] = [];
  const left: (Resource | undefined)[] = [...available];
  for (const need of needs.resources) {
    if (need.scalar === undefined) continue;
    let missing = need.scalar;
    for (const at of entriesOf(left, need.name)) {
      const entry = left[at];
      if (entry?.scalar === undefined || missing === 0) continue;
      const amount = Math.min(missing, entry.scalar);
      missing -= amount;
      taken.push({ ...entry, scalar: amount });
      left[at] = amount === entry.scalar ? undefined : { ...entry, scalar: entry.scalar - amount };
    }
    if (missing > 0) return undefined;
  }
  const ports = takePorts(needs.ports ?? 0, left, taken);
  return ports === undefined ? undefined : { taken, left: left.filter((entry) => entry !== undefined), ports };
}

/** True where the offer holds what one task needs. */
export function fits(needs: Needs, offer: Pick<Offer, 'resources'>): boolean {
  return pack(needs, offer.resources) !== undefined;
}

/** Where the entries of a name are, reserved ones first. */
function entriesOf(resources: readonly (Resource | undefined)[], name: string): number[] {
  const reserved: number[] = [];
  const free: number[] = [];
  for (const [at, entry] of resources.entries()) {
    if (entry === undefined || entry.name !== name || entry.revocable === true || entry.volume !== undefined) continue;
    (entry.role === undefined ? free : reserved).push(at);
  }
  return [...reserved, ...free];
}

function takePorts(count: number, left: (Resource | undefined)[], taken: Resource[]): number[] | undefined {
  const numbers: number[] = [];
  let missing = count;
  for (const at of missing === 0 ? [] : entriesOf(left, 'ports')) {
    const entry = left[at];
    if (entry?.ranges === undefined || missing === 0) continue;
    const here = Math.min(missing, countRanges(entry.ranges));
    const ranges = coalesceRanges(takeFirst(entry.ranges, here) ?? []);
    missing -= here;
    numbers.push(...numbersOf(ranges));
    taken.push({ ...entry, ranges });
    const rest: Ranges = subtractRanges(entry.ranges, ranges);
    left[at] = rest.length === 0 ? undefined : { ...entry, ranges: rest };
  }
  return missing > 0 ? undefined : numbers.sort((one, other) => one - other);
}

function numbersOf(ranges: readonly Range[]): number[] {
  return ranges.flatMap(([first, last]) => Array.from({ length: last - first + 1 }, (_, at) => first + at));
}
