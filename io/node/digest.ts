import { createHash } from 'node:crypto';
import type { Digest } from '../digest.ts';

/** OpenSSL's, as Node carries it. */
export const systemDigest: Digest = {
  sha256: (bytes) => createHash('sha256').update(bytes).digest('hex'),
};
