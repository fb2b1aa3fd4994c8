import { TIMES } from '../../protocol/limits.ts';
import type { Reason, RestartPolicy, TaskState } from '../../protocol/task.ts';
import type { CheckStatus } from '../../protocol/task-checks.ts';
import { backOffMs } from './restart-back-off.ts';

/** What has become of a run's newest start, as far as is known. */
export type Actual =
  /** Handed to the launcher: not seen to run yet. */
  | { readonly kind: 'launched' }
  | { readonly kind: 'running' }
  | {
      readonly kind: 'exited';
      readonly code: number;
      /** The kernel ended a process of it: its own limit was reached, or the machine's memory was. */
      readonly outOfMemory?: 'limit' | 'machine' | undefined;
      /** What the launcher says of its end, for people. */
      readonly message?: string | undefined;
    }
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

/** A start that is being ended: since when, and what was done about it. */
export interface Stop {
  readonly sinceMs: number;
  /** From `sinceMs` to SIGKILL. */
  readonly graceMs: number;
  readonly terminated: boolean;
  /** When SIGKILL last reached it. */
  readonly killedMs: number | undefined;
}

/** What a check found, or how far it is, to be told. */
export interface News {
  readonly reason?: Reason;
  readonly message?: string;
  readonly healthy?: boolean;
  readonly checkStatus?: CheckStatus;
}

/** One run as the plan sees it. Times are monotonic milliseconds. */
export interface RunFacts {
  readonly restartPolicy: RestartPolicy;
  readonly restart: number;
  readonly actual: Actual;
  /** The state last reported. */
  readonly reported: TaskState | undefined;
  readonly reportedReason: Reason | undefined;
  /** Since when the launcher has it; undefined until it was sent. */
  readonly launchedMs: number | undefined;
  /** When this start began to run; for the first, also the beginning of its completion time. */
  readonly startedMs: number | undefined;
  readonly maxCompletionMs: number | undefined;
  /** Somebody asked for its end for good; with `tell` the framework hears of it at once. */
  readonly kill: (Stop & { readonly tell: boolean; readonly because?: Because | undefined }) | undefined;
  /** Its health check gave this start up. */
  readonly unhealthy: (Stop & { readonly message: string }) | undefined;
  /** What checks found and nobody has told yet. */
  readonly news: readonly News[];
  /** Its completion time ran out. */
  readonly timeUp: boolean;
  readonly rebooted: boolean;
  /** What of its limits this machine does not enforce. */
  readonly caveat: string | undefined;
  /** The most memory that it had, in MB; undefined where that is not counted, or it has not ended. */
  readonly memPeakMb: number | undefined;
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
      readonly healthy?: boolean;
      readonly checkStatus?: CheckStatus;
    }
  /** The launcher has left it lying: it is claimed back, and does not start any more. */
  | { readonly kind: 'takeBack' }
  | { readonly kind: 'terminate' }
  | { readonly kind: 'kill' }
  /** Its time is up: from now on it is killed, without grace (Mesos: max_completion_time). */
  | { readonly kind: 'timeOut' }
  | { readonly kind: 'wait'; readonly untilMs: number }
  | { readonly kind: 'restart' }
  /** What the main process left behind, and what the kernel keeps for the task. */
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
      return facts.kill === undefined ? starting(facts, nowMs) : stopping(facts, facts.kill, nowMs);
    case 'running':
      return running(facts, nowMs);
    case 'exited':
      return ended(facts, facts.actual, nowMs);
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
            : {
                kind: 'report',
                state: stateOfUnstarted(reason),
                reason,
                message,
              },
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

function starting({ launchedMs }: RunFacts, nowMs: number): Plan {
  if (launchedMs === undefined) return NOTHING;
  const deadline = launchedMs + TIMES.startMs;
  return deadline > nowMs ? { steps: [], wakeMs: deadline } : { steps: [{ kind: 'takeBack' }], wakeMs: undefined };
}

function running(facts: RunFacts, nowMs: number): Plan {
  const steps: Step[] = [];
  if (facts.reported !== 'TASK_RUNNING' && facts.reported !== 'TASK_KILLING') steps.push(began(facts));
  if (facts.kill === undefined)
    for (const news of facts.news) steps.push({ kind: 'report', state: 'TASK_RUNNING', ...news });
  const deadline = facts.kill === undefined ? completionOf(facts) : undefined;
  if (deadline !== undefined && deadline <= nowMs) return { steps: [...steps, { kind: 'timeOut' }], wakeMs: nowMs };
  const stop = facts.kill ?? facts.unhealthy;
  if (stop === undefined) return { steps, wakeMs: deadline };
  if (facts.kill?.tell === true && !facts.timeUp && facts.reported !== 'TASK_KILLING')
    steps.push({ ...killed(facts), state: 'TASK_KILLING' });
  const next = stopping(facts, stop, nowMs);
  return { steps: [...steps, ...next.steps], wakeMs: earlier(next.wakeMs, deadline) };
}

function completionOf({ startedMs, maxCompletionMs }: RunFacts): number | undefined {
  return startedMs === undefined || maxCompletionMs === undefined ? undefined : startedMs + maxCompletionMs;
}

