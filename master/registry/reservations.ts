import { add, contains, subtract, toUnreserved } from '../../protocol/resource-arithmetic.ts';
import type { Resources } from '../../protocol/resources.ts';

/**
 * What an agent has once operators have reserved parts of it: each reservation takes as much out of what is nobody's. One
 * that the agent has no room for any more (it reports less) rests until it has.
 */
export function withReservations(reported: Resources, reserved: Resources): Resources {
  let total = reported;
  for (const reservation of reserved) {
    const plain = toUnreserved([reservation]);
    if (contains(total, plain)) total = add(subtract(total, plain), [reservation]);
  }
  return total;
}
