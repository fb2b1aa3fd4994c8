/** A blob that this master keeps, as the plan sees it. */
export interface Collectable {
  readonly blob: string;
  readonly owner: string;
  /** Room that its blocks take, in bytes. */
  readonly room: number;
  /** Wall-clock milliseconds. */
  readonly usedMs: number;
  /** A live task or job names it. */
  readonly named: boolean;
  /** Its root, lists and content: hashes. */
  readonly blocks: readonly string[];
}

/** A block on this master's disk. */
export interface PlannedBlock {
  /** That it takes, in bytes. */
  readonly room: number;
  /** For how long this process has known it. */
  readonly agedMs: number;
}

export interface Bounds {
  readonly nowMs: number;
  /** After its last use a blob that nobody names is forgotten. */
  readonly ageMs: number;
  /** So long after its last use it stays, whatever room there is: the job that needs it may be on its way. */
  readonly freshMs: number;
  /** For so long a block without a blob stays: its upload may go on. */
  readonly looseMs: number;
  /** Bytes of all blocks… */
  readonly capBytes: number;
  /** …and of the blobs of one owner. */
  readonly ownerBytes: number;
  /** What is to come: so much more must have room. */
  readonly room: number;
  /** Blocks that go with the first where they are without a blob: their owner has too many of those. */
  readonly unwanted: ReadonlySet<string>;
  /** For whom it is; undefined: for nobody, what is over its time goes. */
  readonly claim?: Claim | undefined;
}

/** Who needs room. */
export interface Claim {
  readonly owner: string;
  /** Owner → room of what they have brought in beside their blobs, as far as that is known. */
  readonly loose: ReadonlyMap<string, number>;
}

/** What goes. */
export interface Collection {
  readonly forget: readonly string[];
  readonly remove: readonly string[];
}

/**
 * Which blobs are forgotten, and which blocks are removed with them: what nobody names and is old, or too much of its
 * owner; then, as far as room is needed, blocks without a blob, and what was used longest ago. What a live task or job
 * names always stays; what was used a moment ago goes last, where its owner has too much and another needs the room.
 */
export function collect(
  blobs: readonly Collectable[],
  blocks: ReadonlyMap<string, PlannedBlock>,
  bounds: Bounds,
): Collection {
  const { nowMs, ageMs, freshMs, looseMs, capBytes, ownerBytes, unwanted, claim } = bounds;
  const users = new Map<string, number>();
  for (const { blocks: own } of blobs) for (const hash of new Set(own)) users.set(hash, (users.get(hash) ?? 0) + 1);
  const ownedBy = new Map<string, number>();
  for (const { owner, room } of blobs) ownedBy.set(owner, (ownedBy.get(owner) ?? 0) + room);
  let bytes = bounds.room;
  for (const { room } of blocks.values()) bytes += room;
  const forget: string[] = [];
  const remove = new Set<string>();
  const drop = (hash: string): void => {
    if (remove.has(hash)) return;
    remove.add(hash);
    bytes -= blocks.get(hash)?.room ?? 0;
  };
  const loose = [...blocks]
    .filter(([hash]) => !users.has(hash))
    .sort(([, left], [, right]) => right.agedMs - left.agedMs);
  for (const [hash, { agedMs }] of loose) if (agedMs > looseMs || (unwanted.has(hash) && agedMs > freshMs)) drop(hash);

  const unnamed = blobs.filter(({ named }) => !named).sort((left, right) => left.usedMs - right.usedMs);
  const candidates = unnamed.filter(({ usedMs }) => nowMs - usedMs > freshMs);
  const forgotten = new Set<string>();
  const give = (candidate: Collectable): void => {
    forgotten.add(candidate.blob);
    forget.push(candidate.blob);
    ownedBy.set(candidate.owner, (ownedBy.get(candidate.owner) ?? 0) - candidate.room);
    for (const hash of new Set(candidate.blocks)) {
      const left = (users.get(hash) ?? 1) - 1;
      users.set(hash, left);
      if (left === 0 && blocks.has(hash)) drop(hash);
    }
  };
  for (const candidate of candidates)
    if (nowMs - candidate.usedMs > ageMs || (ownedBy.get(candidate.owner) ?? 0) > ownerBytes) give(candidate);
  for (const [hash, { agedMs }] of loose) if (bytes > capBytes && agedMs > freshMs) drop(hash);
  for (const candidate of candidates) if (bytes > capBytes && !forgotten.has(candidate.blob)) give(candidate);
  if (claim !== undefined)
    for (const candidate of unnamed) {
      const { owner, blob } = candidate;
      const hasTooMuch = (ownedBy.get(owner) ?? 0) + (claim.loose.get(owner) ?? 0) > ownerBytes;
      if (bytes > capBytes && owner !== claim.owner && hasTooMuch && !forgotten.has(blob)) give(candidate);
    }
  return { forget, remove: [...remove] };
}
