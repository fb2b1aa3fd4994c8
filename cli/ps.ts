import { Fault } from '../protocol/faults.ts';
import { parseId } from '../protocol/ids.ts';
import { parseTaskName, type TaskView } from '../protocol/job.ts';
import { askBatch, askLeader } from './ask.ts';
import { noJob } from './job-name.ts';
import { noSuchIndex } from './missing-task.ts';
import { printRows } from './output.ts';
import { jsonOfTask, mergeTasks, taskColumns } from './task-list.ts';
import { unknownJob } from './unknown-job.ts';
import type { Context, Verb } from './verb.ts';

/** `mesq ps [JOB]`: tasks that wait, run, or ended not long ago. */
export const ps: Verb = {
  examples: [
    'mesq ps',
    'mesq ps k3v9x2ab        # of one job',
    'mesq ps k3v9x2ab.4      # one of them',
    'mesq ps --json',
  ],
  configure: (command) => {
    command.argument('[job]', "a job's id, or a task of it");
  },
  run: async (context, command) => {
    const [text] = command.args;
    const tasks = await (text === undefined ? listTasks(context, undefined) : tasksNamed(context, text));
    if (tasks instanceof Fault) return tasks;
    await printRows(context, tasks, {
      none: 'There is no task.',
      json: jsonOfTask,
      columns: taskColumns(context.terminal.clock.wall()),
    });
    return 0;
  },
};

/** Those of a job, or the one of it. A task of another framework goes by its own id. */
async function tasksNamed(context: Context, text: string): Promise<TaskView[] | Fault> {
  const name = parseTaskName(text);
  if (name === undefined && parseId(text, 'the job') instanceof Fault) return noJob(text);
  const { job = text, index } = name ?? {};
  const tasks = await listTasks(context, job);
  if (tasks instanceof Fault) return tasks.code === 'NOT_FOUND' ? unknownJob(context, job) : tasks;
  if (index === undefined) return tasks;
  const meant = tasks.filter((task) => task.index === index);
  return meant.length > 0 ? meant : noSuchIndex(job, index, tasks.length);
}

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
