import type { JobRecord } from './job-record.ts';

const MOST = 1_000;
const LONGEST_MS = 7 * 24 * 3_600_000;
/** Of all ended jobs: entries of the store (of 20,000), and tasks that did not just finish (some 50 bytes each there). */
const MOST_KEYS = 5_000;
const MOST_TASKS = 100_000;

/**
 * Jobs that have ended, oldest end first: the newest 1,000 are kept, for seven days; fewer where arrays of failures
 * would fill the store with what people have long read. The newest stays in any case.
 */
export class EndedJobs {
  #records: JobRecord[] = [];

  add(record: JobRecord): void {
    this.#records.push(record);
  }

  /** Takes out what is to be forgotten. `now` is wall-clock milliseconds. */
  takeOld(now: number): JobRecord[] {
    let keys = 0;
    let tasks = 0;
    let kept = 0;
    for (const record of this.#records.toReversed()) {
      keys += record.keys;
      tasks += record.job.tasks.size;
      const isWithin = kept < MOST && keys <= MOST_KEYS && tasks <= MOST_TASKS;
      if (!(isWithin || kept === 0) || isOld(record, now)) break;
      kept++;
    }
    return this.#records.splice(0, this.#records.length - kept);
  }

  clear(): void {
    this.#records = [];
  }
}

function isOld({ job }: JobRecord, now: number): boolean {
  return job.finished !== undefined && now - job.finished > LONGEST_MS;
}
