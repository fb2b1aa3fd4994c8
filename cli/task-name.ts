import { Fault } from '../protocol/faults.ts';
import { parseId } from '../protocol/ids.ts';
import { parseTaskName } from '../protocol/job.ts';
import { BATCH } from './ask.ts';

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

/** A task of any framework. */
export interface AnyTask {
  readonly framework: string;
  readonly task: string;
  /** Undefined: the newest. */
  readonly attempt: number | undefined;
}

/** As {@link readTaskName}, and `framework/task` or `framework/task/attempt` for what is not of a job. Faults: BAD_USAGE, BAD_ID. */
export function readAnyTask(text: string): AnyTask | Fault {
  if (!text.includes('/')) {
    const name = readTaskName(text);
    return name instanceof Fault
      ? name
      : { framework: BATCH, task: `${name.job}.${name.index}`, attempt: name.attempt };
  }
  const [framework = '', task = '', attempt, ...more] = text.split('/');
  for (const fault of [parseId(framework, 'the framework'), parseId(task, 'the task')])
    if (fault instanceof Fault) return fault;
  if (more.length > 0 || (attempt !== undefined && !/^\d{1,7}$/.test(attempt)))
    return new Fault(
      'BAD_USAGE',
      `${JSON.stringify(text)} is no task`,
      'Write framework/task or framework/task/attempt.',
    );
  return { framework, task, attempt: attempt === undefined ? undefined : Number(attempt) };
}
