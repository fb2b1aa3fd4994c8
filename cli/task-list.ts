import type { TaskView } from '../protocol/job.ts';
import { BATCH } from './ask.ts';
import { ago, isoTime } from './output.ts';
import { stateColour } from './state-colour.ts';
import type { Column } from './table.ts';

/**
 * What the leader knows (tasks that were placed) and what batch knows (also those that wait), as one list in the order of
 * `mesq ps`: the newest attempt of each; of the same attempt the leader's word, which comes first.
 */
export function mergeTasks(placed: readonly TaskView[], scheduled: readonly TaskView[]): TaskView[] {
  const newest = new Map<string, TaskView>();
  for (const task of [...placed, ...scheduled]) {
    const key = `${task.framework} ${task.id}`;
    const known = newest.get(key);
    if (known === undefined || task.attempt > known.attempt) newest.set(key, task);
  }
  return inOrder([...newest.values()]);
}

/** Tasks by index, and those of the newest job first, as `mesq jobs` has it: what one has just begun is in sight. */
function inOrder(tasks: readonly TaskView[]): TaskView[] {
  const oldest = new Map<string, number>();
  const jobOf = ({ framework, job }: TaskView): string => `${framework} ${job}`;
  for (const task of tasks) {
    const known = oldest.get(jobOf(task)) ?? Number.POSITIVE_INFINITY;
    oldest.set(jobOf(task), Math.min(known, task.created ?? 0));
  }
  const created = (task: TaskView): number => oldest.get(jobOf(task)) ?? 0;
  return tasks.toSorted((a, b) => {
    if (jobOf(a) === jobOf(b)) return a.index - b.index;
    return created(b) - created(a) || (jobOf(a) < jobOf(b) ? -1 : 1);
  });
}

/** A task as `--json` has it. */
export function jsonOfTask(task: TaskView): object {
  const { created, started, finished } = task;
  return { ...task, created: isoTime(created), started: isoTime(started), finished: isoTime(finished) };
}

export function taskColumns(now: number): Column<TaskView>[] {
  return [
    { title: 'TASK', whole: true, value: ({ framework, id }) => (framework === BATCH ? id : `${framework}/${id}`) },
    { title: 'ATTEMPT', spare: 5, value: ({ attempt }) => attempt, align: 'right' },
    {
      title: 'STATE',
      whole: true,
      value: ({ state, healthy }) =>
        healthy === false ? `${state} unhealthy` : healthy === true ? `${state} healthy` : state,
      colour: ({ state }) => stateColour(state),
    },
    { title: 'AGENT', value: ({ agent }) => agent },
    { title: 'EXIT', spare: 1, value: ({ exitCode }) => exitCode, align: 'right' },
    {
      title: 'STARTED',
      spare: 3,
      value: ({ started }) => (started === null ? null : `${ago(started, now)} ago`),
      align: 'right',
    },
    {
      title: 'TOOK',
      spare: 4,
      value: ({ started, finished }) => (finished === null ? null : ago(started, finished)),
      align: 'right',
    },
    { title: 'WHY', spare: 2, value: why },
  ];
}

/** That a check said something is no reason to be where it is: the state shows what it said. */
function why({ reason, message }: TaskView): string | null {
  return message ?? (reason?.endsWith('CHECK_STATUS_UPDATED') === true ? null : reason);
}