function earlier(one: number | undefined, other: number | undefined): number | undefined {
  return one === undefined || other === undefined ? (one ?? other) : Math.min(one, other);
}

/** SIGTERM, the grace period, SIGKILL; and what even that does not end is said to be so, for it holds what it holds. */
function stopping({ reported, reportedReason }: RunFacts, stop: Stop, nowMs: number): Plan {
  const deadline = stop.sinceMs + stop.graceMs;
  if (stop.killedMs === undefined) {
    if (deadline <= nowMs) return { steps: [{ kind: 'kill' }], wakeMs: undefined };
    return { steps: stop.terminated ? [] : [{ kind: 'terminate' }], wakeMs: deadline };
  }
  const patienceMs = stop.killedMs + TIMES.unkillableMs;
  if (patienceMs > nowMs) return { steps: [], wakeMs: patienceMs };
  const told: Step = {
    kind: 'report',
    state: reported === 'TASK_KILLING' ? 'TASK_KILLING' : 'TASK_RUNNING',
    reason: 'UNKILLABLE',
    message: 'SIGKILL does not end it: the kernel holds it, in a disk or a driver perhaps',
  };
  return { steps: reportedReason === 'UNKILLABLE' ? [{ kind: 'kill' }] : [told, { kind: 'kill' }], wakeMs: undefined };
}

function ended(
  facts: RunFacts,
  { code, outOfMemory, message }: Extract<Actual, { kind: 'exited' }>,
  nowMs: number,
): Plan {
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
  const { unhealthy } = facts;
  const failed = unhealthy !== undefined || code !== 0;
  if (facts.restartPolicy === 'always' || (facts.restartPolicy === 'on-failure' && failed)) {
    const found = outOfMemory === undefined ? `exited with ${code}` : memoryWords(facts, outOfMemory);
    const next = again(facts, unhealthy?.message ?? message ?? found, nowMs, code);
    return { ...next, steps: [{ kind: 'sweep' }, ...seen(facts), ...next.steps] };
  }
  if (unhealthy !== undefined) {
    const because = { reason: 'HEALTH_CHECK_FAILED', message: unhealthy.message } as const;
    return done({ kind: 'report', state: 'TASK_FAILED', ...because, exitCode: code });
  }
  const said = message === undefined ? {} : { message };
  if (code === 0) return done({ kind: 'report', state: 'TASK_FINISHED', ...said, exitCode: 0 });
  if (outOfMemory !== undefined) {
    return done({
      kind: 'report',
      state: 'TASK_FAILED',
      reason: 'CONTAINER_LIMITATION_MEMORY',
      message: memoryWords(facts, outOfMemory),
      exitCode: code,
    });
  }
  const reason = code === 127 || code === 126 ? 'COMMAND_NOT_FOUND' : 'COMMAND_FAILED';
  return done({ kind: 'report', state: 'TASK_FAILED', reason, message: message ?? words(code), exitCode: code });
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
function seen(facts: RunFacts): Step[] {
  return facts.reported === undefined || facts.reported === 'TASK_STARTING' ? [began(facts)] : [];
}

function began({ caveat }: RunFacts): Step {
  return { kind: 'report', state: 'TASK_RUNNING', ...(caveat === undefined ? {} : { message: caveat }) };
}

function memoryWords({ memPeakMb }: RunFacts, whose: 'limit' | 'machine'): string {
  const most = memPeakMb === undefined ? '' : `; it had ${memPeakMb} MB at most`;
  return whose === 'limit'
    ? `it took more memory than its limit, and the kernel ended it${most}`
    : `the machine had no memory left, and the kernel ended it${most}`;
}

function words(code: number): string {
  if (code === 127) return 'there is no such program';
  if (code === 126) return 'the program cannot be executed';
  return code > 128 ? `exited with ${code}: signal ${code - 128}, or its own code` : `exited with ${code}`;
}

/** With restart policy `never` a reboot ends the attempt; otherwise it starts again from local state, at once. */
function vanished(facts: RunFacts, nowMs: number): Plan {
  // Its main process and its supervisor are gone: others of it may not be.
  const sweep: Step = { kind: 'sweep' };
  if (facts.kill !== undefined) return { steps: [sweep, killed(facts)], wakeMs: undefined };
  if (facts.restartPolicy !== 'never') {
    const message = facts.rebooted
      ? 'the machine was rebooted; starting again'
      : 'its process vanished; starting again';
    return {
      steps: [sweep, { kind: 'report', state: 'TASK_STARTING', message }, { kind: 'wait', untilMs: nowMs }],
      wakeMs: nowMs,
    };
  }
  const [reason, message] = facts.rebooted
    ? (['AGENT_REBOOTED', 'the machine was rebooted'] as const)
    : (['LAUNCHER_LOST', 'the exit status is not known: process and supervisor vanished'] as const);
  return { steps: [sweep, { kind: 'report', state: 'TASK_FAILED', reason, message }], wakeMs: undefined };
}

/** What becomes of a task that was not started: its own failure, or nobody's, and tried elsewhere. */
export function stateOfUnstarted(reason: Reason): 'TASK_FAILED' | 'TASK_DROPPED' {
  return reason === 'ARTIFACT_FETCH_FAILED' ? 'TASK_FAILED' : 'TASK_DROPPED';
}
