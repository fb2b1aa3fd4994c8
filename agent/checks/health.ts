/** When a task is asked, in milliseconds (protocol/task-checks.ts). */
export interface Timing {
  readonly delayMs: number;
  readonly intervalMs: number;
  readonly timeoutMs: number;
}

/** What ends a task that is not well. */
export interface HealthTiming extends Timing {
  readonly consecutiveFailures: number;
  readonly gracePeriodMs: number;
}

/** The newest start of a run, as its health check has seen it. Times are monotonic milliseconds. */
export interface Health {
  readonly startedMs: number;
  /** What was last told; undefined before the first result that counts. */
  readonly healthy: boolean | undefined;
  /** It was well once: no failure is too soon from then on. */
  readonly proven: boolean;
  /** In a row. */
  readonly failures: number;
}

export interface Judgement {
  readonly health: Health;
  /** To be told: every failure that counts, and every success that is the first or follows a failure. */
  readonly tell: boolean;
  /** It is to end. */
  readonly ends: boolean;
}

/** `healthy`: what an agent before this one told of the same start. */
export function beginHealth(startedMs: number, healthy?: boolean): Health {
  return { startedMs, healthy, proven: healthy === true, failures: 0 };
}

/** When a start is asked first, now or later: an agent that was away does not ask sooner than it would have. */
export function firstMs({ delayMs }: Timing, startedMs: number, nowMs: number): number {
  return Math.max(nowMs, startedMs + delayMs);
}

/**
 * What one result means (Mesos: src/checks/health_checker.cpp processCheckResult). Failures within the grace period do
 * not count until the first success, and as many as `consecutiveFailures` in a row end the task.
 */
export function judge(health: Health, timing: HealthTiming, well: boolean, nowMs: number): Judgement {
  if (well) {
    const tell = health.healthy !== true;
    return { health: { ...health, healthy: true, proven: true, failures: 0 }, tell, ends: false };
  }
  if (!health.proven && nowMs - health.startedMs <= timing.gracePeriodMs) return { health, tell: false, ends: false };
  const failures = health.failures + 1;
  return {
    health: { ...health, healthy: false, failures },
    tell: true,
    ends: failures >= timing.consecutiveFailures,
  };
}
