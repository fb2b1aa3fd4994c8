import type { Clock } from './clock.ts';
import type { Digest } from './digest.ts';
import { type Storage, StorageError } from './storage.ts';

/** What is known of a blob that is kept as a whole. */
export interface KeptBlob {
  readonly owner: string;
  /** Bytes of its content. */
  readonly size: number;
  /** Bytes of the store's room that its blocks take. */
  readonly room: number;
  /** Wall-clock milliseconds of its last use. */
  readonly usedMs: number;
}

export interface StoredBlock {
  /** Bytes. */
  readonly size: number;
  /** Monotonic milliseconds since which this process knows it. */
  readonly sinceMs: number;
}

/**
 * Blocks of bytes on disk, each under its SHA-256 in hexadecimal, and notes of the blobs that are kept of them. Every
 * promise of a change resolves once it is durable; it rejects with a {@link StorageError}, after which nothing is
 * spoiled: this disk may be full.
 */
export interface BlobStore {
  /** Verified: a block that is not what its name says is set aside, and undefined as if it had never been there. */
  read(hash: string): Promise<Uint8Array | undefined>;
  /** Gives the block's hash; one that is there already is left as it is. */
  write(bytes: Uint8Array): Promise<string>;
  remove(hash: string): Promise<void>;
  keep(blob: string, note: KeptBlob): Promise<void>;
  forget(blob: string): Promise<void>;
  /** Room that all blocks take, in bytes. */
  readonly bytes: number;
  /** Room that a block of so many bytes takes. */
  roomOf(size: number): number;
  readonly blocks: ReadonlyMap<string, StoredBlock>;
  readonly kept: ReadonlyMap<string, KeptBlob>;
}

export interface BlobStoreOptions {
  readonly storage: Storage;
  readonly digest: Digest;
  readonly clock: Clock;
  /** In the storage; of its own. */
  readonly folder: string;
  /** A block counts as at least so many bytes: a file takes an inode and a page, however short it is. Default 0. */
  readonly leastBytes?: number;
  /** A damaged block was set aside. */
  readonly onCorrupt: (hash: string) => void;
}

/** Blocks that are written at once: of the platform's four threads for files one is left to the log, which everything waits for. */
const WRITES = 3;
const SHELVES = [...'0123456789abcdef'];
const CORRUPT = '.corrupt';
const BLOCK_NAME = /^([0-9a-f]{64})-(\d{1,9})$/;
const BLOB_NAME = /^[0-9a-f]{64}$/;

/** Opens a store in `folder`: `<first digit>/<hash>-<size>` for blocks, `kept/<blob>` for notes in JSON. */
export async function openBlobStore(options: BlobStoreOptions): Promise<BlobStore> {
  const { storage, folder, clock } = options;
  const blocks = new Map<string, StoredBlock>();
  const sinceMs = clock.monotonic();
  for (const shelf of SHELVES) {
    for (const name of await storage.list(`${folder}/${shelf}`)) {
      const [, hash, size] = BLOCK_NAME.exec(name) ?? [];
      if (hash !== undefined) blocks.set(hash, { size: Number(size), sinceMs });
      // Set aside by the process before this one: whoever wanted to look at it has.
      else if (name.endsWith(CORRUPT)) await storage.remove(`${folder}/${shelf}/${name}`);
    }
  }
  const kept = new Map<string, KeptBlob>();
  for (const name of await storage.list(`${folder}/kept`)) {
    const note = noteOf(await storage.read(`${folder}/kept/${name}`));
    if (BLOB_NAME.test(name) && note !== undefined) kept.set(name, note);
  }
  return new FolderBlobStore(options, blocks, kept);
}

class FolderBlobStore implements BlobStore {
  readonly blocks: Map<string, StoredBlock>;
  readonly kept: Map<string, KeptBlob>;
  bytes = 0;
  readonly #options: BlobStoreOptions;
  readonly #writing = new Map<string, Promise<void>>();
  #writes = 0;
  readonly #queue: (() => void)[] = [];

