import { Fault } from '../protocol/faults.ts';
import type { JobView } from '../protocol/job.ts';
import { askBatch } from './ask.ts';
import { ago, isoTime, printRows } from './output.ts';
import { stateColour } from './state-colour.ts';
import type { Column } from './table.ts';
import type { Verb } from './verb.ts';

/** `mesq jobs`: every job that is known still, newest first. */
export const jobs: Verb = {
  examples: ['mesq jobs', 'mesq jobs --json'],
  configure: () => {},
  run: async (context) => {
    const answer = await askBatch(context, 'jobs', {});
    if (answer instanceof Fault) return answer;
    const rows = answer.jobs.toSorted((a, b) => b.created - a.created || (a.id < b.id ? -1 : 1));
    await printRows(context, rows, {
      none: 'There is no job. Run something: mesq run -- echo hello',
      json: jsonOfJob,
      columns: jobColumns(context.terminal.clock.wall()),
    });
    return 0;
  },
};

/** A job as `--json` has it. */
export function jsonOfJob(job: JobView): object {
  return { ...job, created: isoTime(job.created), finished: isoTime(job.finished) };
}

function jobColumns(now: number): Column<JobView>[] {
  return [
    { title: 'ID', whole: true, value: ({ id }) => id },
    { title: 'NAME', spare: 1, value: ({ name }) => name || '-' },
    { title: 'OWNER', spare: 8, value: ({ owner }) => owner },
    { title: 'STATE', whole: true, value: ({ state }) => state, colour: ({ state }) => stateColour(state) },
    { title: 'TASKS', spare: 2, value: ({ tasks }) => tasks.total, align: 'right' },
    { title: 'PENDING', spare: 7, value: ({ tasks }) => tasks.pending, align: 'right' },
    { title: 'RUNNING', spare: 5, value: ({ tasks }) => tasks.running, align: 'right' },
    { title: 'FINISHED', spare: 6, value: ({ tasks }) => tasks.finished, align: 'right' },
    { title: 'FAILED', spare: 3, value: ({ tasks }) => tasks.failed - tasks.killed, align: 'right' },
    { title: 'KILLED', spare: 9, value: ({ tasks }) => tasks.killed, align: 'right' },
    { title: 'AGE', spare: 4, value: ({ created }) => ago(created, now), align: 'right' },
  ];
}
