import { createHash } from 'node:crypto';
import type { Digest, RunningDigest } from '../digest.ts';

/** OpenSSL's, as Node carries it. */
export const systemDigest: Digest = {
  sha256: (bytes) => createHash('sha256').update(bytes).digest('hex'),
};

export function runningSha256(): RunningDigest {
  const hash = createHash('sha256');
  return { update: (bytes) => void hash.update(bytes), end: () => hash.digest('hex') };
}
