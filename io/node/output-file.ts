import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  type Stats,
  statSync,
  watch,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { type FileHandle, open, readFile } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import type { OutputChunk, OutputFile } from '../output-file.ts';
import { StorageError } from '../storage.ts';
import { punchHole } from './punch-hole.ts';

/** What a truncation keeps: small enough not to be noticed by the event loop, where it is copied in one go. */
const TAIL_BYTES = 262_144;
/** A file that is longer, holes and all, is truncated: below what any file system takes (ext4 of 1 kB blocks: 4 TiB). */
const LONGEST_BYTES = 2 ** 40;
/** Nobody writes more between two cuts: of a file that is longer (truncate(1) makes it so), what lies behind is not looked at. */
const MOST_BYTES = 2 * LONGEST_BYTES;
/** Where offsets stop: beyond it they are not exact, and no peer takes them. */
const FARTHEST = Number.MAX_SAFE_INTEGER;
/**
 * The file is the task's: it may hold a lease on it (fcntl(2), F_SETLEASE), for which an open waits 45 s unless told not
 * to, or have put a FIFO there.
 */
const { O_RDONLY, O_RDWR, O_NONBLOCK } = constants;
/** How often a folder is looked at that cannot be watched (no inotify watches left). */
const POLL_MS = 1_000;

/**
 * The output file at `path`, which the task appends to (O_APPEND: after a truncation it goes on at the start). A cut
 * punches a hole where the dropped bytes were; the file's size goes on growing, its blocks on the disk do not. Where no
 * hole can be punched it is truncated. Beside it, once it was cut: `path.base`, what lies where; and after a truncation
 * `path.1`, the last bytes before it (of an older version that truncated always: up to half of the cap).
 * Disk: at most `capBytes`, and what the task writes between two calls of `cut`.
 */
export function openOutputFile(path: string, capBytes: number, punch = punchHole): OutputFile {
  return new NodeOutputFile(path, Math.floor(capBytes / 2), punch);
}

/** Where the parts lie, as absolute offsets. */
interface Base {
  /** Of the live file's first byte, in a hole or not: more than 0 once the file was truncated. */
  readonly live: number;
  /** After the previous part's last byte; less than `live` where bytes in between were dropped. 0 where there is none. */
  readonly previousEnd: number;
  /** Of the first byte of the live file that was not dropped. */
  readonly kept: number;
}

const UNCUT: Base = { live: 0, previousEnd: 0, kept: 0 };

class NodeOutputFile implements OutputFile {
  readonly #path: string;
  readonly #half: number;
  readonly #punch: typeof punchHole;
  #base: Base | undefined;
  /** The task truncated its output, and that is not in the record yet. */
  #moved = false;
  /** Of the live file, when we last looked: a task may truncate its own output. */
  #seen = 0;
  /** One call after the other: a cut moves what a read is reading. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(path: string, half: number, punch: typeof punchHole) {
    this.#path = path;
    this.#half = half;
    this.#punch = punch;
  }

  size(): Promise<number | undefined> {
    return this.#next(async () => {
      // In one go: asked when a task has just ended, and of an inode in memory the answer costs less than a trip to a thread.
      const live = statSync(this.#path, { throwIfNoEntry: false });
      if (live === undefined) return undefined;
      if (this.#base === undefined && statSync(`${this.#path}.base`, { throwIfNoEntry: false }) === undefined)
        this.#base = UNCUT;
      return (await this.#look(sizeOf(live))).end;
    });
  }

  read(offset: number, length: number): Promise<OutputChunk | undefined> {
    return this.#next(() =>
      withFile(this.#path, O_RDONLY, async (file) => {
        const { base, end } = await this.#look(sizeOf(await file.stat()));
        const previous =
          offset < base.previousEnd ? await this.#readPrevious(offset, length, base.previousEnd) : undefined;
        if (previous !== undefined) return { ...previous, end };
        const start = Math.min(Math.max(offset, base.kept), end);
        return { offset: start, bytes: await readAt(file, start - base.live, Math.min(length, end - start)), end };
      }),
    );
  }

  cut(): Promise<boolean | undefined> {
    return this.#next(async () => {
      const live = statSync(this.#path, { throwIfNoEntry: false });
      if (live === undefined) return undefined;
      const size = sizeOf(live);
      // The usual case, of every running task once a second: it is small, and nothing was dropped from it.
      if (size <= this.#half && size >= this.#seen && this.#base === undefined) {
        this.#seen = size;
        return false;
      }
      const { base, end } = await this.#look(size);
      if (base.live + size - base.kept <= (base.previousEnd > 0 ? this.#half : 2 * this.#half)) {
        if (this.#moved) this.#record(base);
        return false;
      }
      // Open for writing, it keeps the task from taking a lease before the hole is punched.
      const file = await open(this.#path, O_RDWR | O_NONBLOCK).catch(unlessLeased);
      if (file === undefined) return false;
      try {
        const exact = size <= LONGEST_BYTES && end < FARTHEST;
        if (!exact || !(await this.#punchTo(end - this.#half))) this.#truncate(file.fd);
      } finally {
        await file.close();
      }
      return true;
    });
  }

  watch(listener: () => void): () => void {
    const name = basename(this.#path);
    try {
      // The folder, because the file may not be there yet. A removed folder is told as a change of itself.
      const folder = dirname(this.#path);
      const watcher = watch(folder, (_, changed) => {
        if (changed === null || changed === name || changed === basename(folder)) listener();
      });
      watcher.on('error', listener);
      return () => watcher.close();
    } catch {
      const timer = setInterval(listener, POLL_MS);
      return () => clearInterval(timer);
    }
  }

  /**
   * Drops what lies before the absolute offset `kept`. The writer is not in it: it only ever appends. The record comes
   * first: if we are killed in between, the next cut punches that hole too. False where no hole can be punched.
   */
  async #punchTo(kept: number): Promise<boolean> {
    const { live } = this.#base ?? UNCUT;
    const base = { live, previousEnd: 0, kept };
    this.#base = base;
    // A full disk has no room for a first record until there is a hole.
    const recorded = unlessFull(() => this.#record(base));
    rmSync(`${this.#path}.1`, { force: true });
    const punched = await this.#punch(this.#path, kept - live);
    if (!recorded) this.#record(base);
    return punched;
  }

