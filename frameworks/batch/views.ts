import type { JobState, JobView, TaskView } from '../../protocol/job.ts';
import { type Job, phaseOf, type Task } from './job.ts';

export function stateOf(job: Job): JobState {
  if (job.finished === undefined) return job.begun ? 'running' : 'pending';
  if (job.cancelled) return 'cancelled';
  return job.counts.failed > 0 ? 'failed' : 'finished';
}

export function viewJob(job: Job): JobView {
  const { waiting, placed, finished, failed } = job.counts;
  return {
    id: job.spec.job,
    name: job.spec.name ?? '',
    owner: job.owner,
    kind: 'batch',
    state: stateOf(job),
    tasks: { total: job.spec.count, pending: waiting, running: placed, finished, failed, killed: job.killed },
    created: job.created,
    finished: job.finished ?? null,
  };
}

/** One task as the operator API shows it; `framework` is the batch framework's own name. */
export function viewTask(job: Job, index: number, framework: string): TaskView {
  const task = job.tasks.get(index);
  const phase = phaseOf(job, index);
  return {
    id: taskName(job.spec.job, index),
    framework,
    job: job.spec.job,
    index,
    // While it waits for its next attempt it is shown as its last one ended.
    attempt: task === undefined ? 0 : isAgain(task) ? task.attempt - 1 : (task.kept ?? task.attempt),
    restart: task?.restart ?? 0,
    state:
      task?.state ?? (phase === 'finished' ? 'TASK_FINISHED' : phase === 'failed' ? 'TASK_KILLED' : 'TASK_STAGING'),
    reason: task?.reason ?? (task === undefined && phase === 'failed' ? 'KILLED_BY_REQUEST' : null),
    message: task?.message ?? null,
    agent: task?.agent ?? null,
    exitCode: task?.exitCode ?? (task === undefined && phase === 'finished' ? 0 : null),
    output: task?.output ?? null,
    healthy: task?.healthy ?? null,
    created: task?.created ?? job.created,
    started: task?.started ?? null,
    finished: task?.finished ?? null,
  };
}

function isAgain({ phase, attempt, state }: Task): boolean {
  return phase === 'waiting' && attempt > 0 && state !== 'TASK_STAGING';
}

/** `job.index`: the task's id within the framework, whatever its attempt. */
export function taskName(job: string, index: number): string {
  return `${job}.${index}`;
}
