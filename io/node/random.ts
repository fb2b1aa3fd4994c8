import { randomBytes } from 'node:crypto';
import type { Random } from '../random.ts';

/** The kernel's generator. `next` has 48 random bits: what one integer read gives, and plenty for jitter. */
export const systemRandom: Random = {
  next: () => randomBytes(6).readUIntBE(0, 6) / 2 ** 48,
  bytes: (count) => randomBytes(count),
};
