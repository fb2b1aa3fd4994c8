import type { Timer } from '../io/clock.ts';
import type { TaskSpent } from '../io/launcher.ts';
import type { CheckStatus } from '../protocol/task-checks.ts';
import type { Actual, News, RunFacts, Stop } from './tasks/plan.ts';

/** What this process knows of a run beyond the checkpoint. Times are monotonic: after a reboot a limit begins anew. */
export interface Live {
  actual: Actual;
  startedMs: number | undefined;
  launchedMs: number | undefined;
  kill: RunFacts['kill'];
  unhealthy: RunFacts['unhealthy'];
  news: News[];
  /** What checks of this start said last. */
  healthy: boolean | undefined;
  checkStatus: CheckStatus | undefined;
  timeUp: boolean;
  rebooted: boolean;
  quickEnds: number;
  /** Of the start that ended last. */
  usage: TaskSpent | undefined;
  timer: Timer | undefined;
  /** Its folder is being made. */
  launching: boolean;
  /** Until it is asked after again. */
  asking: Timer | undefined;
  busy: boolean;
  again: boolean;
}

/** A run of which nothing was seen yet. */
export function fresh(): Live {
  return {
    actual: { kind: 'launched' },
    startedMs: undefined,
    launchedMs: undefined,
    kill: undefined,
    unhealthy: undefined,
    news: [],
    healthy: undefined,
    checkStatus: undefined,
    timeUp: false,
    rebooted: false,
    quickEnds: 0,
    usage: undefined,
    timer: undefined,
    launching: false,
    asking: undefined,
    busy: false,
    again: false,
  };
}

/** Notes what was done to end it. */
export function stopped(live: Live, done: Partial<Stop>): void {
  if (live.kill !== undefined) live.kill = { ...live.kill, ...done };
  if (live.unhealthy !== undefined) live.unhealthy = { ...live.unhealthy, ...done };
}

/** It was ended before it started. */
export function withdrawn(): Actual {
  return { kind: 'unstarted', reason: 'KILLED_DURING_LAUNCH', message: 'killed before it started' };
}
