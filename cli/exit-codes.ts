import type { TaskView } from '../protocol/job.ts';

/** Docker's and timeout(1)'s numbers, for the verbs that pass a task's own code on. */
export const EXIT = {
  timeLimit: 124,
  /** The cluster, a master, or the command line; also a task that never started. */
  cluster: 125,
  notExecutable: 126,
  notFound: 127,
  interrupted: 130,
  hungUp: 129,
  /** Nobody reads our output any more: 128 + SIGPIPE, as the shell gives it. */
  brokenPipe: 141,
} as const;

/** The exit code that a task's end stands for. */
export function exitCodeOf(task: Pick<TaskView, 'state' | 'reason' | 'exitCode'>): number {
  if (task.state === 'TASK_FINISHED') return 0;
  if (task.reason === 'MAX_COMPLETION_TIME_REACHED') return EXIT.timeLimit;
  // Ended for its health, it may have gone politely: that is no success.
  if (task.reason === 'HEALTH_CHECK_FAILED' && task.exitCode === 0) return EXIT.cluster;
  return task.exitCode ?? EXIT.cluster;
}

/** A job's: the highest of its tasks'. */
export function exitCodeOfAll(tasks: Iterable<Pick<TaskView, 'state' | 'reason' | 'exitCode'>>): number {
  let highest = 0;
  for (const task of tasks) highest = Math.max(highest, exitCodeOf(task));
  return highest;
}

/** What becomes of a task, as `run`, `wait` and `attach` tell it. */
export const TASK_EXITS = {
  0: 'every task finished',
  n: "the task's own code; of several tasks the highest",
  124: 'it ran longer than its `--time`',
  125: 'the cluster or the command line was wrong; a task never started, was lost, or was ended for its health',
  126: 'the command cannot be executed',
  127: 'there is no such command',
  '128+n': 'signal n ended it; 137 also where it had no more memory, which is said',
} as const;
