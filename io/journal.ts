import { encodeHeader, FRAME_BYTES, fileName, HEADER_BYTES, putFrame } from './journal-format.ts';
import { examine, type Findings, PARTIAL_SNAPSHOT, type Recovered } from './journal-recovery.ts';
import type { JournalRefusal } from './journal-refusal.ts';
import { checkSize, writeSnapshotFile } from './snapshot-file.ts';
import type { RandomAccessFile, Storage } from './storage.ts';

export interface JournalOptions {
  /** Bytes of a segment, zero-filled ahead: overwriting costs the medium half of what growing a file does. */
  readonly segmentBytes: number;
}

export interface OpenedJournal {
  readonly journal: Journal;
  /** Apart from the journal, so that the bytes can be let go. */
  readonly recovered: Recovered;
}

/**
 * A durable stream of records, numbered from 0 without gaps. All that is appended while a sync is under way goes out in
 * the next single write and sync. Where nothing is appended, nothing is written.
 *
 * The first failed write or sync ends the journal: every pending and later append rejects with that same error
 * (a `StorageError`). The caller stops the process; the next start recovers.
 */
export interface Journal {
  /** The ordinal that the next record gets. */
  readonly next: number;
  /** Bytes appended since the last snapshot was begun, frames included: for deciding when to take the next. */
  readonly bytes: number;
  /**
   * Appends records of 1 byte to 1 MiB, each unchanged until durable. At once: the ordinal of the first. `durable`
   * resolves when all of them are; after a crash a prefix of what was not yet durable may be found, never with a hole.
   */
  append(records: Uint8Array | readonly Uint8Array[]): { readonly ordinal: number; readonly durable: Promise<void> };
  /**
   * Puts a snapshot (slices of 1 byte to 1 MiB, at least none) in place of all records below `upTo`, which must be
   * durable. Appending goes on meanwhile. The one before is kept until this one is durable, then segments that hold
   * nothing newer are removed. A failure (of the disk, or thrown by `slices`) rejects, and the journal lives on with
   * what it had. One at a time.
   */
  compact(slices: Iterable<Uint8Array> | AsyncIterable<Uint8Array>, upTo: number): Promise<void>;
  /** Waits for what is pending, then lets go of the files; later appends reject. */
  close(): Promise<void>;
}

/** Opens the journal in `folder`, an empty one where there is none; wipes a torn last write and removes leftovers. */
export async function openJournal(
  storage: Storage,
  folder: string,
  options: JournalOptions,
): Promise<OpenedJournal | JournalRefusal> {
  const findings = await examine(storage, folder);
  if ('refused' in findings) return findings;
  if (findings.torn !== undefined) await wipe(storage, findings.torn.path, findings.torn.from, findings.torn.to);
  for (const path of findings.leftovers) await storage.remove(path);
  await settle(storage, folder, findings);
  return { journal: new SegmentedJournal(storage, folder, options, findings), recovered: findings.recovered };
}

/**
 * A process that was killed between a write and its sync, or ended by a sync that failed, leaves records that are found
 * again, and may still be lost with the power: behind newer ones they would be a hole. The last write is done again, for
 * after a failed sync Linux takes what it could not save for saved, and shows it until it forgets it.
 */
async function settle(storage: Storage, folder: string, { segments, lastWrite }: Findings): Promise<void> {
  const segment = segments.at(-1);
  if (segment === undefined) return;
  const path = `${folder}/${fileName('segment', segment)}`;
  const file = await storage.open(path);
  try {
    if (lastWrite.bytes.length > 0) await file.write(lastWrite.from, lastWrite.bytes);
    await file.sync();
  } finally {
    await file.close();
  }
  await storage.rename(path, path);
}

