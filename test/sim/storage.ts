import { crc32 } from 'node:zlib';
import type { Clock } from '../../io/clock.ts';
import type { Random } from '../../io/random.ts';
import { isInside, type RandomAccessFile, type Storage, StorageError, TEMPORARY_SUFFIX } from '../../io/storage.ts';

/** Power is cut within a write at this grain: each sector arrives or does not. */
const SECTOR = 512;

interface Change {
  readonly position: number;
  /** Written bytes; undefined for a cut to `position`. */
  readonly bytes: Uint8Array | undefined;
}

/** A file's content, apart from its names. Both views are changed in place. */
interface Inode {
  current: Uint8Array;
  durable: Uint8Array;
  /** Since the last sync, in order. */
  unsynced: Change[];
}

/** How long a step takes: of which clock, and how many milliseconds. */
export interface DiskLatency {
  readonly clock: Clock;
  readonly latencyMs: number | (() => number);
}

/** One step of a folder: names that appear or (undefined) vanish together. */
type NameChange = readonly (readonly [path: string, inode: Inode | undefined])[];

/**
 * A disk that keeps apart what programs see and what survives a power cut. `storage()` gives the view of one run of a
 * process; `crash` ends all views (their calls never return, as in a dead process) and leaves of everything unsynced
 * what chance leaves: any sectors of a write, any of the renames.
 */
export class SimulatedDisk {
  /** Bytes all files may have together; beyond that writes reject with `ENOSPC`. */
  capacity = Number.POSITIVE_INFINITY;
  /** The next syncs (of a file or folder) that reject with `EIO`; what a file's was to save is lost at the next crash. */
  failingSyncs = 0;
  /** Steps done: each creation, write, sync, rename, removal is one. */
  steps = 0;
  /** Power goes after this step, before anybody hears of its success. */
  crashAt = Number.POSITIVE_INFINITY;
  /** Called at that moment. */
  onPowerCut: () => void = () => undefined;

  readonly #latency: DiskLatency | undefined;
  readonly #names = new Map<string, Inode>();
  readonly #durableNames = new Map<string, Inode>();
  #unsyncedNames: NameChange[] = [];
  #run = 0;

  /** Without a latency every step is done at once. */
  constructor(latency?: DiskLatency) {
    this.#latency = latency;
  }

