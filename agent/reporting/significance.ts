import { type Attributes, formatAttributes } from '../../protocol/attributes.ts';
import { contains, equals } from '../../protocol/resource-arithmetic.ts';
import type { Resources } from '../../protocol/resources.ts';

/** What an agent tells the master about its machine. */
export interface Reported {
  readonly resources: Resources;
  readonly attributes: Attributes;
}

/** Memory and disk drift by themselves: less than a tenth is not worth a message, nor an entry in the log. */
const DRIFT = 0.1;
const DRIFTING = new Set(['mem', 'disk']);

/** True where the master should hear of the change. */
export function isSignificant(before: Reported, now: Reported): boolean {
  if (formatAttributes(before.attributes) !== formatAttributes(now.attributes)) return true;
  const steady = (resources: Resources): Resources => resources.filter(({ name }) => !DRIFTING.has(name));
  if (!equals(steady(before.resources), steady(now.resources))) return true;
  const drifting = (resources: Resources): Resources => resources.filter(({ name }) => DRIFTING.has(name));
  return !(
    near(drifting(before.resources), drifting(now.resources)) &&
    near(drifting(now.resources), drifting(before.resources))
  );
}

/** Each amount of `one` is at most a tenth above that of `other`. */
function near(one: Resources, other: Resources): boolean {
  const widened = other.map((resource) =>
    resource.scalar === undefined ? resource : { ...resource, scalar: Math.ceil(resource.scalar * (1 + DRIFT)) },
  );
  return contains(widened, one);
}
