import type { JobRecord } from './job-record.ts';

const MOST = 1_000;
const LONGEST_MS = 7 * 24 * 3_600_000;

/** Jobs that have ended, oldest end first: the newest 1,000 are kept, for seven days. */
export class EndedJobs {
  #records: JobRecord[] = [];

  add(record: JobRecord): void {
    this.#records.push(record);
  }

  /** Takes out what is to be forgotten. `now` is wall-clock milliseconds. */
  takeOld(now: number): JobRecord[] {
    let old = Math.max(0, this.#records.length - MOST);
    while (old < this.#records.length && isOld(this.#records[old], now)) old++;
    return this.#records.splice(0, old);
  }

  clear(): void {
    this.#records = [];
  }
}

function isOld(record: JobRecord | undefined, now: number): boolean {
  return record?.job.finished !== undefined && now - record.job.finished > LONGEST_MS;
}
