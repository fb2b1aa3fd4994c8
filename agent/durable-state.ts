import { type Journal, openJournal } from '../io/journal.ts';
import { type Storage, StorageError } from '../io/storage.ts';
import { Fault } from '../protocol/faults.ts';
import { type CheckpointRecord, encodeRecord } from './checkpoint/records.ts';
import { type AgentState, applyRecord, recover, stateSlices } from './checkpoint/state.ts';

const FOLDER = 'checkpoint';
const SEGMENT_BYTES = 262_144;
/** Of records since the last snapshot. */
const COMPACT_BYTES = 2 * 1_048_576;

/**
 * The agent's state and the journal behind it. A full disk ends a journal: it is opened again, with the state as it
 * is, at the next commit that finds room. Any other failure of the disk is for the process to die of.
 */
export class DurableState {
  readonly state: AgentState;
  readonly #storage: Storage;
  #journal: Journal | undefined;
  #compacting = false;
  /** Said with the next records: losing it costs one repeated message. */
  #lazy: CheckpointRecord[] = [];

  private constructor(storage: Storage, journal: Journal, state: AgentState) {
    this.#storage = storage;
    this.#journal = journal;
    this.state = state;
  }

  static async open(storage: Storage): Promise<DurableState | Fault> {
    const opened = await openJournal(storage, FOLDER, { segmentBytes: SEGMENT_BYTES });
    if ('refused' in opened) {
      return new Fault(
        'CORRUPT',
        `${opened.path} at byte ${opened.position}: ${opened.message}`,
        'Keep the folder for a look, and start the agent with a new --data to join as a new agent.',
      );
    }
    const { snapshot = [], records } = opened.recovered;
    const state = recover([...snapshot, ...records.map(({ bytes }) => bytes)]);
    return new DurableState(storage, opened.journal, state);
  }

  /** Takes records into the state at once; resolves when they are durable. For what can be found out again. */
  commit(records: readonly CheckpointRecord[]): Promise<void> {
    for (const record of records) applyRecord(this.state, record);
    return this.#append(records);
  }

  /** Takes records into the state once they are durable; until then nothing is promised. For acceptances. */
  async promise(records: readonly CheckpointRecord[]): Promise<void> {
    await this.#append(records);
    for (const record of records) applyRecord(this.state, record);
  }

  /** Takes records into the state, and into the journal with the next ones. */
  later(records: readonly CheckpointRecord[]): void {
    for (const record of records) applyRecord(this.state, record);
    this.#lazy.push(...records);
  }

  async close(): Promise<void> {
    if (this.#lazy.length > 0) await this.#append([]).catch(() => undefined);
    await this.#journal?.close();
  }

  async #append(records: readonly CheckpointRecord[]): Promise<void> {
    if (this.#journal === undefined) await this.#reopen();
    const journal = this.#journal;
    if (journal === undefined) throw new StorageError('ENOSPC', FOLDER);
    const all = [...this.#lazy, ...records].map(encodeRecord);
    this.#lazy = [];
    if (all.length === 0) return;
    try {
      await journal.append(all).durable;
    } catch (error) {
      if (this.#journal === journal && error instanceof StorageError && error.code === 'ENOSPC')
        this.#journal = undefined;
      throw error;
    }
    this.#compact(journal);
  }

  /** The records that the full disk refused are in the state, or were refused with it. */
  async #reopen(): Promise<void> {
    const opened = await openJournal(this.#storage, FOLDER, { segmentBytes: SEGMENT_BYTES });
    if ('refused' in opened) throw new StorageError('EIO', opened.path);
    await opened.journal.compact(stateSlices(this.state), opened.journal.next);
    this.#journal = opened.journal;
  }

  #compact(journal: Journal): void {
    if (this.#compacting || journal.bytes < COMPACT_BYTES) return;
    this.#compacting = true;
    // The slices are taken at once: what is appended meanwhile comes after them.
    const slices = [...stateSlices(this.state)];
    journal.compact(slices, journal.next).then(
      () => {
        this.#compacting = false;
      },
      () => {
        this.#compacting = false;
      },
    );
  }
}
