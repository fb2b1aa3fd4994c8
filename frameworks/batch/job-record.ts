import type { Fault } from '../../protocol/faults.ts';
import type { SchedulerDriver } from '../../sdk/index.ts';
import type { Job } from './job.ts';
import type { LiveJob } from './live-job.ts';
import {
  blockOf,
  blocksOf,
  encodeBlock,
  encodeSpec,
  encodeState,
  isClean,
  keyOf,
  type StoredPart,
} from './stored-job.ts';

/**
 * A job with what the store has of it. {@link write} brings the store up to date, one writing at a time; what must
 * wait for it (acknowledgements, answers) is handed to {@link whenStored}.
 */
export class JobRecord {
  readonly job: Job;
  /** Undefined once it has ended. */
  live: LiveJob | undefined;
  /** When its last writing began, in monotonic milliseconds. */
  writtenMs = Number.NEGATIVE_INFINITY;
  readonly #versions: Map<string, number>;
  readonly #dirty = new Set<number>();
  #stateDirty = false;
  #writing = false;
  #waiting: (() => void)[] = [];

  /** `versions`: of the keys that the store holds already. */
  constructor(job: Job, versions: ReadonlyMap<string, number> = new Map()) {
    this.job = job;
    this.#versions = new Map(versions);
  }

  get dirty(): boolean {
    return this.#dirty.size > 0 || this.#stateDirty;
  }

  /** Entries of the store that it takes. */
  get keys(): number {
    return this.#versions.size;
  }

  get ended(): boolean {
    return this.job.finished !== undefined;
  }

  blockChanged(block: number): void {
    this.#dirty.add(block);
  }

  /** More tasks changed than are worth telling apart. */
  everythingChanged(): void {
    for (const index of this.job.tasks.keys()) this.#dirty.add(blockOf(index));
  }

  stateChanged(): void {
    this.#stateDirty = true;
  }

  /** Calls back once everything so far is in the store. */
  whenStored(callback: () => void): void {
    this.#waiting.push(callback);
  }

  /** Writes the spec: the job exists from then on. */
  async create(driver: SchedulerDriver): Promise<Fault | undefined> {
    const text = encodeSpec(this.job);
    if (typeof text !== 'string') return text;
    return await this.#put(driver, { kind: 'spec' }, text);
  }

  /** Undefined once nothing is left to write, or while another call is at it; a fault leaves the rest dirty. */
  async write(driver: SchedulerDriver): Promise<Fault | undefined> {
    if (this.#writing) return undefined;
    this.#writing = true;
    let fault: Fault | undefined;
    while (fault === undefined && (this.dirty || this.#waiting.length > 0)) {
      const waiting = this.#waiting;
      this.#waiting = [];
      fault = await this.#writeDirty(driver);
      if (fault === undefined) for (const callback of waiting) callback();
      else this.#waiting = [...waiting, ...this.#waiting];
    }
    this.#writing = false;
    return fault;
  }

  /** Removes every key, the spec last, so that a half-removed job is still a job. */
  async remove(driver: SchedulerDriver): Promise<Fault | undefined> {
    const spec = keyOf(this.job.spec.job, { kind: 'spec' });
    for (const key of [...this.#versions.keys()].filter((one) => one !== spec).concat(spec)) {
      const fault = await this.#set(driver, key, null);
      if (fault !== undefined) return fault;
    }
    return undefined;
  }

  async #writeDirty(driver: SchedulerDriver): Promise<Fault | undefined> {
    const { job } = this;
    const clean = isClean(job);
    const blocks = [...this.#dirty];
    const stateDirty = this.#stateDirty;
    this.#dirty.clear();
    this.#stateDirty = false;
    // The state tells the end only after the blocks tell why; where it tells everything, the blocks may go.
    const writes = clean
      ? []
      : blocks.map((block) => this.#put(driver, { kind: 'block', block }, encodeBlock(job, block)));
    let fault = (await Promise.all(writes)).find((outcome) => outcome !== undefined);
    if (fault === undefined && stateDirty) fault = await this.#put(driver, { kind: 'state' }, encodeState(job));
    if (fault === undefined && clean) fault = await this.#removeBlocks(driver);
    if (fault === undefined) return undefined;
    for (const block of blocks) this.#dirty.add(block);
    this.#stateDirty ||= stateDirty;
    return fault;
  }

  async #removeBlocks(driver: SchedulerDriver): Promise<Fault | undefined> {
    for (let block = 0; block < blocksOf(this.job); block++) {
      const fault = await this.#set(driver, keyOf(this.job.spec.job, { kind: 'block', block }), null);
      if (fault !== undefined) return fault;
    }
    return undefined;
  }

  #put(driver: SchedulerDriver, part: StoredPart, value: string | null): Promise<Fault | undefined> {
    return this.#set(driver, keyOf(this.job.spec.job, part), value);
  }

  async #set(driver: SchedulerDriver, key: string, value: string | null): Promise<Fault | undefined> {
    const version = this.#versions.get(key) ?? 0;
    if (value === null && version === 0) return undefined;
    const outcome = await driver.store(key, value, version);
    if (typeof outcome !== 'number') return outcome;
    if (value === null) this.#versions.delete(key);
    else this.#versions.set(key, outcome);
    return undefined;
  }

  /** Whether a job of that id and this one are the same submission. */
  isSame(other: Job): boolean {
    return this.job.owner === other.owner && JSON.stringify(this.job.spec) === JSON.stringify(other.spec);
  }
}
