import type { BlobStore } from '../io/blob-store.ts';
import type { Clock } from '../io/clock.ts';
import type { Log } from '../io/log.ts';
import { type Block, readList, readRoot } from '../protocol/blob.ts';
import { Fault } from '../protocol/faults.ts';
import { LIMITS } from '../protocol/limits.ts';
import type { BlockExchange } from './block-exchange.ts';

/** Blocks of one blob that are fetched at once. */
const AT_ONCE = 8;
/** How exactly the last use of a blob is known after a restart. */
const USE_GRAIN_MS = 3_600_000;
/** And where somebody wants it kept: the job that needs it is on its way, and room may be needed before it is there. */
export const KEEP_GRAIN_MS = 60_000;

export interface BlobKeeperOptions {
  readonly store: BlobStore;
  readonly exchange: BlockExchange;
  readonly clock: Clock;
  readonly log: Log;
  /** Makes room for so many bytes of an owner, as far as there is anything that may go: false where there is not enough. */
  readonly makeRoom: (bytes: number, owner: string) => Promise<boolean>;
}

/** It is kept; or something of it cannot be had now; or this master gives uploads no more room. */
export type Keeping = 'kept' | 'lacking' | 'full';

interface Consists {
  /** Bytes of the content, as the root says. */
  readonly size: number;
  readonly blocks: string[];
  /** Room that all of them take, and bytes of each of the content. */
  readonly room: number;
  readonly content: readonly Block[];
}

/** A blob is kept once all its blocks are on this master's disk, and a note of it. */
export class BlobKeeper {
  readonly #options: BlobKeeperOptions;
  readonly #keeping = new Map<string, Promise<Keeping>>();
  /** Blocks of blobs that are being kept: nothing takes them away meanwhile. */
  readonly #pinned = new Map<string, ReadonlySet<string>>();

  constructor(options: BlobKeeperOptions) {
    this.#options = options;
  }

  /**
   * Keeps a blob of `size` bytes, and fetches what is lacking from `peers` (default: whoever is reached). Where it cannot,
   * whoever wants it kept asks again.
   */
  keep(blob: string, owner: string, size: number, peers?: readonly string[]): Promise<Keeping> {
    const key = `${blob} ${peers?.join() ?? 'all'}`;
    const before = this.#keeping.get(key);
    if (before !== undefined) return before;
    const keeping = this.#keep(key, blob, owner, size, peers)
      .catch((error: unknown) => {
        this.#options.log.warn('upload not kept', { blob, error: String(error) });
        return 'lacking' as const;
      })
      .finally(() => {
        this.#keeping.delete(key);
        this.#pinned.delete(key);
      });
    this.#keeping.set(key, keeping);
    return keeping;
  }

  isPinned(hash: string): boolean {
    for (const blocks of this.#pinned.values()) if (blocks.has(hash)) return true;
    return false;
  }

  /** Everything a blob consists of: root, lists, and its content in order. Undefined where it cannot be had, or is none. */
  async blocksOf(blob: string, peers?: readonly string[]): Promise<string[] | undefined> {
    return (await this.#consists(blob, peers))?.blocks;
  }

  async #consists(blob: string, peers?: readonly string[]): Promise<Consists | undefined> {
    const { exchange } = this.#options;
    const rootBytes = await exchange.obtain(blob, peers);
    const root = rootBytes === undefined ? undefined : readRoot(rootBytes);
    if (root === undefined || root instanceof Fault) return undefined;
    const { store } = this.#options;
    const content: Block[] = [];
    let room = store.roomOf(rootBytes?.length ?? 0);
    for (const { hash, size } of root.lists) {
      const bytes = await exchange.obtain(hash, peers);
      const blocks = bytes === undefined ? undefined : readList(bytes, size);
      if (blocks === undefined || blocks instanceof Fault) return undefined;
      if (content.length + blocks.length > LIMITS.uploadBlocks) return undefined;
      room += store.roomOf(bytes?.length ?? 0);
      for (const block of blocks) {
        content.push(block);
        room += store.roomOf(block.size);
      }
    }
    const hashes = [blob, ...root.lists.map(({ hash }) => hash), ...content.map(({ hash }) => hash)];
    return { size: root.size, room, content, blocks: hashes };
  }

  /** It is being read: it stays for longer. */
  async used(blob: string): Promise<void> {
    const { store, clock } = this.#options;
    const note = store.kept.get(blob);
    const nowMs = clock.wall();
    if (note !== undefined && nowMs - note.usedMs > USE_GRAIN_MS) await store.keep(blob, { ...note, usedMs: nowMs });
  }

  async #keep(
    key: string,
    blob: string,
    owner: string,
    size: number,
    peers: readonly string[] | undefined,
  ): Promise<Keeping> {
    const { store, exchange, clock, makeRoom } = this.#options;
    const known = store.kept.get(blob);
    // Its root and lists are fetched before it is known what it takes.
    if (known === undefined && !(await makeRoom(LIMITS.chunkBytes, owner))) return 'full';
    const consists = await this.#consists(blob, peers);
    // What was said of it was how it was let in.
    if (consists === undefined || consists.size !== size) return 'lacking';
    const { blocks, room, content } = consists;
    const all = new Set(blocks);
    this.#pinned.set(key, all);
    const sizes = new Map(content.map((block) => [block.hash, block.size]));
    const lacking = [...all].filter((hash) => !store.blocks.has(hash));
    const wanted = lacking.reduce((sum, hash) => sum + store.roomOf(sizes.get(hash) ?? LIMITS.chunkBytes), 0);
    if (wanted > 0 && !(await makeRoom(wanted, owner))) return 'full';
    let failed = false;
    const fetchSome = async (): Promise<void> => {
      for (let hash = lacking.shift(); hash !== undefined && !failed; hash = lacking.shift())
        if ((await exchange.obtain(hash, peers)) === undefined) failed = true;
    };
    await Promise.all(Array.from({ length: AT_ONCE }, fetchSome));
    if (failed || blocks.some((hash) => !store.blocks.has(hash))) return 'lacking';
    const nowMs = clock.wall();
    // As it is now: it may have been forgotten while this looked.
    const kept = store.kept.get(blob);
    if (kept === undefined || nowMs - kept.usedMs > KEEP_GRAIN_MS)
      await store.keep(blob, { owner, size, room, usedMs: nowMs });
    return 'kept';
  }
}
