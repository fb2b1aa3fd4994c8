import { amountOfName, type Quantities, quantitiesOf } from '../../protocol/quantities.ts';
import { shrinkToQuantities } from '../../protocol/resource-arithmetic.ts';
import type { Resources } from '../../protocol/resources.ts';

/**
 * As many whole multiples of `shape` as there are, and nothing else. Who needs one cpu with 32 MB has no use for one cpu
 * with all the memory of an agent, and would be taken, for as long as it was offered, for the owner of all that memory.
 */
export function cutToShape(resources: Resources, shape: Quantities): Resources {
  const have = quantitiesOf(resources);
  let times = Number.POSITIVE_INFINITY;
  for (const { name, amount } of shape) times = Math.min(times, Math.floor(amountOfName(have, name) / amount));
  if (times === 0 || shape.length === 0) return [];
  return shrinkToQuantities(
    resources,
    shape.map(({ name, amount }) => ({ name, amount: amount * times })),
  );
}
