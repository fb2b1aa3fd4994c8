import type { Reason, RestartPolicy, TaskState } from '../../protocol/task.ts';
import { backOffMs } from './restart-back-off.ts';

/** What has become of a run's newest start, as far as is known. */
export type Actual =
  /** Handed to the launcher: not seen to run yet. */
  | { readonly kind: 'launched' }
  | { readonly kind: 'running' }
  | { readonly kind: 'exited'; readonly code: number }
  /** It was started and there is no trace of it: the machine went down. */
  | { readonly kind: 'vanished' }
  /** It never started and never will: the launch was withdrawn, or refused by the machine. */
  | { readonly kind: 'unstarted'; readonly reason: Reason; readonly message: string }
  /** Ended; to be started again. */
  | { readonly kind: 'waiting'; readonly untilMs: number };

/** Why a run is killed, where it is not the framework that asked. */
export interface Because {
  readonly reason: Reason;
  readonly message: string;
}

/** One run as the plan sees it. Times are monotonic milliseconds. */
export interface RunFacts {
  readonly restartPolicy: RestartPolicy;
  readonly restart: number;
  readonly actual: Actual;
  /** The state last reported. */
  readonly reported: TaskState | undefined;
  /** When this start began to run; for the first, also the beginning of its completion time. */
  readonly startedMs: number | undefined;
  readonly maxCompletionMs: number | undefined;
  /** Somebody asked for its end: since when, and what was done about it. */
  readonly kill:
    | {
        readonly sinceMs: number;
        readonly graceMs: number;
        readonly terminated: boolean;
        readonly killed: boolean;
        readonly because?: Because | undefined;
      }
    | undefined;
  /** Its completion time ran out. */
  readonly timeUp: boolean;
  readonly rebooted: boolean;
  /** Starts in a row that ended within ten minutes. */
  readonly quickEnds: number;
}

/** One thing to do. Every kind has an executor (agent/runs.ts), or it does not compile. */
export type Step =
  | {
      readonly kind: 'report';
      readonly state: TaskState;
      readonly reason?: Reason;
      readonly message?: string;
      readonly exitCode?: number;
    }
  | { readonly kind: 'terminate' }
  | { readonly kind: 'kill' }
  /** Its time is up: from now on it is killed, without grace (Mesos: max_completion_time). */
  | { readonly kind: 'timeOut' }
  | { readonly kind: 'wait'; readonly untilMs: number }
  | { readonly kind: 'restart' }
  /** What the main process left behind of its group. */
  | { readonly kind: 'sweep' };

export interface Plan {
  readonly steps: readonly Step[];
  /** When to plan again, if nothing happens before. */
  readonly wakeMs: number | undefined;
}

const NOTHING: Plan = { steps: [], wakeMs: undefined };

/** What to do about one run now. Values in, values out. */
export function plan(facts: RunFacts, nowMs: number): Plan {
  switch (facts.actual.kind) {
    case 'launched':
      return facts.kill === undefined ? NOTHING : stopping(facts, nowMs);
    case 'running':
      return running(facts, nowMs);
    case 'exited':
      return ended(facts, facts.actual.code, nowMs);
    case 'vanished':
      return vanished(facts, nowMs);
    case 'unstarted': {
      const { reason, message } = facts.actual;
      const wasKilled = facts.kill !== undefined;
      // A service that has run here waits for the machine to recover; one that never began is placed elsewhere.
      if (!wasKilled && facts.restartPolicy !== 'never' && facts.restart > 0)
        return again(facts, `not started: ${message}`, nowMs);
      return {
        steps: [
          wasKilled
            ? { kind: 'report', state: 'TASK_KILLED', reason: 'KILLED_DURING_LAUNCH', message }
            : { kind: 'report', state: 'TASK_DROPPED', reason, message },
        ],
        wakeMs: undefined,
      };
    }
    case 'waiting':
      if (facts.kill !== undefined) return { steps: [killed(facts)], wakeMs: undefined };
      return facts.actual.untilMs <= nowMs
        ? { steps: [{ kind: 'restart' }], wakeMs: undefined }
        : { steps: [], wakeMs: facts.actual.untilMs };
  }
}

