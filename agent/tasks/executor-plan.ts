import { isTerminal, type Reason, type TaskState, transition } from '../../protocol/task.ts';
import type { Actual, Because } from './plan.ts';

/** Why an executor is ended. */
export type Ending =
  /** It did not subscribe after its start, or not again after its connection or its agent was lost. */
  | 'registration'
  | 'reregistration'
  /** It did not end a task that was killed. */
  | 'deaf'
  /** Its framework, a master or the agent's own end asked for it. */
  | 'asked';

/** A task that an executor is to run, or runs. */
export interface ExecutorTask {
  readonly run: string;
  /** Of one launch: told together. */
  readonly group: string | undefined;
  /** The state last reported. */
  readonly reported: TaskState | undefined;
  /** The executor has it, as far as is known. */
  readonly delivered: boolean;
  /** What it needs beside itself, while the executor has not got it: to be fetched, on its way, or there (or nothing at all). */
  readonly files: 'wanted' | 'coming' | 'there';
  readonly startedMs: number | undefined;
  readonly maxCompletionMs: number | undefined;
  readonly timeUp: boolean;
  /** `told`: what the executor has heard of it, on this connection. */
  readonly kill:
    | {
        readonly sinceMs: number;
        readonly graceMs: number;
        readonly told: 'nothing' | 'kill' | 'now';
        readonly because?: Because | undefined;
      }
    | undefined;
}

/** One executor as the plan sees it. Times are monotonic milliseconds. */
export interface ExecutorFacts {
  readonly actual: Exclude<Actual, { kind: 'waiting' }>;
  readonly rebooted: boolean;
  readonly subscribed: boolean;
  /** By when it must (again). */
  readonly subscribeByMs: number;
  /** It had subscribed before, to this agent or the one before. */
  readonly again: boolean;
  readonly shutdownGraceMs: number;
  readonly shutdown:
    | {
        readonly why: Ending;
        readonly sinceMs: number;
        readonly told: boolean;
        readonly terminated: boolean;
        readonly killed: boolean;
      }
    | undefined;
  readonly tasks: readonly ExecutorTask[];
}

/** One thing to do. Every kind has an executor (agent/executors/executors.ts), or it does not compile. */
export type ExecutorStep =
  /** Hands tasks over: one, or all of a group. */
  | { readonly kind: 'launch'; readonly runs: readonly string[]; readonly group: string | undefined }
  /** Fetches what the task needs; then it is planned again. */
  | { readonly kind: 'fetch'; readonly run: string }
  | { readonly kind: 'killTask'; readonly run: string; readonly graceMs: number; readonly told: 'kill' | 'now' }
  | { readonly kind: 'timeOut'; readonly run: string }
  | {
      readonly kind: 'report';
      readonly run: string;
      readonly state: TaskState;
      readonly reason: Reason;
      readonly message?: string;
    }
  /** From now on it is to end. */
  | { readonly kind: 'shutDown'; readonly why: Ending }
  | { readonly kind: 'tellShutdown'; readonly graceMs: number }
  | { readonly kind: 'terminate' }
  | { readonly kind: 'kill' }
  /** It has ended, and its tasks with it. */
  | { readonly kind: 'end' };

export interface ExecutorPlan {
  readonly steps: readonly ExecutorStep[];
  /** When to plan again, if nothing happens before. */
  readonly wakeMs: number | undefined;
}

