import type { RunningDigest } from '../io/digest.ts';
import type { Log } from '../io/log.ts';
import type { SandboxFiller } from '../io/sandbox-filler.ts';
import type { RandomAccessFile, Storage } from '../io/storage.ts';
import { StorageError } from '../io/storage.ts';
import { LIMITS } from '../protocol/limits.ts';
import { CacheIndex } from './artifacts/cache-index.ts';
import { evictions } from './artifacts/evictions.ts';
import { SYNC_BYTES, trustedBytes } from './artifacts/trusted-bytes.ts';

export interface ArtifactFilesWorld {
  /** Of the folder in which fetched files are kept, and nothing else is. */
  readonly storage: Storage;
  readonly filler: SandboxFiller;
  readonly digest: () => RunningDigest;
  readonly sha256: (text: string) => string;
  readonly log: Log;
  readonly boot: string;
  readonly capBytes: number;
}

const INDEX = 'index.json';
const PART = 'part-';
const NOTE = '.json';
const READ_BYTES = 1_048_576;

/** Files that were fetched, and parts of those that are being. What is kept is bounded; what somebody needs stays. */
export class ArtifactFiles {
  readonly #world: ArtifactFilesWorld;
  readonly index: CacheIndex;
  /** Files that are just being used, each as often as it is. */
  readonly #inUse = new Map<string, number>();
  /** Files that are being removed, until they are. */
  readonly #going = new Map<string, Promise<void>>();
  /** Bytes of parts that grow. */
  readonly #growing = new Map<string, number>();
  #writing: Promise<void> = Promise.resolve();
  #making: Promise<void> = Promise.resolve();

  private constructor(world: ArtifactFilesWorld, index: CacheIndex) {
    this.#world = world;
    this.index = index;
  }

