import { type KnownTask, taskDigest } from '../protocol/agent-link.ts';
import { isTerminal } from '../protocol/task.ts';
import { hasEnded, type Run } from './checkpoint/state.ts';

/** What a master is told of, where it asks for all: every run whose end no master has acknowledged. */
export function knownTasks(runs: Iterable<Run>): KnownTask[] {
  return [...runs]
    .filter((run) => !isOver(run))
    .map((run) => ({
      framework: run.framework,
      task: run.info.task,
      attempt: run.info.attempt,
      restart: run.restart,
      // An end is told by its report alone, which follows: until then the run counts as alive.
      state: run.latest !== undefined && !isTerminal(run.latest.state) ? run.latest.state : 'TASK_STARTING',
      sequence: run.acknowledged,
      resources: run.info.resources,
    }));
}

/** {@link taskDigest} of what a master must know of: it acknowledged a report, but not yet the one of its end. */
export function knownDigest(runs: Iterable<Run>): string {
  const told = [...runs].filter((run) => run.acknowledged > 0 && !isOver(run));
  return taskDigest(told.map(({ framework, info }) => ({ framework, task: info.task, attempt: info.attempt })));
}

function isOver(run: Run): boolean {
  return hasEnded(run) && run.unacknowledged.length === 0;
}
