import type { Clock, Timer } from '../io/clock.ts';
import { type Journal, openJournal } from '../io/journal.ts';
import { type Storage, StorageError } from '../io/storage.ts';
import { assert, Fault } from '../protocol/faults.ts';
import { type CheckpointRecord, encodeRecord } from './checkpoint/records.ts';
import { type AgentState, applyRecord, recover, stateSlices } from './checkpoint/state.ts';

export const CHECKPOINT_FOLDER = 'checkpoint';
const SEGMENT_BYTES = 262_144;
/** Of records since the last snapshot. */
const COMPACT_BYTES = 2 * 1_048_576;

export interface DurableStateOptions {
  readonly storage: Storage;
  readonly clock: Clock;
  /** Any failure of the disk but that it is full. */
  readonly onFailed: (error: unknown) => void;
}

interface Gathered {
  readonly records: CheckpointRecord[];
  readonly durable: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
  dueMs: number;
  timer: Timer | undefined;
}

/**
 * The agent's state and the journal behind it. A full disk ends a journal: it is opened again, with the state as it
 * is, at the next commit that finds room. Any other failure of the disk is told to `onFailed`: the process must stop,
 * for nothing it would still promise can be kept.
 */
export class DurableState {
  readonly state: AgentState;
  /** It had no record when it was opened. */
  readonly isBlank: boolean;
  readonly #storage: Storage;
  readonly #onFailed: (error: unknown) => void;
  #journal: Journal | undefined;
  /** One that a full disk ended. */
  #ended: Journal | undefined;
  #reopening: Promise<Journal> | undefined;
  #compacting = false;
  #compactAbove = COMPACT_BYTES;
  /** Said with the next records: losing it costs one repeated message. */
  #lazy: CheckpointRecord[] = [];
  /** {@link commitWithin}: written together with whatever is written next, at the latest when the timer says so. */
  #gathered: Gathered | undefined;
  readonly #clock: Clock;

  private constructor(
    { storage, clock, onFailed }: DurableStateOptions,
    journal: Journal,
    state: AgentState,
    isBlank: boolean,
  ) {
    this.#storage = storage;
    this.#clock = clock;
    this.#journal = journal;
    this.state = state;
    this.isBlank = isBlank;
    this.#onFailed = onFailed;
  }

  static async open(options: DurableStateOptions): Promise<DurableState | Fault> {
    const opened = await openJournal(options.storage, CHECKPOINT_FOLDER, { segmentBytes: SEGMENT_BYTES });
    if ('refused' in opened && opened.refused === 'newer-format')
      return new Fault('UNSUPPORTED', opened.message, 'Start the later version again that wrote it.');
    if ('refused' in opened) return new Fault('CORRUPT', opened.message);
    const { snapshot = [], records } = opened.recovered;
    try {
      const state = recover([...snapshot, ...records.map(({ bytes }) => bytes)]);
      return new DurableState(options, opened.journal, state, snapshot.length + records.length === 0);
    } catch (error) {
      await opened.journal.close();
      return new Fault(
        'UNSUPPORTED',
        `${CHECKPOINT_FOLDER}: ${error instanceof Error ? error.message : String(error)}`,
        'Start the later version again that wrote it.',
      );
    }
  }

  /** Takes records into the state at once; resolves when they are durable. For what can be found out again. */
  commit(records: readonly CheckpointRecord[]): Promise<void> {
    for (const record of records) applyRecord(this.state, record);
    return this.#append(records);
  }

  /** As {@link commit}, but the disk may wait up to `ms` for more to write: what is in no hurry costs no sync of its own. */
  commitWithin(ms: number, records: readonly CheckpointRecord[]): Promise<void> {
    if (ms <= 0) return this.commit(records);
    for (const record of records) applyRecord(this.state, record);
    const gathered = this.#gather();
    gathered.records.push(...records);
    const dueMs = this.#clock.monotonic() + ms;
    if (dueMs < gathered.dueMs) {
      gathered.timer?.cancel();
      gathered.dueMs = dueMs;
      gathered.timer = this.#clock.after(ms, () => void this.#append([]).catch(() => undefined));
    }
    return gathered.durable;
  }