/** What to do about one executor and its tasks now. Values in, values out. */
export function executorPlan(facts: ExecutorFacts, nowMs: number): ExecutorPlan {
  const { kind } = facts.actual;
  if (kind !== 'launched' && kind !== 'running')
    return { steps: [...facts.tasks.map((task) => ended(facts, task)), { kind: 'end' }], wakeMs: undefined };
  if (facts.shutdown !== undefined) return shuttingDown(facts, facts.shutdown, nowMs);
  if (!facts.subscribed && facts.subscribeByMs <= nowMs)
    return { steps: [{ kind: 'shutDown', why: facts.again ? 'reregistration' : 'registration' }], wakeMs: nowMs };
  const steps: ExecutorStep[] = [];
  let wakeMs = facts.subscribed ? Number.POSITIVE_INFINITY : facts.subscribeByMs;
  const fresh: ExecutorTask[] = [];
  for (const task of facts.tasks) {
    if (task.kill === undefined && !task.delivered) {
      fresh.push(task);
      if (task.files === 'wanted') steps.push({ kind: 'fetch', run: task.run });
    } else if (task.kill !== undefined && !task.delivered) steps.push(withdrawn(task, task.kill.because));
    else if (task.kill !== undefined) {
      const wanted = killing(facts, task, task.kill, nowMs);
      steps.push(...wanted.steps);
      wakeMs = Math.min(wakeMs, wanted.wakeMs ?? wakeMs);
    } else if (task.startedMs !== undefined && task.maxCompletionMs !== undefined) {
      const deadline = task.startedMs + task.maxCompletionMs;
      if (deadline <= nowMs) steps.push({ kind: 'timeOut', run: task.run });
      wakeMs = Math.min(wakeMs, Math.max(deadline, nowMs));
    }
  }
  if (facts.subscribed) steps.unshift(...launches(fresh));
  return { steps, wakeMs: Number.isFinite(wakeMs) ? wakeMs : undefined };
}

/** Those that have all they need; of a group, once each of it has. */
function* launches(fresh: readonly ExecutorTask[]): Generator<ExecutorStep> {
  const groups = new Map<string, ExecutorTask[]>();
  for (const task of fresh) {
    const { run, group, files } = task;
    if (group !== undefined) groups.set(group, [...(groups.get(group) ?? []), task]);
    else if (files === 'there') yield { kind: 'launch', runs: [run], group };
  }
  for (const [group, tasks] of groups)
    if (tasks.every(({ files }) => files === 'there'))
      yield { kind: 'launch', runs: tasks.map(({ run }) => run), group };
}

/** KILL; once more, without grace, when that is over; and when that does not help either, the end of the executor. */
function killing(
  facts: ExecutorFacts,
  { run }: ExecutorTask,
  { sinceMs, graceMs, told }: NonNullable<ExecutorTask['kill']>,
  nowMs: number,
): ExecutorPlan {
  const deadline = sinceMs + graceMs;
  const last = deadline + facts.shutdownGraceMs;
  if (last <= nowMs) return { steps: [{ kind: 'shutDown', why: 'deaf' }], wakeMs: nowMs };
  if (!facts.subscribed) return { steps: [], wakeMs: last };
  if (deadline <= nowMs) {
    const steps: ExecutorStep[] = told === 'now' ? [] : [{ kind: 'killTask', run, graceMs: 0, told: 'now' }];
    return { steps, wakeMs: last };
  }
  const left = Math.ceil(deadline - nowMs);
  return {
    steps: told === 'nothing' ? [{ kind: 'killTask', run, graceMs: left, told: 'kill' }] : [],
    wakeMs: deadline,
  };
}

/** SHUTDOWN where it hears, SIGTERM half way (at once where it does not), SIGKILL at the end. */
function shuttingDown(
  facts: ExecutorFacts,
  { sinceMs, told, terminated, killed }: NonNullable<ExecutorFacts['shutdown']>,
  nowMs: number,
): ExecutorPlan {
  const deadline = sinceMs + facts.shutdownGraceMs;
  const half = sinceMs + facts.shutdownGraceMs / 2;
  if (killed) return { steps: [], wakeMs: undefined };
  if (deadline <= nowMs) return { steps: [{ kind: 'kill' }], wakeMs: undefined };
  const steps: ExecutorStep[] = [];
  if (facts.subscribed && !told) steps.push({ kind: 'tellShutdown', graceMs: Math.ceil(deadline - nowMs) });
  if (terminated) return { steps, wakeMs: deadline };
  // One that was told may have closed its connection because it ends.
  if ((facts.subscribed || told) && half > nowMs) return { steps, wakeMs: half };
  return { steps: [...steps, { kind: 'terminate' }], wakeMs: deadline };
}

