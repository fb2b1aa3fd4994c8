import type { TaskView } from '../protocol/job.ts';

/** Docker's and timeout(1)'s numbers, for the verbs that pass a task's own code on. */
export const EXIT = {
  timeLimit: 124,
  /** The cluster, a master, or the command line; also a task that never started. */
  cluster: 125,
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