  /** Takes records into the state once they are durable; until then nothing is promised. For what must come before an act. */
  async promise(records: readonly CheckpointRecord[]): Promise<void> {
    await this.#append([], records);
  }

  /** Takes records into the state, and into the journal with the next ones. */
  later(records: readonly CheckpointRecord[]): void {
    for (const record of records) applyRecord(this.state, record);
    this.#lazy.push(...records);
  }

  async close(): Promise<void> {
    if (this.#journal !== undefined) await this.#append([]).catch(() => undefined);
    await this.#journal?.close();
  }

  #gather(): Gathered {
    if (this.#gathered !== undefined) return this.#gathered;
    let settle: Pick<Gathered, 'resolve' | 'reject'> | undefined;
    const durable = new Promise<void>((resolve, reject) => {
      settle = { resolve, reject };
    });
    assert(settle !== undefined, 'a promise calls its executor at once');
    this.#gathered = { ...settle, durable, records: [], dueMs: Number.POSITIVE_INFINITY, timer: undefined };
    return this.#gathered;
  }

  async #append(records: readonly CheckpointRecord[], promised: readonly CheckpointRecord[] = []): Promise<void> {
    const gathered = this.#gathered;
    this.#gathered = undefined;
    gathered?.timer?.cancel();
    try {
      await this.#appendNow([...(gathered?.records ?? []), ...records], promised);
      // Before our own caller hears: what was said first is heard first.
      gathered?.resolve();
    } catch (error) {
      gathered?.reject(error);
      throw error;
    }
  }

  /** `records` are in the state already; `promised` come into it here, before a snapshot could be taken without them. */
  async #appendNow(records: readonly CheckpointRecord[], promised: readonly CheckpointRecord[]): Promise<void> {
    const journal = this.#journal ?? (await this.#reopen());
    const all = [...this.#lazy, ...records, ...promised].map(encodeRecord);
    this.#lazy = [];
    if (all.length === 0) return;
    const { ordinal, durable } = journal.append(all);
    try {
      await durable;
    } catch (error) {
      if (!isFull(error)) this.#onFailed(error);
      else if (this.#journal === journal) {
        this.#journal = undefined;
        this.#ended = journal;
      }
      throw error;
    }
    for (const record of promised) applyRecord(this.state, record);
    this.#compact(journal, ordinal + all.length);
  }

  /** The records that the full disk refused are in the state, or were refused with it. */
  #reopen(): Promise<Journal> {
    this.#reopening ??= this.#openAgain().finally(() => {
      this.#reopening = undefined;
    });
    return this.#reopening;
  }

  async #openAgain(): Promise<Journal> {
    await this.#ended?.close();
    this.#ended = undefined;
    try {
      const opened = await openJournal(this.#storage, CHECKPOINT_FOLDER, { segmentBytes: SEGMENT_BYTES });
      if ('refused' in opened) throw new StorageError('EIO', opened.path);
      this.#ended = opened.journal;
      await opened.journal.compact([...stateSlices(this.state)], opened.journal.next);
      this.#journal = opened.journal;
      this.#ended = undefined;
      return opened.journal;
    } catch (error) {
      if (!isFull(error)) this.#onFailed(error);
      throw error;
    }
  }

  /** `upTo`: records below it are durable. The state may have taken later ones: taken again they change nothing. */
  #compact(journal: Journal, upTo: number): void {
    if (this.#compacting || journal.bytes < this.#compactAbove) return;
    this.#compacting = true;
    journal.compact([...stateSlices(this.state)], upTo).then(
      () => {
        this.#compacting = false;
        this.#compactAbove = COMPACT_BYTES;
      },
      () => {
        // The journal lives on with what it had; on a full disk every append would try in vain.
        this.#compacting = false;
        this.#compactAbove = journal.bytes + COMPACT_BYTES;
      },
    );
  }
}

/** True for the one failure of a disk that passes by itself. */
export function isFull(error: unknown): boolean {
  return error instanceof StorageError && (error.code === 'ENOSPC' || error.code === 'EDQUOT');
}