function running(facts: RunFacts, nowMs: number): Plan {
  const steps: Step[] = [];
  if (facts.reported !== 'TASK_RUNNING' && facts.reported !== 'TASK_KILLING')
    steps.push({ kind: 'report', state: 'TASK_RUNNING' });
  const deadline =
    facts.startedMs === undefined || facts.maxCompletionMs === undefined
      ? undefined
      : facts.startedMs + facts.maxCompletionMs;
  if (facts.kill === undefined && deadline !== undefined) {
    if (deadline > nowMs) return { steps, wakeMs: deadline };
    steps.push({ kind: 'timeOut' });
    return { steps, wakeMs: nowMs };
  }
  if (facts.kill === undefined) return { steps, wakeMs: undefined };
  const stop = stopping(facts, nowMs);
  return { steps: [...steps, ...stop.steps], wakeMs: stop.wakeMs };
}

/** SIGTERM, the grace period, SIGKILL; a later kill can only shorten the grace. */
function stopping({ kill }: RunFacts, nowMs: number): Plan {
  if (kill === undefined || kill.killed) return NOTHING;
  const deadline = kill.sinceMs + kill.graceMs;
  if (deadline <= nowMs) return { steps: [{ kind: 'kill' }], wakeMs: undefined };
  return { steps: kill.terminated ? [] : [{ kind: 'terminate' }], wakeMs: deadline };
}

function ended(facts: RunFacts, code: number, nowMs: number): Plan {
  const done = (report: Step): Plan => ({ steps: [{ kind: 'sweep' }, ...seen(facts), report], wakeMs: undefined });
  if (facts.timeUp) {
    return done({
      kind: 'report',
      state: 'TASK_FAILED',
      reason: 'MAX_COMPLETION_TIME_REACHED',
      message: 'it ran longer than its time',
      exitCode: code,
    });
  }
  if (facts.kill !== undefined) return done({ ...killed(facts), exitCode: code });
  if (facts.restartPolicy === 'always' || (facts.restartPolicy === 'on-failure' && code !== 0)) {
    const next = again(facts, `exited with ${code}`, nowMs, code);
    return { ...next, steps: [{ kind: 'sweep' }, ...seen(facts), ...next.steps] };
  }
  if (code === 0) return done({ kind: 'report', state: 'TASK_FINISHED', exitCode: 0 });
  const reason = code === 127 || code === 126 ? 'COMMAND_NOT_FOUND' : 'COMMAND_FAILED';
  return done({ kind: 'report', state: 'TASK_FAILED', reason, message: words(code), exitCode: code });
}

function killed({ kill }: RunFacts): Extract<Step, { kind: 'report' }> {
  return { kind: 'report', state: 'TASK_KILLED', ...(kill?.because ?? { reason: 'KILLED_BY_REQUEST' }) };
}

/** Another start, after a pause. */
function again(facts: RunFacts, why: string, nowMs: number, exitCode?: number): Plan {
  const pause = backOffMs(facts.quickEnds);
  const message = `${why}; restart ${facts.restart + 1} in ${pause / 1000} s`;
  return {
    steps: [
      { kind: 'report', state: 'TASK_STARTING', message, ...(exitCode === undefined ? {} : { exitCode }) },
      { kind: 'wait', untilMs: nowMs + pause },
    ],
    wakeMs: nowMs + pause,
  };
}

/** Its beginning was missed: it is told all the same, in order. */
function seen({ reported }: RunFacts): Step[] {
  return reported === undefined || reported === 'TASK_STARTING' ? [{ kind: 'report', state: 'TASK_RUNNING' }] : [];
}

function words(code: number): string {
  if (code === 127) return 'there is no such program';
  if (code === 126) return 'the program cannot be executed';
  return code > 128 ? `exited with ${code}: signal ${code - 128}, or its own code` : `exited with ${code}`;
}

/** With restart policy `never` a reboot ends the attempt; otherwise it starts again from local state, at once. */
function vanished(facts: RunFacts, nowMs: number): Plan {
  if (facts.kill !== undefined) return { steps: [killed(facts)], wakeMs: undefined };
  if (facts.restartPolicy !== 'never') {
    const message = facts.rebooted
      ? 'the machine was rebooted; starting again'
      : 'its process vanished; starting again';
    return {
      steps: [
        { kind: 'report', state: 'TASK_STARTING', message },
        { kind: 'wait', untilMs: nowMs },
      ],
      wakeMs: nowMs,
    };
  }
  const [reason, message] = facts.rebooted
    ? (['AGENT_REBOOTED', 'the machine was rebooted'] as const)
    : (['LAUNCHER_LOST', 'its process and its supervisor vanished: the exit status is not known'] as const);
  return { steps: [{ kind: 'report', state: 'TASK_FAILED', reason, message }], wakeMs: undefined };
}
