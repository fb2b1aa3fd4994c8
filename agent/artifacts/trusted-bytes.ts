/** How often a growing file is made durable. */
export const SYNC_BYTES = 8_388_608;

/**
 * How much of a part of a file can be believed after the machine may have lost power. It was written from its beginning to
 * its end and made durable at each multiple of {@link SYNC_BYTES} before the next byte was: a length beyond such a place
 * says that all before it is there, and a length of exactly that much does not.
 */
export function trustedBytes(length: number, sameBoot: boolean): number {
  if (sameBoot || length === 0) return length;
  return Math.floor((length - 1) / SYNC_BYTES) * SYNC_BYTES;
}