/** Zeros, durably: bytes of a torn write must never meet those of a later one. */
async function wipe(storage: Storage, path: string, from: number, to: number): Promise<void> {
  const file = await storage.open(path);
  try {
    await file.write(from, new Uint8Array(to - from));
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Written ahead, renamed to a segment when one is needed. */
const SPARE = 'spare-segment';
const ZEROS_BYTES = 262_144;

interface Pending {
  readonly bytes: Uint8Array;
  /** On the last record of an append. */
  readonly settle: { resolve(): void; reject(error: unknown): void } | undefined;
}

class SegmentedJournal implements Journal {
  readonly #storage: Storage;
  readonly #folder: string;
  readonly #segmentBytes: number;
  /** First ordinals, ascending; the last is the one being written. */
  readonly #segments: number[];
  #file: RandomAccessFile | undefined;
  /** Where the next write goes in the last segment, and how long the file is. */
  #position: number;
  #size: number;

  #queue: Pending[] = [];
  #next: number;
  /** Records below this are durable. */
  #durable: number;
  #snapshotOrdinal: number;
  #bytes: number;
  #writing: Promise<void> | undefined;
  #spare: Promise<void> | undefined;
  #compacting: Promise<void> | undefined;
  #dead: { readonly error: unknown } | undefined;

  constructor(storage: Storage, folder: string, options: JournalOptions, found: Findings) {
    this.#storage = storage;
    this.#folder = folder;
    this.#segmentBytes = options.segmentBytes;
    this.#segments = found.segments;
    this.#position = found.end;
    this.#size = found.size;
    this.#next = found.next;
    this.#durable = found.next;
    this.#snapshotOrdinal = found.recovered.snapshotOrdinal;
    this.#bytes = found.recovered.records.reduce((sum, { bytes }) => sum + FRAME_BYTES + bytes.length, 0);
  }

  get next(): number {
    return this.#next;
  }

  get bytes(): number {
    return this.#bytes;
  }

  append(records: Uint8Array | readonly Uint8Array[]): { ordinal: number; durable: Promise<void> } {
    const list = records instanceof Uint8Array ? [records] : records;
    list.forEach(checkSize);
    const ordinal = this.#next;
    if (this.#dead !== undefined) return { ordinal, durable: handled(Promise.reject(this.#dead.error)) };
    if (list.length === 0) return { ordinal, durable: this.#settled() };

    const durable = new Promise<void>((resolve, reject) => {
      const settle = { resolve, reject };
      list.forEach((bytes, index) => {
        this.#queue.push({ bytes, settle: index === list.length - 1 ? settle : undefined });
        this.#bytes += FRAME_BYTES + bytes.length;
      });
    });
    this.#next += list.length;
    this.#writing ??= this.#write();
    return { ordinal, durable: handled(durable) };
  }

  compact(slices: Iterable<Uint8Array> | AsyncIterable<Uint8Array>, upTo: number): Promise<void> {
    if (this.#dead !== undefined) return Promise.reject(this.#dead.error);
    if (this.#compacting !== undefined) return Promise.reject(new Error('broken invariant: one compaction at a time'));
    if (upTo > this.#durable || upTo < this.#snapshotOrdinal) {
      return Promise.reject(
        new Error(`broken invariant: a snapshot up to ${upTo} of ${this.#durable} durable records`),
      );
    }
    const run = this.#compact(slices, upTo).finally(() => {
      this.#compacting = undefined;
    });
    this.#compacting = handled(run);
    return run;
  }

  async close(): Promise<void> {
    await this.#settled().catch(() => undefined);
    this.#dead ??= { error: new Error('the journal is closed') };
    await this.#compacting?.catch(() => undefined);
    await this.#spare?.catch(() => undefined);
    await this.#file?.close();
    this.#file = undefined;
  }

  /** Resolves when all that was appended so far is durable. */
  #settled(): Promise<void> {
    const last = this.#writing ?? Promise.resolve();
    return handled(last.then(() => (this.#dead === undefined ? undefined : Promise.reject(this.#dead.error))));
  }

  async #write(): Promise<void> {
    let batch: Pending[] = [];
    try {
      // What the same turn of the event loop still appends goes into the first write too.
      await Promise.resolve();
      while (this.#queue.length > 0) {
        const fitting = this.#fitting();
        if (fitting === 0) {
          await this.#begin();
          continue;
        }
        batch = this.#queue.splice(0, fitting);
        await this.#writeBatch(batch);
        for (const { settle } of batch) settle?.resolve();
        batch = [];
        this.#prepareSpare();
      }
    } catch (error) {
      this.#die(error, batch);
    } finally {
      this.#writing = undefined;
    }
  }

  /** How many of the queued records fit into the segment. It takes its first whatever the size. */
  #fitting(): number {
    if (this.#segments.length === 0) return 0;
    let count = 0;
    let end = Math.max(this.#position, HEADER_BYTES);
    const empty = end === HEADER_BYTES;
    for (const { bytes } of this.#queue) {
      end += FRAME_BYTES + bytes.length;
      if (end > Math.max(this.#segmentBytes, this.#size) && !(empty && count === 0)) break;
      count++;
    }
    return count;
  }

  async #writeBatch(batch: readonly Pending[]): Promise<void> {
    const first = this.#segments.at(-1) ?? 0;
    this.#file ??= await this.#storage.open(this.#path(fileName('segment', first)));
    const header = this.#position === 0 ? encodeHeader('segment', first, this.#storage.crc32) : new Uint8Array();
    const bytes = new Uint8Array(
      batch.reduce((sum, pending) => sum + FRAME_BYTES + pending.bytes.length, header.length),
    );
    bytes.set(header);
    let end = header.length;
    for (const [back, pending] of batch.entries()) {
      end = putFrame(bytes, end, pending.bytes, this.#durable + back, back, this.#storage.crc32);
    }
    await this.#file.writeDurably(this.#position, bytes);
    this.#position += bytes.length;
    this.#size = Math.max(this.#size, this.#position);
    this.#durable += batch.length;
  }

  /** Begins a new segment; all records so far are durable. */
  async #begin(): Promise<void> {
    this.#spare ??= this.#makeSpare();
    await this.#spare;
    this.#spare = undefined;
    await this.#file?.close();
    this.#file = undefined;
    await this.#storage.rename(this.#path(SPARE), this.#path(fileName('segment', this.#durable)));
    this.#segments.push(this.#durable);
    this.#position = 0;
    this.#size = this.#segmentBytes;
  }

  /** Fills the next segment with zeros in the background, once the current one is half full. */
  #prepareSpare(): void {
    if (this.#position * 2 < this.#segmentBytes || this.#spare !== undefined) return;
    const spare = this.#makeSpare();
    this.#spare = spare;
    spare.catch((error: unknown) => this.#die(error, []));
  }

  async #makeSpare(): Promise<void> {
    const file = await this.#storage.open(this.#path(SPARE));
    try {
      // An earlier run may have left one. Nothing but zeros is ever written under this name, so its length tells all.
      if ((await file.size()) === this.#segmentBytes) return;
      for (let at = 0; at < this.#segmentBytes; at += ZEROS_BYTES) {
        await file.write(at, new Uint8Array(Math.min(ZEROS_BYTES, this.#segmentBytes - at)));
      }
      await file.truncate(this.#segmentBytes);
      await file.sync();
    } finally {
      await file.close();
    }
  }

  async #compact(slices: Iterable<Uint8Array> | AsyncIterable<Uint8Array>, upTo: number): Promise<void> {
    const before = this.#bytes;
    const name = fileName('snapshot', upTo);
    const partial = this.#path(PARTIAL_SNAPSHOT);
    try {
      await writeSnapshotFile(this.#storage, partial, upTo, slices);
      await this.#storage.rename(partial, this.#path(name));
    } catch (error) {
      await this.#storage.remove(partial).catch(() => undefined);
      throw error;
    }
    this.#snapshotOrdinal = upTo;
    this.#bytes -= before;
    for (;;) {
      const [first, second] = this.#segments;
      if (first === undefined || second === undefined || second > upTo) break;
      // Oldest first: whatever a crash leaves is without gaps.
      await this.#storage.remove(this.#path(fileName('segment', first)));
      this.#segments.shift();
    }
    for (const other of await this.#storage.list(this.#folder)) {
      if (other.endsWith('.snapshot') && other !== name) await this.#storage.remove(this.#path(other));
    }
  }

  #die(error: unknown, batch: readonly Pending[]): void {
    this.#dead ??= { error };
    const lost = [...batch, ...this.#queue];
    this.#queue = [];
    for (const { settle } of lost) settle?.reject(this.#dead.error);
  }

  #path(name: string): string {
    return `${this.#folder}/${name}`;
  }
}

/** Marks a promise as looked after: who does not wait for it is no reason to end the process. */
function handled<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}
