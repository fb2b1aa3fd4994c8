import { randomFillSync } from 'node:crypto';
import type { Random } from '../random.ts';

/** What is asked of the kernel at once: most of what is wanted is a word, and each call costs as much as all of this. */
const POOL_BYTES = 1_024;

const pool = new Uint8Array(POOL_BYTES);
let used = POOL_BYTES;

/** Bytes that nobody else gets: the pool keeps none that it has given away. */
function take(count: number): Uint8Array {
  if (count > POOL_BYTES) return randomFillSync(new Uint8Array(count));
  if (used + count > POOL_BYTES) {
    randomFillSync(pool);
    used = 0;
  }
  const bytes = pool.slice(used, used + count);
  pool.fill(0, used, used + count);
  used += count;
  return bytes;
}

/** The kernel's generator. `next` has 48 random bits: plenty for jitter. */
export const systemRandom: Random = {
  next: () => take(6).reduce((sum, byte) => sum * 256 + byte, 0) / 2 ** 48,
  bytes: take,
};
