import type { Bus, Clock, Timer } from '../sdk/index.ts';

/** A move to another leader takes less, and is nobody's concern. */
const LOST_MS = 2_000;

/**
 * Tells that the connection is lost once that lasts, and afterwards that it is back. The returned function ends that: what
 * comes then is told to nobody.
 */
export function tellLosses(
  clock: Clock,
  bus: Pick<Bus, 'onDisconnected' | 'onConnected'>,
  tell: (event: 'lost' | 'back') => void,
): () => void {
  let timer: Timer | undefined;
  let told = false;
  let over = false;
  bus.onDisconnected(() => {
    if (over) return;
    timer ??= clock.after(LOST_MS, () => {
      told = true;
      tell('lost');
    });
  });
  bus.onConnected(() => {
    timer?.cancel();
    timer = undefined;
    if (told && !over) tell('back');
    told = false;
  });
  return () => {
    over = true;
    timer?.cancel();
  };
}
