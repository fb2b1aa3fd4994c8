import { type Journal, openJournal } from '../io/journal.ts';
import type { Log } from '../io/log.ts';
import type { Storage } from '../io/storage.ts';
import { Fault } from '../protocol/faults.ts';
import { LIMITS } from '../protocol/limits.ts';
import { createRaft, type Raft, type Ready } from './raft/raft.ts';
import { type Entry, encodeEntry, encodeHardState, encodeSnapshotMeta } from './raft/records.ts';
import { type LogStart, type Remembered, recover } from './raft/recover.ts';

export interface LogOptions {
  readonly storage: Storage;
  /** Folder of the log's files in `storage`. */
  readonly folder: string;
  /** This master's id. */
  readonly id: string;
  readonly log: Log;
  /**
   * Committed entries, each exactly once a run, in order, without gaps from the snapshot on; what was committed in one
   * go comes as one batch. After a restart all entries after the snapshot come again. A `noop` says nothing.
   */
  onCommitted(entries: readonly Entry[]): void;
  /** This master leads, and everything of earlier terms has been through `onCommitted`. */
  onLeading(term: number): void;
  /** Another master leads, or (undefined) none that is known. What was proposed here has an unknown outcome. */
  onFollowing(leader: string | undefined): void;
  /** The disk failed, or a callback threw: nothing more will be committed. Stop the process; the next start recovers. Called once. */
  onFatal(error: unknown): void;
  /** Default 4 MiB. */
  readonly segmentBytes?: number;
}

/** The registry's state as of the entry `index`. */
export interface Snapshot extends LogStart {
  readonly slices: Uint8Array[];
}

export interface OpenedLog {
  readonly log: ReplicatedLog;
  /** To be loaded before {@link ReplicatedLog.start}; undefined where there is none. */
  readonly snapshot: Snapshot | undefined;
}

/** The replicated log as the master sees it. */
export interface ReplicatedLog {
  /** Index of the last entry handed to `onCommitted`, or of the snapshot. */
  readonly appliedIndex: number;
  /** Bytes written since the last snapshot was begun: for deciding when to take the next. */
  readonly bytes: number;
  /** Lets Raft run; from now on the callbacks are called. Once. */
  start(): void;
  /**
   * Appends a command of at most {@link LIMITS}.commandBytes and tells at once where it will be, if it is ever
   * committed: wait for that index in `onCommitted`, and compare the term. Faults: `NO_LEADER` (not leading, or not yet
   * announced by `onLeading`), `TOO_LARGE`, `DISK`.
   */
  propose(command: Uint8Array): { readonly term: number; readonly index: number } | Fault;
  /**
   * Replaces all applied entries on the disk by the state. `makeSlices` is called at once, and what it yields over time
   * (slices of 1 byte to 1 MiB) must be the state of that moment. Rejects where the disk refuses: the log is then as
   * before, and lives on. One at a time.
   */
  snapshot(
    makeSlices: (index: number, term: number) => Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  ): Promise<void>;
  /** Waits for what is being written; afterwards no callback is called any more. */
  close(): Promise<void>;
}

const SEGMENT_BYTES = 4 * 1_048_576;

/**
 * Opens the log in `folder`, a new one where there is none. Faults: `CORRUPT`, `UNSUPPORTED` (a later version wrote it);
 * rejects with a `StorageError` where the disk refuses.
 */
export async function openLog(options: LogOptions): Promise<OpenedLog | Fault> {
  const { storage, folder, log, segmentBytes = SEGMENT_BYTES } = options;
  const opened = await openJournal(storage, folder, { segmentBytes });
  if ('refused' in opened) {
    return opened.refused === 'corrupt'
      ? new Fault('CORRUPT', opened.message)
      : new Fault('UNSUPPORTED', opened.message, 'Start the later version again that wrote it.');
  }
  const { journal, recovered } = opened;
  const [meta, ...slices] = recovered.snapshot ?? [];
  const remembered = recover(meta, recovered.records);
  if (remembered instanceof Fault) {
    await journal.close();
    return remembered;
  }
  const { start, entries, hardState } = remembered;
  log.info('log opened', { snapshot: start.index, entries: entries.length, term: hardState.term });
  if (recovered.tornBytes > 0) log.warn('cut a write that a crash had left unfinished', { bytes: recovered.tornBytes });
  return {
    log: new JournaledLog(options, journal, remembered),
    snapshot: meta === undefined ? undefined : { ...start, slices },
  };
}