  /**
   * Drops all but the last bytes, which become the previous part, without a turn of the event loop. What the task writes
   * between the second look at the size and the truncation is lost and not counted. If we are killed after the record,
   * offsets leap ahead, but never go back; the previous part is the one of the record, or missing.
   */
  #truncate(live: number): void {
    const base = this.#base ?? UNCUT;
    const size = sizeOf(fstatSync(live));
    // The task has just done it itself: the next look sees that.
    if (size < this.#seen) return;
    const tail = Buffer.alloc(Math.min(TAIL_BYTES, this.#half, base.live + size - base.kept));
    const length = readSync(live, tail, 0, tail.length, size - tail.length);
    writeFileSync(`${this.#path}.1.new`, tail.subarray(0, length), { mode: 0o600 });
    rmSync(`${this.#path}.1`, { force: true });
    const start = after(base.live, sizeOf(fstatSync(live)));
    this.#record({ live: start, previousEnd: after(base.live, size), kept: start });
    ftruncateSync(live, 0);
    this.#seen = 0;
    renameSync(`${this.#path}.1.new`, `${this.#path}.1`);
  }

  #record(base: Base): void {
    const record = openSync(`${this.#path}.base`, constants.O_WRONLY | constants.O_CREAT, 0o600);
    try {
      writeSync(record, encodeBase(base), 0);
    } finally {
      closeSync(record);
    }
    this.#base = base;
    this.#moved = false;
  }

  async #readPrevious(
    offset: number,
    length: number,
    partEnd: number,
  ): Promise<{ offset: number; bytes: Uint8Array } | undefined> {
    return await withFile(`${this.#path}.1`, O_RDONLY, async (file) => {
      const partStart = partEnd - (await file.stat()).size;
      const start = Math.max(offset, partStart);
      return { offset: start, bytes: await readAt(file, start - partStart, Math.min(length, partEnd - start)) };
    }).catch((error) => {
      if (isMissing(error)) return undefined;
      throw error;
    });
  }

  /** The parts and the end, given the live file's size. */
  async #look(size: number): Promise<{ base: Base; end: number }> {
    let base = this.#base ?? (await readBase(`${this.#path}.base`));
    // The task itself truncated its output, as we saw or as the record shows: all that was there is dropped.
    if (size < this.#seen || base.live + size < base.kept) {
      const live = Math.max(after(base.live, this.#seen), base.kept);
      base = { live, previousEnd: base.previousEnd, kept: live };
      this.#moved = true;
    }
    this.#base = base;
    this.#seen = size;
    return { base, end: after(base.live, size) };
  }

  /** Does it after everything asked before; undefined where the file is missing. */
  #next<T>(act: () => Promise<T>): Promise<T | undefined> {
    const done = this.#last.then(act).catch((error) => {
      if (isMissing(error)) return undefined;
      throw new StorageError((error as NodeJS.ErrnoException).code ?? 'EIO', this.#path, error);
    });
    this.#last = done.catch(() => undefined);
    return done;
  }
}

/** Three numbers of fixed width: written in place by one call, never half. An older version wrote, and reads, the first two. */
function encodeBase({ live, previousEnd, kept }: Base): string {
  return `${[live, previousEnd, kept].map((offset) => String(offset).padStart(16)).join(' ')}\n`;
}

async function readBase(path: string): Promise<Base> {
  const text = await readFile(path, 'latin1').catch((error) => {
    if (isMissing(error)) return '';
    throw error;
  });
  const offsets = text.trim().split(/ +/).map(Number);
  const [live = 0, previousEnd = 0, kept = live] = offsets;
  // A power cut may leave anything.
  return offsets.every(Number.isSafeInteger) ? { live, previousEnd, kept } : UNCUT;
}

/** False where the disk is full, or what of it the user may have. */
function unlessFull(act: () => void): boolean {
  try {
    act();
    return true;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOSPC' || code === 'EDQUOT') return false;
    throw error;
  }
}

function sizeOf({ size }: Stats): number {
  return Math.min(size, MOST_BYTES);
}

/** The offset so many bytes behind another. */
function after(offset: number, bytes: number): number {
  return Math.min(offset + bytes, FARTHEST);
}

/** `EAGAIN` where the task holds a lease on it. */
async function withFile<T>(path: string, access: number, act: (file: FileHandle) => Promise<T>): Promise<T> {
  const file = await open(path, access | O_NONBLOCK);
  try {
    return await act(file);
  } finally {
    await file.close();
  }
}

async function readAt(file: FileHandle, position: number, length: number): Promise<Uint8Array> {
  const { bytesRead, buffer } = await file.read(Buffer.alloc(Math.max(0, length)), 0, Math.max(0, length), position);
  return buffer.subarray(0, bytesRead);
}

/** A task that holds a lease has lost it in 45 s. */
function unlessLeased(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'EAGAIN') throw error;
}

function isMissing(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException).code;
  return code === 'ENOENT' || code === 'ENOTDIR';
}