function withdrawn({ run }: ExecutorTask, because: Because | undefined): ExecutorStep {
  const why = because ?? { reason: 'KILLED_DURING_LAUNCH', message: 'killed before its executor had it' };
  return { kind: 'report', run, state: 'TASK_KILLED', ...why };
}

/** What became of a task whose executor has ended without a word about it. */
function ended({ actual, shutdown, rebooted }: ExecutorFacts, task: ExecutorTask): ExecutorStep {
  const failed = (reason: Reason, message: string): ExecutorStep => ({
    kind: 'report',
    run: task.run,
    state: 'TASK_FAILED',
    reason,
    message,
  });
  if (task.kill !== undefined && !task.delivered) return withdrawn(task, task.kill.because);
  if (task.timeUp) return failed('MAX_COMPLETION_TIME_REACHED', 'it ran longer than its time');
  if (task.kill !== undefined)
    return { kind: 'report', run: task.run, state: 'TASK_KILLED', ...(task.kill.because ?? BY_REQUEST) };
  if (actual.kind === 'unstarted')
    return {
      kind: 'report',
      run: task.run,
      // Of an agent before this one there may be a report; whatever ran then has ended.
      state: task.reported === undefined ? 'TASK_DROPPED' : 'TASK_FAILED',
      reason: actual.reason,
      message: actual.message,
    };
  if (rebooted) return failed('AGENT_REBOOTED', 'the machine was rebooted');
  switch (shutdown?.why) {
    case 'registration':
      return failed('EXECUTOR_REGISTRATION_TIMEOUT', 'its executor did not subscribe in time');
    case 'reregistration':
      return failed('EXECUTOR_REREGISTRATION_TIMEOUT', 'its executor did not subscribe again in time');
    case 'deaf':
      return failed('EXECUTOR_TERMINATED', 'its executor was ended, for it did not end another task that was killed');
    case 'asked':
      if (!task.delivered)
        return {
          kind: 'report',
          run: task.run,
          state: 'TASK_DROPPED',
          reason: 'EXECUTOR_TERMINATED',
          message: 'its executor was being shut down',
        };
      return failed('EXECUTOR_TERMINATED', 'its executor was shut down');
    case undefined:
      if (actual.kind === 'exited' && actual.outOfMemory !== undefined)
        return failed(
          'CONTAINER_LIMITATION_MEMORY',
          actual.outOfMemory === 'limit'
            ? 'its executor was ended by the kernel, for its memory limit'
            : 'its executor was ended by the kernel, for the machine had no memory left',
        );
      return failed(
        'EXECUTOR_TERMINATED',
        actual.kind === 'exited' ? `its executor ended with ${actual.code}` : 'its executor vanished',
      );
  }
}

const BY_REQUEST: { readonly reason: Reason } = { reason: 'KILLED_BY_REQUEST' };

/** What an executor says of a task, as it is reported; `unlikely` where the task cannot come into that state any more. */
export function heardOf(
  task: Pick<ExecutorTask, 'reported' | 'kill' | 'timeUp'>,
  { state, reason, message }: { state: TaskState; reason?: Reason | undefined; message?: string | undefined },
): { state: TaskState; reason?: Reason; message?: string } | 'unlikely' {
  const from = task.reported ?? 'TASK_STAGING';
  if (isTerminal(from) || transition(from, state) === 'refused') return 'unlikely';
  const words = { ...(reason === undefined ? {} : { reason }), ...(message === undefined ? {} : { message }) };
  // As with a command: what ends before it is killed, or in spite of it, has its own end.
  if (state !== 'TASK_KILLED') return { state, ...words };
  if (task.timeUp)
    return { state: 'TASK_FAILED', reason: 'MAX_COMPLETION_TIME_REACHED', message: 'it ran longer than its time' };
  return { state, ...(task.kill?.because ?? (task.kill === undefined ? {} : BY_REQUEST)), ...words };
}