  /**
   * Takes up what an agent before this one left. `runs`: those that may need what they had; `keys`: what they may still
   * fetch, so that its parts are worth keeping. An index that cannot be read is set aside, and the files with it.
   */
  static async open(
    world: ArtifactFilesWorld,
    runs: ReadonlySet<string>,
    keys: ReadonlySet<string>,
  ): Promise<ArtifactFiles> {
    const { storage, log } = world;
    const bytes = await storage.read(INDEX);
    const parsed = bytes === undefined ? new CacheIndex() : CacheIndex.parse(new TextDecoder().decode(bytes));
    if (parsed === undefined) {
      log.error('index of fetched files cannot be read: they are fetched again', { setAside: `${INDEX}.bad` });
      await storage.rename(INDEX, `${INDEX}.bad`);
    }
    const files = new ArtifactFiles(world, parsed ?? new CacheIndex());
    for (const run of files.index.runs)
      if (!runs.has(run)) for (const name of files.index.release(run)) files.index.forget(name);
    const parts = new Set([...keys].map((key) => files.#partOf(key)));
    const there = new Set(await storage.list(''));
    for (const name of there) {
      const part = name.endsWith(NOTE) ? name.slice(0, -NOTE.length) : name;
      const wanted = files.index.has(name) || parts.has(part) || name.startsWith(INDEX);
      if (!wanted) await storage.remove(name);
    }
    for (const { name } of files.index.files) if (!there.has(name)) files.index.forget(name);
    return files;
  }

  /** Durable once it resolves. */
  write(): Promise<void> {
    this.#writing = this.#writing
      .catch(() => undefined)
      .then(() => this.#world.storage.replace(INDEX, new TextEncoder().encode(this.index.format())));
    return this.#writing;
  }

  /** While it is used, it stays. */
  use(name: string): void {
    this.#inUse.set(name, (this.#inUse.get(name) ?? 0) + 1);
  }

  unuse(name: string): void {
    const times = (this.#inUse.get(name) ?? 1) - 1;
    if (times === 0) this.#inUse.delete(name);
    else this.#inUse.set(name, times);
  }

  /** The run has ended, or will never be started again: what only it had goes. */
  async release(run: string): Promise<void> {
    if (!this.index.runs.includes(run)) return;
    const unneeded = this.index.release(run).filter((name) => !this.#inUse.has(name));
    await this.#remove(unneeded);
    await this.write();
  }

  /**
   * Makes room for so many bytes more, one caller after the other. `needed`: files that accepted runs may want.
   * Rejects with a StorageError `ENOSPC` where there is none to be made.
   */
  makeRoom(wantedBytes: number, needed: ReadonlySet<string>): Promise<void> {
    const making = this.#making.catch(() => undefined).then(() => this.#makeRoom(wantedBytes, needed));
    this.#making = making;
    return making;
  }

  async #makeRoom(wantedBytes: number, needed: ReadonlySet<string>): Promise<void> {
    const { filler, capBytes, log } = this.#world;
    const { freeBytes } = await filler.space();
    const growing = [...this.#growing.values()].reduce((sum, bytes) => sum + bytes, 0);
    const room = {
      wantedBytes,
      freeBytes,
      reserveBytes: LIMITS.diskReserveBytes,
      capBytes: Math.max(0, capBytes - growing),
    };
    const stay = new Set([...needed, ...this.index.held(), ...this.#inUse.keys()]);
    const { remove, fits } = evictions(this.index.files, stay, room);
    if (remove.length > 0) {
      log.info('fetched files make room', { files: remove.length });
      await this.#remove(remove);
      await this.write();
    }
    if (!fits) throw new StorageError('ENOSPC', 'artifacts');
  }

  async #remove(names: readonly string[]): Promise<void> {
    for (const name of names) {
      // Somebody may have come to use it while those before it went.
      if (this.#inUse.has(name)) continue;
      this.index.forget(name);
      const going = this.#world.storage.remove(name).finally(() => this.#going.delete(name));
      this.#going.set(name, going);
      await going;
    }
  }

  #partOf(key: string): string {
    return `${PART}${this.#world.sha256(key).slice(0, 32)}`;
  }

  /** The part of a file that is there, to be gone on with; its bytes are read once, to know their SHA-256. One at a time for a key. */
  async openPart(key: string): Promise<PartFile> {
    const { storage, boot, digest } = this.#world;
    const name = this.#partOf(key);
    const note = noteOf(await storage.read(`${name}${NOTE}`));
    const file = await storage.open(name);
    try {
      const size = await file.size();
      const trusted = note === undefined ? 0 : trustedBytes(size, boot !== '' && note.boot === boot);
      if (trusted < size) await file.truncate(trusted);
      const hash = digest();
      for (let at = 0; at < trusted; ) {
        const bytes = await file.read(at, Math.min(READ_BYTES, trusted - at));
        if (bytes.length === 0) throw new StorageError('EIO', name);
        hash.update(bytes);
        at += bytes.length;
      }
      const part = new PartFile({ file, hash, bytes: trusted, version: note?.version, digest }, (version) =>
        storage.replace(`${name}${NOTE}`, new TextEncoder().encode(JSON.stringify({ version, boot }))),
      );
      part.onGrown = (bytes) => this.#growing.set(name, bytes);
      return part;
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** Leaves the part as it is, for the next try. */
  async closePart(key: string, part: PartFile): Promise<void> {
    this.#growing.delete(this.#partOf(key));
    await part.close();
  }

  async removePart(key: string): Promise<void> {
    const name = this.#partOf(key);
    await this.#world.storage.remove(name);
    await this.#world.storage.remove(`${name}${NOTE}`);
  }

  /**
   * The part is whole: from now on it is a file, under the name of its content. It is being used already, by whoever it was
   * fetched for: `unuse` it once they have it.
   */
  async keepPart(key: string, name: string, uri: string, version: string | undefined, bytes: number): Promise<void> {
    const part = this.#partOf(key);
    this.use(name);
    try {
      // What goes is what was there before.
      await this.#going.get(name)?.catch(() => undefined);
      await this.#world.storage.rename(part, name);
      this.index.add(name, bytes, uri, version);
      await this.write();
      await this.#world.storage.remove(`${part}${NOTE}`);
    } catch (error) {
      this.unuse(name);
      throw error;
    }
  }
}

interface PartState {
  readonly file: RandomAccessFile;
  hash: RunningDigest;
  bytes: number;
  version: string | undefined;
  readonly digest: () => RunningDigest;
}

/** A file that grows, and its SHA-256 with it. */
class PartFile {
  readonly #state: PartState;
  readonly #note: (version: string | undefined) => Promise<void>;
  onGrown: (bytes: number) => void = () => undefined;
  #noted: boolean;

  constructor(state: PartState, note: (version: string | undefined) => Promise<void>) {
    this.#state = state;
    this.#note = note;
    this.#noted = state.bytes > 0;
  }

  get bytes(): number {
    return this.#state.bytes;
  }

  /** Of the content that it is a part of. */
  get version(): string | undefined {
    return this.#state.version;
  }

  /** What is there is worth nothing: from the beginning, of this version. */
  async begin(version: string | undefined): Promise<void> {
    const { file, digest } = this.#state;
    if (this.#state.bytes > 0 || this.#noted) await file.truncate(0);
    Object.assign(this.#state, { hash: digest(), bytes: 0, version });
    // Before the first byte: a part without a word of what it is of is not gone on with.
    await this.#note(version);
    this.#noted = true;
  }

  async append(bytes: Uint8Array): Promise<void> {
    const { file, hash } = this.#state;
    for (let at = 0; at < bytes.length; ) {
      const end = Math.min(bytes.length, at + SYNC_BYTES - (this.#state.bytes % SYNC_BYTES));
      const piece = bytes.subarray(at, end);
      await file.write(this.#state.bytes, piece);
      hash.update(piece);
      this.#state.bytes += piece.length;
      if (this.#state.bytes % SYNC_BYTES === 0) await file.sync();
      at = end;
    }
    this.onGrown(this.#state.bytes);
  }

  /** Durable; its SHA-256. */
  async end(): Promise<string> {
    await this.#state.file.sync();
    return this.#state.hash.end();
  }

  async close(): Promise<void> {
    await this.#state.file.close();
  }
}

export type { PartFile };

function noteOf(bytes: Uint8Array | undefined): { version: string | undefined; boot: string } | undefined {
  if (bytes === undefined) return undefined;
  try {
    const note = JSON.parse(new TextDecoder().decode(bytes)) as { version?: unknown; boot?: unknown };
    const version = typeof note.version === 'string' ? note.version : undefined;
    return typeof note.boot === 'string' ? { version, boot: note.boot } : undefined;
  } catch {
    return undefined;
  }
}
