import type { BlobStore } from '../io/blob-store.ts';
import type { Clock, Timer } from '../io/clock.ts';
import type { Log } from '../io/log.ts';
import { readList, readRoot } from '../protocol/blob.ts';
import { Fault } from '../protocol/faults.ts';
import { LIMITS, TIMES } from '../protocol/limits.ts';
import { KEEP_GRAIN_MS } from './blob-keeper.ts';
import { type Claim, type Collectable, collect } from './blobs/collect.ts';

const FIRST_MS = 600_000;
const EVERY_MS = 3_600_000;
/** Ten minutes, and what a note may be behind. */
const FRESH_MS = 600_000 + KEEP_GRAIN_MS;
const LOOSE_MS = 24 * 3_600_000;

export interface BlobCollectorOptions {
  readonly store: BlobStore;
  readonly clock: Clock;
  readonly log: Log;
  /** Bytes that this master gives to uploads. */
  readonly capBytes: number;
  /** The blobs that somebody may still need. */
  readonly named: () => ReadonlySet<string>;
  /** Blocks that nothing takes away now. */
  readonly isPinned: (hash: string) => boolean;
}

/** Removes what nobody needs any more from this master's disk: every hour, and where room is needed. */
export class BlobCollector {
  readonly #options: BlobCollectorOptions;
  #timer: Timer | undefined;
  #running: Promise<void> = Promise.resolve();

  constructor(options: BlobCollectorOptions) {
    this.#options = options;
  }

  /** Bytes that one owner's uploads may have together. */
  get ownerBytes(): number {
    return Math.floor((this.#options.capBytes * LIMITS.uploadShareThousandths) / 1_000);
  }

  start(): void {
    this.#arm(FIRST_MS);
  }

  stop(): void {
    this.#timer?.cancel();
  }

  /** Removes what may go where `room` more bytes of that owner need it. Rejects with a StorageError. */
  makeRoom(room: number, owner: string): Promise<void> {
    const { store, capBytes } = this.#options;
    if (store.bytes + room <= capBytes) return Promise.resolve();
    return this.collect(room, new Set(), { owner, loose: new Map() });
  }

  /** One after another: each plan is made of what the one before has left. `unwanted`, `claim`: as of {@link collect}. */
  collect(room = 0, unwanted: ReadonlySet<string> = new Set(), claim?: Claim): Promise<void> {
    const run = this.#running.catch(() => undefined).then(() => this.#collect(room, unwanted, claim));
    this.#running = run;
    return run;
  }

  #arm(ms: number): void {
    this.#timer = this.#options.clock.after(ms, () => {
      this.collect().catch((error: unknown) =>
        this.#options.log.warn('uploads not tidied up', { error: String(error) }),
      );
      this.#arm(EVERY_MS);
    });
  }

  async #collect(room: number, unwanted: ReadonlySet<string>, claim: Claim | undefined): Promise<void> {
    const { store, clock, log, capBytes, named, isPinned } = this.#options;
    if (store.blocks.size === 0 && store.kept.size === 0) return;
    const needed = named();
    const blobs: Collectable[] = [];
    for (const [blob, note] of store.kept)
      blobs.push({ blob, ...note, named: needed.has(blob), blocks: await this.#blocksOf(blob) });
    const now = clock.monotonic();
    const blocks = new Map(
      [...store.blocks].map(([hash, { size, sinceMs }]) => [hash, { room: store.roomOf(size), agedMs: now - sinceMs }]),
    );
    const { forget, remove } = collect(blobs, blocks, {
      nowMs: clock.wall(),
      ageMs: TIMES.blobAgeMs,
      freshMs: FRESH_MS,
      looseMs: LOOSE_MS,
      capBytes,
      ownerBytes: this.ownerBytes,
      room,
      unwanted,
      claim,
    });
    // First that it is kept, then what it consists of: after a crash in between, blocks are loose, and no blob has holes.
    for (const blob of forget) await store.forget(blob);
    for (const hash of remove) if (!isPinned(hash)) await store.remove(hash);
    if (remove.length > 0) log.info('uploads tidied up', { blobs: forget.length, blocks: remove.length });
  }

  /** As far as its own disk tells: what is damaged is mended when it is read. */
  async #blocksOf(blob: string): Promise<string[]> {
    const { store } = this.#options;
    const rootBytes = await store.read(blob);
    const root = rootBytes === undefined ? undefined : readRoot(rootBytes);
    const blocks = [blob];
    if (root === undefined || root instanceof Fault) return blocks;
    for (const { hash, size } of root.lists) {
      blocks.push(hash);
      const bytes = await store.read(hash);
      const list = bytes === undefined ? undefined : readList(bytes, size);
      if (list !== undefined && !(list instanceof Fault)) for (const block of list) blocks.push(block.hash);
    }
    return blocks;
  }
}