/** The shell around {@link Raft}: persists, then applies. */
class JournaledLog implements ReplicatedLog {
  readonly #options: LogOptions;
  readonly #journal: Journal;
  readonly #raft: Raft;
  /** Where entries are in the journal. Their ordinals run along with their indexes but for hard states in between: one item a run. */
  #runs: { index: number; ordinal: number }[] = [];
  #applied: LogStart;
  #snapshotIndex: number;
  #leading = false;
  #following: string | undefined;
  #pumping = false;
  #stopped = false;
  #failed = false;

  constructor(options: LogOptions, journal: Journal, remembered: Remembered) {
    this.#options = options;
    this.#journal = journal;
    this.#raft = createRaft({ id: options.id, remembered });
    this.#applied = remembered.start;
    this.#snapshotIndex = remembered.start.index;
    for (const [place, ordinal] of remembered.ordinals.entries()) {
      this.#remember(remembered.start.index + 1 + place, ordinal);
    }
  }

  get appliedIndex(): number {
    return this.#applied.index;
  }

  get bytes(): number {
    return this.#journal.bytes;
  }

  start(): void {
    this.#raft.tick();
    this.#pumpSoon();
  }

  propose(command: Uint8Array): { term: number; index: number } | Fault {
    if (command.length > LIMITS.commandBytes) {
      return new Fault('TOO_LARGE', `A command has at most ${LIMITS.commandBytes} bytes, not ${command.length}.`);
    }
    if (this.#failed) return new Fault('DISK');
    const place = this.#leading && !this.#stopped ? this.#raft.propose(command) : undefined;
    if (place === undefined) return new Fault('NO_LEADER');
    this.#pumpSoon();
    return place;
  }

  async snapshot(
    makeSlices: (index: number, term: number) => Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  ): Promise<void> {
    const { index, term } = this.#applied;
    if (index === this.#snapshotIndex) return;
    const upTo = this.#ordinalOf(index) + 1;
    const meta = encodeSnapshotMeta({ index, term, hardState: this.#raft.hardState });
    const bytes = this.bytes;
    await this.#journal.compact(withMeta(meta, makeSlices(index, term)), upTo);
    this.#snapshotIndex = index;
    const kept = this.#runs.findLastIndex((run) => run.index <= index);
    this.#runs.splice(0, kept);
    this.#options.log.info('snapshot taken', { index, term, bytes });
  }

  async close(): Promise<void> {
    this.#stopped = true;
    await this.#journal.close();
  }

  /** At the end of this turn: what it proposes becomes one write. */
  #pumpSoon(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    queueMicrotask(() => {
      this.#pumping = false;
      this.#pump();
    });
  }

  #pump(): void {
    try {
      while (!this.#stopped) {
        const ready = this.#raft.ready();
        if (ready === undefined) return;
        if (ready.write !== undefined) this.#persist(ready, ready.write);
        this.#deliver(ready);
      }
    } catch (error) {
      this.#fail(error);
    }
  }

  #persist({ hardState, entries }: Ready, write: number): void {
    const records = entries.map(encodeEntry);
    if (hardState !== undefined) records.unshift(encodeHardState(hardState));
    const { ordinal, durable } = this.#journal.append(records);
    const [first] = entries;
    if (first !== undefined) this.#remember(first.index, ordinal + records.length - entries.length);
    durable
      .then(() => {
        this.#raft.persisted(write);
        // Several writes of ours may have shared one sync: all of them first, then one batch.
        this.#pumpSoon();
      })
      .catch((error: unknown) => this.#fail(error));
  }

  #deliver({ committed, role, term, leader }: Ready): void {
    const last = committed.at(-1);
    if (last !== undefined) {
      this.#applied = { index: last.index, term: last.term };
      this.#options.onCommitted(committed);
    }
    if (role === 'leader' && !this.#leading && this.#applied.term === term) {
      this.#leading = true;
      this.#options.onLeading(term);
    }
    if (role !== 'leader' && (this.#leading || leader !== this.#following)) {
      this.#leading = false;
      this.#following = leader;
      this.#options.onFollowing(leader);
    }
  }

  #fail(error: unknown): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#failed = true;
    this.#options.onFatal(error);
  }

  /** From `index` on, ordinals run along from `ordinal`. */
  #remember(index: number, ordinal: number): void {
    const run = this.#runs.at(-1);
    if (run === undefined || ordinal - index !== run.ordinal - run.index) this.#runs.push({ index, ordinal });
  }

  #ordinalOf(index: number): number {
    const run = this.#runs.findLast((candidate) => candidate.index <= index);
    if (run === undefined) throw new Error(`broken invariant: entry ${index} is in the journal`);
    return run.ordinal + index - run.index;
  }
}

async function* withMeta(
  meta: Uint8Array,
  slices: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  yield meta;
  yield* slices;
}
