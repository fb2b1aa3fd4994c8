import { type Attributes, formatAttributes } from '../../protocol/attributes.ts';
import { contains, equals } from '../../protocol/resource-arithmetic.ts';
import type { Resources } from '../../protocol/resources.ts';

/** What an agent tells the master about its machine. */
export interface Reported {
  readonly resources: Resources;
  readonly attributes: Attributes;
}

/** How much numbers that drift by themselves may do so before they are worth a message, and an entry in the log. */
export interface Pace {
  /** As a part of what was told last. */
  readonly drift: number;
  /** So long nothing but drift is told after a report, in milliseconds. */
  readonly apartMs: number;
}

export const PACE: Pace = { drift: 0.1, apartMs: 0 };
/** On a link that costs money by the byte. */
export const METERED_PACE: Pace = { drift: 0.25, apartMs: 3_600_000 };

/** Memory and disk: everything else changes because somebody did something, or something broke. */
const DRIFTING = new Set(['mem', 'disk']);

/**
 * Whether the master should hear of the change: `significant`, or why not. `soon`: it is one, but the last report was
 * only `sinceMs` ago, and it can wait.
 */
export function significanceOf(
  before: Reported,
  now: Reported,
  sinceMs: number,
  { drift, apartMs }: Pace = PACE,
): 'significant' | 'insignificant' | 'soon' {
  if (formatAttributes(before.attributes) !== formatAttributes(now.attributes)) return 'significant';
  const steady = (resources: Resources): Resources => resources.filter(({ name }) => !DRIFTING.has(name));
  if (!equals(steady(before.resources), steady(now.resources))) return 'significant';
  const was = drifting(before.resources);
  const is = drifting(now.resources);
  if (near(was, is, drift) && near(is, was, drift)) return 'insignificant';
  return sinceMs < apartMs ? 'soon' : 'significant';
}

function drifting(resources: Resources): Resources {
  return resources.filter(({ name }) => DRIFTING.has(name));
}

/** Each amount of `one` is at most so much above that of `other`. */
function near(one: Resources, other: Resources, drift: number): boolean {
  const widened = other.map((resource) =>
    resource.scalar === undefined ? resource : { ...resource, scalar: Math.ceil(resource.scalar * (1 + drift)) },
  );
  return contains(widened, one);
}
