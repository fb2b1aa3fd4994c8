import type { BlobStore } from '../io/blob-store.ts';
import type { Clock } from '../io/clock.ts';
import type { Log } from '../io/log.ts';
import { readList, readRoot } from '../protocol/blob.ts';
import { Fault } from '../protocol/faults.ts';
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
  /** Makes room for so many bytes, as far as there is anything that may go. */
  readonly makeRoom: (bytes: number) => Promise<void>;
}

interface Consists {
  /** Bytes of the content, as the root says. */
  readonly size: number;
  readonly blocks: string[];
}

/** A blob is kept once all its blocks are on this master's disk, and a note of it. */
export class BlobKeeper {
  readonly #options: BlobKeeperOptions;
  readonly #keeping = new Map<string, Promise<boolean>>();
  /** Blocks of blobs that are being kept: nothing takes them away meanwhile. */
  readonly #pinned = new Map<string, ReadonlySet<string>>();

  constructor(options: BlobKeeperOptions) {
    this.#options = options;
  }

  /**
   * Keeps a blob, and fetches what is lacking from `peers` (default: whoever is reached). False where that cannot be had
   * now; whoever wants it kept asks again.
   */
  keep(blob: string, owner: string, size: number, peers?: readonly string[]): Promise<boolean> {
    const key = `${blob} ${peers?.join() ?? 'all'}`;
    const before = this.#keeping.get(key);
    if (before !== undefined) return before;
    const keeping = this.#keep(key, blob, owner, size, peers)
      .catch((error: unknown) => {
        this.#options.log.warn('upload not kept', { blob, error: String(error) });
        return false;
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
    const content: string[] = [];
    for (const { hash, size } of root.lists) {
      const bytes = await exchange.obtain(hash, peers);
      const blocks = bytes === undefined ? undefined : readList(bytes, size);
      if (blocks === undefined || blocks instanceof Fault) return undefined;
      for (const block of blocks) content.push(block.hash);
    }
    return { size: root.size, blocks: [blob, ...root.lists.map(({ hash }) => hash), ...content] };
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
  ): Promise<boolean> {
    const { store, exchange, clock, makeRoom } = this.#options;
    const known = store.kept.get(blob);
    if (known === undefined) await makeRoom(size);
    const consists = await this.#consists(blob, peers);
    if (consists === undefined) return false;
    const { blocks } = consists;
    const all = new Set(blocks);
    this.#pinned.set(key, all);
    const lacking = [...all].filter((hash) => !store.blocks.has(hash));
    let failed = false;
    const fetchSome = async (): Promise<void> => {
      for (let hash = lacking.shift(); hash !== undefined && !failed; hash = lacking.shift())
        if ((await exchange.obtain(hash, peers)) === undefined) failed = true;
    };
    await Promise.all(Array.from({ length: AT_ONCE }, fetchSome));
    if (failed || blocks.some((hash) => !store.blocks.has(hash))) return false;
    const nowMs = clock.wall();
    // As it is now: it may have been forgotten while this looked.
    const kept = store.kept.get(blob);
    if (kept === undefined || nowMs - kept.usedMs > KEEP_GRAIN_MS)
      await store.keep(blob, { owner, size: consists.size, usedMs: nowMs });
    return true;
  }
}
