import * as v from 'valibot';
import { Arguments } from './arguments.ts';
import { LIMITS, TIMES } from './limits.ts';
import type { Resources } from './resources.ts';

const Milliseconds = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(365 * 24 * 3_600_000));
const Port = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535));
/** The first, second, … port of the task's own resources, where `port` is not written. */
const PortIndex = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(999));

/** Where the task listens: on 127.0.0.1 of its agent's machine. */
const Where = { port: v.optional(Port), portIndex: v.optional(PortIndex) };

/** What is asked of a task: exactly one of them. */
const Probe = {
  /** Exit status 0 is well. Runs beside the task: in its folder, with its environment. */
  command: v.optional(v.object({ argv: Arguments })),
  /** A GET; a status of 200 to 399 is well. A redirection is not followed, a certificate not checked. */
  http: v.optional(
    v.object({
      ...Where,
      scheme: v.optional(v.picklist(['http', 'https']), 'http'),
      path: v.optional(
        v.pipe(
          v.string(),
          v.maxLength(LIMITS.pathLength),
          v.regex(/^\/[!-~]*$/, 'a path begins with / and has no spaces'),
        ),
        '/',
      ),
    }),
  ),
  /** A connection that opens is well. */
  tcp: v.optional(v.object(Where)),
};

/** When it is asked. Mesos's defaults (include/mesos/v1/mesos.proto HealthCheck, CheckInfo). */
const Timing = {
  /** From the beginning of the task to the first. */
  delayMs: v.optional(Milliseconds, TIMES.checkDelayMs),
  /** From the end of one to the next. */
  intervalMs: v.optional(v.pipe(Milliseconds, v.minValue(100)), TIMES.checkIntervalMs),
  /** One that takes longer has failed. */
  timeoutMs: v.optional(v.pipe(Milliseconds, v.minValue(1)), TIMES.checkTimeoutMs),
};

const isOne = ({ command, http, tcp }: { command?: unknown; http?: unknown; tcp?: unknown }): boolean =>
  [command, http, tcp].filter((probe) => probe !== undefined).length === 1;
const ONE = 'a check is exactly one of command, http and tcp';

/** Asks a task whether it is well, and ends it when it is not (Mesos: HealthCheck; docs/task-life.md). */
export const HealthCheck = v.pipe(
  v.object({
    ...Probe,
    ...Timing,
    /** So many failures in a row end the task. */
    consecutiveFailures: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(1_000)), 3),
    /** Failures this soon after the beginning of the task do not count, until the first success. */
    gracePeriodMs: v.optional(Milliseconds, TIMES.checkGraceMs),
  }),
  v.check((check) => isOne(check), ONE),
);
export type HealthCheck = v.InferOutput<typeof HealthCheck>;

/** Asks a task something and tells the answer when it changes; nobody judges it (Mesos: CheckInfo). */
export const Check = v.pipe(
  v.object({ ...Probe, ...Timing }),
  v.check((check) => isOne(check), ONE),
);
export type Check = v.InferOutput<typeof Check>;

/** What the newest check found; without a result, none has ended in time yet (Mesos: CheckStatusInfo). */
export const CheckStatus = v.object({
  kind: v.picklist(['command', 'http', 'tcp']),
  exitCode: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(255))),
  statusCode: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(999))),
  succeeded: v.optional(v.boolean()),
});
export type CheckStatus = v.InferOutput<typeof CheckStatus>;

/** The port that a check asks at; undefined where the task has none of that number. */
export function portOf(
  { port, portIndex = 0 }: { readonly port?: number | undefined; readonly portIndex?: number | undefined },
  resources: Resources,
): number | undefined {
  if (port !== undefined) return port;
  let left = portIndex;
  for (const { name, ranges } of resources) {
    if (name !== 'ports' || ranges === undefined) continue;
    for (const [begin, end] of ranges) {
      if (begin + left <= end) return begin + left;
      left -= end - begin + 1;
    }
  }
  return undefined;
}
