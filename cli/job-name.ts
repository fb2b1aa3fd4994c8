import { Fault } from '../protocol/faults.ts';
import { type JobSpec, type JobView, parseTaskName } from '../protocol/job.ts';
import { askBatch } from './ask.ts';
import { noSuchIndex } from './missing-task.ts';
import { unknownJob } from './unknown-job.ts';
import type { Context } from './verb.ts';

export interface KnownJob {
  readonly job: JobView;
  readonly spec: JobSpec;
}

/** What to write instead, where a job was meant and one task of several was written. */
type Instead = (job: string, task: string) => string;

/**
 * The job that was written where one is asked for: its id, or its only task as `job.0`. Faults: BAD_USAGE, NOT_FOUND, and
 * those of asking.
 */
export async function findJob(context: Context, text: string, instead: Instead): Promise<KnownJob | Fault> {
  const name = parseTaskName(text);
  if (name === undefined) return noJob(text);
  const { job, index } = name;
  const found = await askForJob(context, job);
  if (found instanceof Fault) return found;
  const { count } = found.spec;
  if (index === undefined || (count === 1 && index === 0)) return found;
  if (index >= count) return noSuchIndex(job, index, count);
  return new Fault('BAD_USAGE', `${text} is one of the ${count} tasks of job ${job}`, instead(job, `${job}.${index}`));
}

/** The id of {@link findJob}'s job; the cluster is not asked where the id itself was written. */
export async function jobIdOf(context: Context, text: string, instead: Instead): Promise<string | Fault> {
  const name = parseTaskName(text);
  if (name !== undefined && name.index === undefined) return name.job;
  const found = await findJob(context, text, instead);
  return found instanceof Fault ? found : found.spec.job;
}

/** The job of that id. Where there is none the hint says which may have been meant. */
export async function askForJob(context: Context, job: string): Promise<KnownJob | Fault> {
  const found = await askBatch(context, 'job', { job });
  return found instanceof Fault && found.code === 'NOT_FOUND' ? unknownJob(context, job) : found;
}

/** That a text names no job. */
export function noJob(text: string): Fault {
  return new Fault(
    'BAD_USAGE',
    `${JSON.stringify(text)} is no job`,
    'Write the id of a job, like k3v9x2ab; mesq jobs lists them.',
  );
}