  /** The same content on another disk: what a copied SD card has. */
  clone(latency?: DiskLatency): SimulatedDisk {
    const copy = new SimulatedDisk(latency);
    for (const path of this.#names.keys()) copy.poke(path, this.peek(path) ?? new Uint8Array());
    return copy;
  }

  /** A new disk in the place of this one. */
  wipe(): void {
    this.#run++;
    this.failingSyncs = 0;
    this.#names.clear();
    this.#durableNames.clear();
    this.#unsyncedNames = [];
  }

  /** Cuts the power; the disk goes on with what it kept. */
  crash(random: Random): void {
    this.#run++;
    this.crashAt = Number.POSITIVE_INFINITY;
    for (const change of this.#unsyncedNames) if (random.next() < 0.5) applyNames(this.#durableNames, change);
    this.#unsyncedNames = [];
    this.#names.clear();
    for (const [path, inode] of this.#durableNames) {
      settle(inode, random);
      this.#names.set(path, inode);
    }
  }

  /** Ends all views without a power cut: the process died, the disk keeps everything. */
  kill(): void {
    this.#run++;
  }

  /** What programs see of a file now. */
  peek(path: string): Uint8Array | undefined {
    return this.#names.get(path)?.current.slice();
  }

  /** Damages or plants a file behind the programs' back, durably. */
  poke(path: string, bytes: Uint8Array): void {
    const inode: Inode = { current: bytes.slice(), durable: bytes.slice(), unsynced: [] };
    this.#names.set(path, inode);
    this.#durableNames.set(path, inode);
  }

  /** Removes a file behind the programs' back, durably. */
  lose(path: string): void {
    this.#names.delete(path);
    this.#durableNames.delete(path);
  }

  /** Bytes that all files have together. */
  get used(): number {
    return [...this.#names.values()].reduce((sum, { current }) => sum + current.length, 0);
  }

  /** All names, sorted. */
  paths(): string[] {
    return [...this.#names.keys()].sort();
  }

  /** `latency` is of the process that looks at the disk; default: the disk's own. */
  storage(latency = this.#latency): Storage {
    const run = this.#run;
    const step = (action: () => void = () => undefined) => this.#step(run, latency, action);

    const change = (path: string, inode: Inode, position: number, bytes: Uint8Array | undefined) =>
      step(() => this.#change(path, inode, position, bytes));
    const sync = (path: string, inode: Inode) => step(() => this.#sync(path, inode));
    const rename = (change: NameChange) => step(() => this.#rename(change));
    const syncNames = (path: string) => step(() => this.#syncNames(path));

    const create = async (path: string): Promise<Inode> => {
      const inode: Inode = { current: new Uint8Array(), durable: new Uint8Array(), unsynced: [] };
      await rename([[path, inode]]);
      return inode;
    };

    const move = async (from: string, to: string): Promise<void> => {
      const inode = this.#names.get(from);
      const moved = inode === undefined ? this.#below(from, to) : [[to, inode] as const];
      if (moved.length === 0) throw new StorageError('ENOENT', to);
      await rename([[from, undefined], ...moved]);
      await syncNames(to);
    };

    const fileOver = (path: string, inode: Inode): RandomAccessFile => ({
      size: async () => {
        await step();
        return inode.current.length;
      },
      read: async (position, length) => {
        await step();
        return inode.current.slice(position, position + length);
      },
      write: (position, bytes) => change(path, inode, position, bytes),
      writeDurably: async (position, bytes) => {
        await change(path, inode, position, bytes);
        await sync(path, inode);
      },
      sync: () => sync(path, inode),
      truncate: (size) => change(path, inode, size, undefined),
      close: () => step(),
    });

    const replacing = new Map<string, Promise<void>>();
    const replace = async (path: string, content: Uint8Array): Promise<void> => {
      check(path);
      const temporary = path + TEMPORARY_SUFFIX;
      const inode = await create(temporary);
      await change(path, inode, 0, content);
      await sync(path, inode);
      await move(temporary, path);
    };

    return {
      read: async (path) => {
        check(path);
        await step();
        return this.#names.get(path)?.current.slice();
      },
      replace: (path, bytes) => {
        const content = bytes.slice();
        const before = replacing.get(path) ?? Promise.resolve();
        const done = before.catch(() => undefined).then(() => replace(path, content));
        replacing.set(path, done);
        return done;
      },
      rename: async (from, to) => {
        check(from);
        check(to);
        if (folderOf(from) !== folderOf(to)) throw new StorageError('EINVAL', to);
        await move(from, to);
      },
      list: async (folder) => {
        if (folder !== '') check(folder);
        await step();
        const start = folder === '' ? '' : `${folder}/`;
        const below = this.paths().filter((path) => path.startsWith(start) && !path.endsWith(TEMPORARY_SUFFIX));
        return [...new Set(below.map((path) => path.slice(start.length).split('/')[0] ?? ''))].sort();
      },
      remove: async (path) => {
        check(path);
        if (!this.#names.has(path)) return;
        await rename([[path, undefined]]);
        await syncNames(path);
      },
      open: async (path) => {
        check(path);
        const found = this.#names.get(path);
        if (found !== undefined) {
          await step();
          return fileOver(path, found);
        }
        const inode = await create(path);
        await syncNames(path);
        return fileOver(path, inode);
      },
      crc32: (bytes, seed = 0) => crc32(bytes, seed),
    };
  }

  async #step(run: number, latency: DiskLatency | undefined, action: () => void): Promise<void> {
    await new Promise<void>((resolve) => {
      if (latency === undefined) return resolve();
      const { clock, latencyMs } = latency;
      clock.after(typeof latencyMs === 'number' ? latencyMs : latencyMs(), resolve);
    });
    if (run !== this.#run) return never();
    action();
    this.steps++;
    if (this.steps < this.crashAt) return;
    this.#run++;
    this.onPowerCut();
    return never();
  }

  #change(path: string, inode: Inode, position: number, bytes: Uint8Array | undefined): void {
    const grown = Math.max(0, position + (bytes?.length ?? 0) - inode.current.length);
    if (bytes !== undefined && this.capacity < Number.POSITIVE_INFINITY && this.used + grown > this.capacity)
      throw new StorageError('ENOSPC', path);
    const change = { position, bytes: bytes?.slice() };
    inode.unsynced.push(change);
    inode.current = applied(inode.current, change);
  }

  #sync(path: string, inode: Inode): void {
    const fails = this.#syncFails();
    // As Linux does: after a failure the pages count as clean, so that a second sync succeeds and saves nothing.
    if (!fails) inode.durable = inode.unsynced.reduce(applied, inode.durable);
    inode.unsynced = [];
    if (fails) throw new StorageError('EIO', path);
  }

  #rename(change: NameChange): void {
    this.#unsyncedNames.push(change);
    applyNames(this.#names, change);
  }

  /** What becomes of the names in the folder `from` when it is called `to`: all at once. */
  #below(from: string, to: string): [string, Inode | undefined][] {
    if (this.paths().some((path) => path.startsWith(`${to}/`))) throw new StorageError('ENOTEMPTY', to);
    return [...this.#names].flatMap(([path, inode]) =>
      path.startsWith(`${from}/`)
        ? [
            [path, undefined],
            [to + path.slice(from.length), inode],
          ]
        : [],
    );
  }

  #syncNames(path: string): void {
    if (this.#syncFails()) throw new StorageError('EIO', path);
    const folder = folderOf(path);
    const here = (change: NameChange) => change.some(([name]) => folderOf(name) === folder);
    for (const change of this.#unsyncedNames.filter(here)) applyNames(this.#durableNames, change);
    this.#unsyncedNames = this.#unsyncedNames.filter((change) => !here(change));
  }

  #syncFails(): boolean {
    if (this.failingSyncs === 0) return false;
    this.failingSyncs--;
    return true;
  }
}

function settle(inode: Inode, random: Random): void {
  let content = inode.durable;
  for (const change of inode.unsynced) for (const part of survivors(change, random)) content = applied(content, part);
  inode.current = content.slice();
  inode.durable = content;
  inode.unsynced = [];
}

/** What chance leaves of one unsynced change: all, nothing, a beginning, or some of the sectors. */
function survivors(change: Change, random: Random): Change[] {
  const fate = random.next();
  if (fate < 0.25) return [change];
  if (fate < 0.4 || change.bytes === undefined) return [];
  const { position, bytes } = change;
  if (fate < 0.7) return [{ position, bytes: bytes.subarray(0, Math.floor(random.next() * (bytes.length + 1))) }];
  const parts: Change[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = Math.min(bytes.length, at + SECTOR - ((position + at) % SECTOR));
    if (random.next() < 0.5) parts.push({ position: position + at, bytes: bytes.subarray(at, end) });
    at = end;
  }
  return parts;
}

/** The content with a change in it. The one before is not to be used any more. */
function applied(content: Uint8Array, { position, bytes }: Change): Uint8Array {
  const size = bytes === undefined ? position : Math.max(content.length, position + bytes.length);
  const result = resized(content, size);
  if (bytes !== undefined) result.set(bytes, position);
  return result;
}

/** Made here with room to grow, and used by one file alone. */
const ROOMY = new WeakSet<ArrayBufferLike>();

/** Of that size, the rest zeros: in place where there is room, for logs grow by every record. */
function resized(content: Uint8Array, size: number): Uint8Array {
  if (size === content.length) return content;
  const fits = ROOMY.has(content.buffer) && size <= content.buffer.byteLength;
  const result = new Uint8Array(fits ? content.buffer : new ArrayBuffer(2 * size), 0, size);
  if (fits) return result.fill(0, content.length);
  ROOMY.add(result.buffer);
  result.set(content.subarray(0, size));
  return result;
}

function applyNames(names: Map<string, Inode>, change: NameChange): void {
  for (const [path, inode] of change) {
    if (inode === undefined) names.delete(path);
    else names.set(path, inode);
  }
}

function folderOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')));
}

function check(path: string): void {
  if (!isInside(path)) throw new StorageError('EINVAL', path);
}

function never(): Promise<never> {
  return new Promise(() => undefined);
}
