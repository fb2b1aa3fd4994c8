import { TIMES } from '../../protocol/limits.ts';

/** How long a fetch has been without success. All times are monotonic milliseconds. */
export interface Tries {
  /** In a row, without a byte between them. */
  readonly failures: number;
  /** Of the time since the last byte: in contact with a master, and alone. */
  readonly inContactMs: number;
  readonly aloneMs: number;
  /** Until when that is counted. */
  readonly countedMs: number;
}

export function firstTry(nowMs: number): Tries {
  return { failures: 0, inContactMs: 0, aloneMs: 0, countedMs: nowMs };
}

/**
 * After a failure that may pass. `alone`: no master is in reach either, so it is this machine's link that is down, and
 * nobody is served by giving up soon.
 */
export function failed(tries: Tries, nowMs: number, alone: boolean): Tries {
  const passed = Math.max(0, nowMs - tries.countedMs);
  return {
    failures: tries.failures + 1,
    inContactMs: tries.inContactMs + (alone ? 0 : passed),
    aloneMs: tries.aloneMs + (alone ? passed : 0),
    countedMs: nowMs,
  };
}

/** How long to wait before the next try; undefined where there is none. */
export function pauseMs({ failures, inContactMs, aloneMs }: Tries): number | undefined {
  if (inContactMs >= TIMES.artifactPatienceMs || aloneMs >= TIMES.artifactPatienceAloneMs) return undefined;
  return Math.min(TIMES.artifactRetryMaxMs, TIMES.artifactRetryMs * 2 ** Math.min(20, Math.max(0, failures - 1)));
}
