import { Fault } from '../protocol/faults.ts';
import type { JobView } from '../protocol/job.ts';
import { askBatch } from './ask.ts';
import { closest } from './closest.ts';
import type { Context } from './verb.ts';

/** Fewer characters of an id are no sign of which was meant. */
const FEWEST = 3;
const MOST_SHOWN = 3;

/** That there is no such job; where one of that name, or of an id like it, is known, the hint has its id. */
export async function unknownJob(context: Context, job: string): Promise<Fault> {
  const answer = await askBatch(context, 'jobs', {});
  const meant = answer instanceof Fault ? undefined : meantBy(job, answer.jobs);
  return new Fault('NOT_FOUND', `there is no job ${job}`, meant ?? 'mesq jobs lists those that are known still.');
}

function meantBy(text: string, jobs: readonly JobView[]): string | undefined {
  const newestFirst = jobs.toSorted((a, b) => b.created - a.created);
  const named = newestFirst.filter(({ name }) => name === text).map(({ id }) => id);
  if (named.length > 0) {
    const more = named.length > MOST_SHOWN ? ` and ${named.length - MOST_SHOWN} more` : '';
    return `That is a name; jobs go by their ids: ${named.slice(0, MOST_SHOWN).join(', ')}${more}.`;
  }
  const ids = newestFirst.map(({ id }) => id);
  const begun = text.length < FEWEST ? [] : ids.filter((id) => id.startsWith(text));
  const one = begun.length === 1 ? begun[0] : closest(text, ids);
  return one === undefined ? undefined : `Did you mean ${one}?`;
}
