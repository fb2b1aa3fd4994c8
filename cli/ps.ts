import { Fault } from '../protocol/faults.ts';
import type { TaskView } from '../protocol/job.ts';
import { askBatch, askLeader } from './ask.ts';
import { printRows } from './output.ts';
import { jsonOfTask, mergeTasks, taskColumns } from './task-list.ts';
import type { Context, Verb } from './verb.ts';

/** `mesq ps [JOB]`: tasks that wait, run, or ended not long ago. */
export const ps: Verb = {
  examples: ['mesq ps', 'mesq ps k3v9x2ab        # of one job', 'mesq ps --json'],
  configure: (command) => {
    command.argument('[job]', "a job's id");
  },
  run: async (context, command) => {
    const tasks = await listTasks(context, command.args[0]);
    if (tasks instanceof Fault) return tasks;
    await printRows(context, tasks, {
      none: 'There is no task.',
      json: jsonOfTask,
      columns: taskColumns(context.terminal.clock.wall()),
    });
    return 0;
  },
};

/** The tasks of one job, or of all. NOT_FOUND where neither side knows the job. */
export async function listTasks(context: Context, job: string | undefined): Promise<TaskView[] | Fault> {
  const body = job === undefined ? {} : { job };
  const [placed, scheduled] = await Promise.all([askLeader(context, 'tasks', body), askBatch(context, 'tasks', body)]);
  if (placed instanceof Fault) return placed;
  // A framework that is not there, or has forgotten the job, is no reason to hide what the leader knows.
  if (scheduled instanceof Fault) {
    return placed.tasks.length > 0 ? mergeTasks(placed.tasks, []) : scheduled;
  }
  return mergeTasks(placed.tasks, scheduled.tasks);
}