  constructor(options: BlobStoreOptions, blocks: Map<string, StoredBlock>, kept: Map<string, KeptBlob>) {
    this.#options = options;
    this.blocks = blocks;
    this.kept = kept;
    for (const { size } of blocks.values()) this.bytes += this.roomOf(size);
  }

  roomOf(size: number): number {
    return Math.max(size, this.#options.leastBytes ?? 0);
  }

  async read(hash: string): Promise<Uint8Array | undefined> {
    const { storage, digest } = this.#options;
    const block = this.blocks.get(hash);
    if (block === undefined) return undefined;
    const path = this.#path(hash, block.size);
    const bytes = await storage.read(path).catch((error: unknown) => {
      // A sector that cannot be read is as good as one that reads wrong.
      if (error instanceof StorageError) return new Uint8Array();
      throw error;
    });
    if (bytes !== undefined && digest.sha256(bytes) === hash) return bytes;
    if (this.blocks.get(hash) !== block) return undefined;
    this.#drop(hash);
    this.#options.onCorrupt(hash);
    if (bytes !== undefined) await storage.rename(path, `${path}${CORRUPT}`).catch(() => undefined);
    return undefined;
  }

  async write(bytes: Uint8Array): Promise<string> {
    const { storage, digest, clock } = this.#options;
    const hash = digest.sha256(bytes);
    if (this.blocks.has(hash)) return hash;
    const before = this.#writing.get(hash);
    if (before !== undefined) {
      await before;
      return hash;
    }
    const written = this.#inTurn(() => storage.replace(this.#path(hash, bytes.length), bytes));
    this.#writing.set(hash, written);
    try {
      await written;
    } finally {
      this.#writing.delete(hash);
    }
    this.blocks.set(hash, { size: bytes.length, sinceMs: clock.monotonic() });
    this.bytes += this.roomOf(bytes.length);
    return hash;
  }

  async remove(hash: string): Promise<void> {
    const block = this.blocks.get(hash);
    if (block === undefined) return;
    this.#drop(hash);
    await this.#options.storage.remove(this.#path(hash, block.size));
  }

  async keep(blob: string, note: KeptBlob): Promise<void> {
    await this.#options.storage.replace(this.#notePath(blob), new TextEncoder().encode(`${JSON.stringify(note)}\n`));
    this.kept.set(blob, note);
  }

  async forget(blob: string): Promise<void> {
    this.kept.delete(blob);
    await this.#options.storage.remove(this.#notePath(blob));
  }

  async #inTurn(write: () => Promise<void>): Promise<void> {
    if (this.#writes < WRITES) this.#writes++;
    else await new Promise<void>((resolve) => this.#queue.push(resolve));
    try {
      await write();
    } finally {
      const next = this.#queue.shift();
      if (next === undefined) this.#writes--;
      else next();
    }
  }

  #drop(hash: string): void {
    const block = this.blocks.get(hash);
    if (block !== undefined) this.bytes -= this.roomOf(block.size);
    this.blocks.delete(hash);
  }

  #path(hash: string, size: number): string {
    return `${this.#options.folder}/${hash.slice(0, 1)}/${hash}-${size}`;
  }

  #notePath(blob: string): string {
    return `${this.#options.folder}/kept/${blob}`;
  }
}

/** Undefined where it is none of ours: the blob counts as not kept, and is fetched again when it is asked for. */
function noteOf(bytes: Uint8Array | undefined): KeptBlob | undefined {
  try {
    const note: unknown = JSON.parse(new TextDecoder().decode(bytes));
    const { owner, size, room = size, usedMs } = note as Partial<Record<keyof KeptBlob, unknown>>;
    const numbers = typeof size === 'number' && typeof room === 'number' && typeof usedMs === 'number';
    return typeof owner === 'string' && numbers ? { owner, size, room, usedMs } : undefined;
  } catch {
    return undefined;
  }
}
