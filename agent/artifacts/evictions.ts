/** A fetched file that is kept. */
export interface KeptFile {
  readonly name: string;
  readonly bytes: number;
  /** The later it was used, the greater. */
  readonly used: number;
}

export interface Room {
  /** What is about to be written. */
  readonly wantedBytes: number;
  /** The most that is kept of what nobody needs. */
  readonly capBytes: number;
  readonly freeBytes: number;
  /** What of the disk stays free. */
  readonly reserveBytes: number;
}

export interface Evictions {
  /** Those used longest ago first. */
  readonly remove: readonly string[];
  /** Whether the disk has room then. */
  readonly fits: boolean;
}

/**
 * What has to go for something new. A file in `needed` stays, whatever the cap says: an accepted run would need it again,
 * and nobody knows whether it could be fetched again. What is needed may thus be more than the cap; the disk's own end is
 * the only other one.
 */
export function evictions(files: readonly KeptFile[], needed: ReadonlySet<string>, room: Room): Evictions {
  const remove: string[] = [];
  let kept = files.reduce((sum, { bytes }) => sum + bytes, room.wantedBytes);
  let free = room.freeBytes - room.wantedBytes;
  const oldestFirst = files.filter(({ name }) => !needed.has(name)).sort((one, other) => one.used - other.used);
  for (const { name, bytes } of oldestFirst) {
    if (kept <= room.capBytes && free >= room.reserveBytes) break;
    remove.push(name);
    kept -= bytes;
    free += bytes;
  }
  return { remove, fits: free >= room.reserveBytes };
}
