import { Fault } from '../protocol/faults.ts';
import { parseTaskName } from '../protocol/job.ts';

/** A task as it was written; without an index, the job's first. */
export interface TaskName {
  readonly job: string;
  readonly index: number;
  /** Undefined: the newest. */
  readonly attempt: number | undefined;
}

/** Reads `job`, `job.index` or `job.index.attempt`. Faults: BAD_USAGE. */
export function readTaskName(text: string): TaskName | Fault {
  const name = parseTaskName(text);
  if (name === undefined) {
    return new Fault(
      'BAD_USAGE',
      `${JSON.stringify(text)} is no task`,
      'Write job, job.index or job.index.attempt; mesq ps lists them.',
    );
  }
  return { job: name.job, index: name.index ?? 0, attempt: name.attempt };
}
