import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  openSync,
  readSync,
  renameSync,
  statSync,
  watch,
  writeSync,
} from 'node:fs';
import { type FileHandle, open, readFile } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import type { OutputChunk, OutputFile } from '../output-file.ts';
import { StorageError } from '../storage.ts';

/** How much is copied at once: small enough not to be noticed by the event loop where it is copied in one go. */
const COPY_BYTES = 262_144;
/** A task that writes so fast all the while loses what it wrote during the last of them. */
const ROUNDS = 8;
/** How often a folder is looked at that cannot be watched (no inotify watches left). */
const POLL_MS = 1_000;

/**
 * The output file at `path`, which the task appends to (O_APPEND: after a truncation it goes on at the start).
 * Beside it, once it was cut: `path.1`, the previous part, and `path.base`, where the parts begin.
 * Disk: at most `capBytes`, and what the task writes between two calls of `cut`.
 */
export function openOutputFile(path: string, capBytes: number): OutputFile {
  return new NodeOutputFile(path, Math.floor(capBytes / 2));
}

/** Where the parts lie, as absolute offsets. */
interface Base {
  /** Of the live file's first byte. */
  readonly live: number;
  /** After the previous part's last byte; less than `live` where bytes in between were dropped. */
  readonly previousEnd: number;
}

const UNCUT: Base = { live: 0, previousEnd: 0 };

class NodeOutputFile implements OutputFile {
  readonly #path: string;
  readonly #half: number;
  #base: Base | undefined;
  /** Of the live file, when we last looked: a task may truncate its own output. */
  #seen = 0;
  /** One call after the other: a cut moves what a read is reading. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(path: string, half: number) {
    this.#path = path;
    this.#half = half;
  }

  size(): Promise<number | undefined> {
    return this.#next(async () => {
      // In one go: asked when a task has just ended, and of an inode in memory the answer costs less than a trip to a thread.
      const live = statSync(this.#path, { throwIfNoEntry: false });
      if (live === undefined) return undefined;
      if (this.#base === undefined && statSync(`${this.#path}.base`, { throwIfNoEntry: false }) === undefined)
        this.#base = UNCUT;
      return (await this.#look(live.size)).end;
    });
  }

  read(offset: number, length: number): Promise<OutputChunk | undefined> {
    return this.#next(() =>
      withFile(this.#path, async (file) => {
        const { base, end } = await this.#look((await file.stat()).size);
        const previous =
          offset < base.previousEnd ? await this.#readPrevious(offset, length, base.previousEnd) : undefined;
        if (previous !== undefined) return { ...previous, end };
        const start = Math.min(Math.max(offset, base.live), end);
        return { offset: start, bytes: await readAt(file, start - base.live, Math.min(length, end - start)), end };
      }),
    );
  }

  cut(): Promise<boolean | undefined> {
    return this.#next(async () => {
      const live = statSync(this.#path, { throwIfNoEntry: false });
      if (live === undefined) return undefined;
      const { size } = live;
      // The usual case, of every running task once a second: it is small, and nothing was dropped from it.
      if (size <= this.#half && size >= this.#seen && this.#base === undefined) {
        this.#seen = size;
        return false;
      }
      const { base } = await this.#look(size);
      // As long as nothing was dropped the whole cap is for what there is.
      if (size <= (base.live > 0 ? this.#half : 2 * this.#half)) return false;
      this.#truncate(await withFile(this.#path, (file) => this.#copyTail(file, size)));
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
   * Copies the last half-cap bytes of the live file's `size` into what will be the previous part; again, where a flood
   * wrote more than a little meanwhile, for the last line of a task may be in that. Returns where the copy ends.
   */
  async #copyTail(live: FileHandle, size: number): Promise<number> {
    for (let end = size, round = 1; ; round++) {
      const copy = await open(`${this.#path}.1.new`, 'w', 0o600);
      try {
        for (let at = end - this.#half; at < end; ) {
          const bytes = await readAt(live, at, Math.min(COPY_BYTES, end - at));
          if (bytes.length === 0) return at;
          await copy.writeFile(bytes);
          at += bytes.length;
        }
      } finally {
        await copy.close();
      }
      const now = (await live.stat()).size;
      if (now - end <= COPY_BYTES || round === ROUNDS) return end;
      end = now;
    }
  }

  /**
   * The step that may not be interrupted, without a turn of the event loop: copy what came meanwhile (if it is little),
   * put the copy in its place, note the new base, truncate. The base comes first: if we are killed in between, offsets
   * leap ahead, but never go back.
   */
  #truncate(copied: number): void {
    const base = this.#base ?? UNCUT;
    const live = openSync(this.#path, 'r+');
    const copy = openSync(`${this.#path}.1.new`, 'a');
    const record = openSync(`${this.#path}.base`, constants.O_WRONLY | constants.O_CREAT, 0o600);
    try {
      let at = copied;
      const late = fstatSync(live).size - copied;
      if (late > 0 && late <= COPY_BYTES) {
        const bytes = Buffer.alloc(late);
        at += writeSync(copy, bytes, 0, readSync(live, bytes, 0, late, copied));
      }
      renameSync(`${this.#path}.1.new`, `${this.#path}.1`);
      const { size } = fstatSync(live);
      this.#base = { live: base.live + size, previousEnd: base.live + at };
      writeSync(record, encodeBase(this.#base), 0);
      ftruncateSync(live, 0);
      this.#seen = 0;
    } finally {
      for (const descriptor of [live, copy, record]) closeSync(descriptor);
    }
  }

  async #readPrevious(
    offset: number,
    length: number,
    partEnd: number,
  ): Promise<{ offset: number; bytes: Uint8Array } | undefined> {
    return await withFile(`${this.#path}.1`, async (file) => {
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
    // The task itself truncated its output: all that was there is dropped.
    if (size < this.#seen) base = { live: base.live + this.#seen, previousEnd: base.previousEnd };
    this.#base = base;
    this.#seen = size;
    return { base, end: base.live + size };
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

/** Two numbers of fixed width: written in place by one call, never half. */
function encodeBase(base: Base): string {
  return `${String(base.live).padStart(16)} ${String(base.previousEnd).padStart(16)}\n`;
}

async function readBase(path: string): Promise<Base> {
  const text = await readFile(path, 'latin1').catch((error) => {
    if (isMissing(error)) return '';
    throw error;
  });
  const [live = 0, previousEnd = 0] = text.trim().split(/ +/).map(Number);
  return { live, previousEnd };
}

async function withFile<T>(path: string, act: (file: FileHandle) => Promise<T>): Promise<T> {
  const file = await open(path, 'r');
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

function isMissing(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException).code;
  return code === 'ENOENT' || code === 'ENOTDIR';
}
