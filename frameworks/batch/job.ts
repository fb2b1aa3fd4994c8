import { assert } from '../../protocol/faults.ts';
import type { JobSpec } from '../../protocol/job.ts';
import type { StatusEvent } from '../../protocol/scheduler.ts';
import { isTerminal, NOT_THE_TASKS_FAULT, type Reason, type TaskState } from '../../protocol/task.ts';
import { keepsOf } from './comeback.ts';
import { IndexRanges } from './index-ranges.ts';

/** New attempts that are not the task's own failures, before the task is given up (docs/protocol.md, Retries). */
export const MOST_REQUEUES = 3;
const FIRST_BACK_OFF_MS = 1_000;
const LAST_BACK_OFF_MS = 60_000;

/** `waiting`: wants a place. `placed`: launched, not heard of its end. `finished` and `failed`: nothing follows. */
export type Phase = 'waiting' | 'placed' | 'finished' | 'failed';

/** One task that differs from "waiting for its first place" and from "finished at once, details forgotten". */
export interface Task {
  phase: Phase;
  /** The newest; while waiting, the one the next placement gets. Never goes back. */
  attempt: number;
  /** The one that goes on where two were in reach: an older one, or the newest. Undefined: that was not to be decided. */
  kept: number | undefined;
  /** Of the attempt that was out of reach when the newest was minted; memory only. */
  away: { restart: number; started: number | undefined } | undefined;
  /** An older attempt that is in reach again, to end once the newest runs; memory only. */
  back: number | undefined;
  /** Own failures so far. */
  retries: number;
  /** Attempts lost through no fault of the task. */
  requeues: number;
  /** Launches that came to nothing, on an offer that was gone or an agent without room on its disk; memory only. */
  refusals: number;
  /** Somebody asked to kill it: its next end is the last. */
  killed: boolean;
  restart: number;
  state: TaskState;
  reason: Reason | undefined;
  message: string | undefined;
  exitCode: number | undefined;
  output: { stdout: number; stderr: number } | undefined;
  /** What its health check said last; memory only. */
  healthy: boolean | undefined;
  /** The agent's name. */
  agent: string | undefined;
  created: number | undefined;
  started: number | undefined;
  finished: number | undefined;
}

/**
 * A job array is one record and its exceptions. Indices from `fresh` on have never been placed; those in `done`
 * finished at their first attempt and their details are forgotten; every other is in `tasks`.
 */
export interface Job {
  readonly spec: JobSpec;
  readonly owner: string;
  readonly created: number;
  fresh: number;
  readonly done: IndexRanges;
  readonly tasks: Map<number, Task>;
  readonly counts: Record<Phase, number>;
  /** Of those in phase `failed`: ended because somebody asked. */
  killed: number;
  /** True once a task had a place. */
  begun: boolean;
  cancelled: boolean;
  finished: number | undefined;
}

/** What a change asks of the shell. */
export type Effect =
  /** The task waits for a place, from now on or after `delayMs`. */
  | { readonly kind: 'waits'; readonly index: number; readonly delayMs: number }
  /** It runs although nobody wants it: that attempt, or without a number all there are. */
  | { readonly kind: 'kill'; readonly index: number; readonly attempt?: number }
  /** Which of two attempts goes on is decided: to be stored, and nothing to be done. */
  | { readonly kind: 'keeps'; readonly index: number };

export function createJob(spec: JobSpec, owner: string, created: number): Job {
  return {
    spec,
    owner,
    created,
    fresh: 0,
    done: new IndexRanges(),
    tasks: new Map(),
    counts: { waiting: spec.count, placed: 0, finished: 0, failed: 0 },
    killed: 0,
    begun: false,
    cancelled: false,
    finished: undefined,
  };
}

export function newTask(attempt = 0): Task {
  return {
    phase: 'waiting',
    attempt,
    kept: undefined,
    away: undefined,
    back: undefined,
    retries: 0,
    requeues: 0,
    refusals: 0,
    killed: false,
    restart: 0,
    state: 'TASK_STAGING',
    reason: undefined,
    message: undefined,
    exitCode: undefined,
    output: undefined,
    healthy: undefined,
    agent: undefined,
    created: undefined,
    started: undefined,
    finished: undefined,
  };
}

/** Where a task is, without making a record of it. */
export function phaseOf(job: Job, index: number): Phase {
  const task = job.tasks.get(index);
  if (task !== undefined) return task.phase;
  if (job.done.has(index)) return 'finished';
  return job.cancelled ? 'failed' : 'waiting';
}

/** Attempts that a generation of the cluster has room for (see {@link firstAttemptOf}). */
const ATTEMPTS_A_GENERATION = 1_000;

/**
 * The lowest attempt that may be minted in a generation of the cluster. A restored backup has forgotten what was placed
 * after it was taken, and any of that may still run on an agent that is away: its numbers must not be given again.
 */
export function firstAttemptOf(generation: number): number {
  return (generation - 1) * ATTEMPTS_A_GENERATION;
}

/** A task is launched, under attempt `floor` or a later one: the task with that attempt. It must be waiting. */
export function place(job: Job, index: number, agent: string, now: number, floor = 0): Task {
  const task = taskAt(job, index);
  task.attempt = Math.max(task.attempt, floor);
  assert(
    task.phase === 'waiting' && !job.cancelled,
    `task ${job.spec.job}.${index} is placed while it waits for no place`,
  );
  move(job, task, 'placed');
  Object.assign(task, { state: 'TASK_STAGING', agent, created: now, started: undefined, finished: undefined });
  Object.assign(task, { reason: undefined, message: undefined, exitCode: undefined, output: undefined });
  task.healthy = undefined;
  return task;
}

/** Takes in a status of attempt `status.attempt`. Repeats and old news change nothing and return undefined. */
export function applyStatus(job: Job, index: number, status: StatusEvent, now: number): readonly Effect[] | undefined {
  if (index >= job.spec.count) return undefined;
  const known = job.tasks.get(index);
  const phase = phaseOf(job, index);
  if (phase === 'finished' || phase === 'failed') {
    // Also an older attempt, whose agent was unreachable while a newer one took its place.
    return isLive(status) ? [{ kind: 'kill', index }] : undefined;
  }
  const current = known?.kept ?? known?.attempt;
  // The master never heard of an attempt that nobody believes in: nothing to take over.
  if (status.state === 'TASK_UNKNOWN' && (phase !== 'placed' || status.attempt !== current)) return undefined;
  const other = known !== undefined && status.attempt !== current && status.attempt <= known.attempt;
  // Another attempt than the one that is believed in may still be the first to finish.
  if (other && status.state !== 'TASK_FINISHED') return ofOther(job, index, known, status, now);
  const task = known ?? taskAt(job, index);
  const superseded = phase === 'placed' && other;
  if (phase === 'waiting' || status.attempt > task.attempt) adopt(job, task, status);
  else if (!superseded && isLive(status) && isRepeated(task, status)) return unwanted(job, index, task);
  describe(task, status, now);
  if (isLive(status)) return running(job, index, task, status);
  const effects = end(job, index, task, status, now);
  // Of several attempts the first to end for good wins: what else runs under this name, or comes back, is to end.
  const others = superseded || (job.spec.disconnect?.replace === true && task.attempt > 0);
  return others && isOver(task) ? [...effects, { kind: 'kill', index }] : effects;
}

/** News of an attempt beside the one that goes on: it was given up, or is back after all. */
function ofOther(job: Job, index: number, task: Task, status: StatusEvent, now: number): readonly Effect[] | undefined {
  const { state, attempt, restart } = status;
  if (!isLive(status) || state === 'TASK_KILLING' || job.cancelled || task.killed) return undefined;
  if (task.kept !== undefined) return [{ kind: 'kill', index, attempt }];
  if (state === 'TASK_UNREACHABLE') return undefined;
  const running = task.state === 'TASK_RUNNING' ? 'running' : 'starting';
  const restarted = task.away !== undefined && restart > task.away.restart;
  switch (keepsOf(job.spec, task.phase === 'waiting' ? 'waiting' : running, restarted)) {
    case 'both':
      task.back = attempt;
      return undefined;
    case 'replacement':
      return keepNewest(index, task, attempt);
    case 'original':
      return keep(job, index, task, status, now);
  }
}

/** The older attempt goes on, and the newest ends where it has a place; its number is never minted again. */
function keep(job: Job, index: number, task: Task, status: StatusEvent, now: number): readonly Effect[] {
  const hadPlace = task.phase === 'placed';
  task.kept = status.attempt;
  task.started = task.away?.started;
  task.back = undefined;
  if (!hadPlace) move(job, task, 'placed');
  describe(task, status, now);
  const keeps = { kind: 'keeps', index } as const;
  return hadPlace ? [keeps, { kind: 'kill', index, attempt: task.attempt }] : [keeps];
}

/** Remembered too: a leader after this one, which knows less of the two, would else end the one that is left. */
function keepNewest(index: number, task: Task, other: number): readonly Effect[] {
  task.kept = task.attempt;
  task.back = undefined;
  return [
    { kind: 'keeps', index },
    { kind: 'kill', index, attempt: other },
  ];
}

function isOver({ phase }: Task): boolean {
  return phase === 'finished' || phase === 'failed';
}

/** Nothing that anybody is shown differs. Of a task that was read back it is not known where it runs. */
function isRepeated(task: Task, { state, restart, healthy, message }: StatusEvent): boolean {
  const same = state === task.state && restart === task.restart && healthy === task.healthy;
  // How far a start is that fetches something is news.
  return same && task.agent !== undefined && (state !== 'TASK_STARTING' || message === task.message);
}

function isLive(status: StatusEvent): boolean {
  return !isTerminal(status.state) && status.state !== 'TASK_UNKNOWN';
}

/** An attempt that this process did not launch, or no longer believed in. */
function adopt(job: Job, task: Task, status: StatusEvent): void {
  task.attempt = Math.max(task.attempt, status.attempt);
  task.kept = undefined;
  if (task.phase === 'waiting') move(job, task, 'placed');
}

function describe(task: Task, status: StatusEvent, now: number): void {
  task.state = status.state;
  task.restart = status.restart;
  task.reason = status.reason;
  task.message = status.message;
  task.exitCode = status.exitCode;
  task.output = status.output ?? task.output;
  task.healthy = status.healthy;
  task.agent = status.agentName ?? task.agent;
  if (status.state === 'TASK_RUNNING') task.started ??= status.receivedMs ?? now;
  if (isTerminal(status.state)) task.finished = status.receivedMs ?? now;
}

function running(job: Job, index: number, task: Task, status: StatusEvent): readonly Effect[] {
  if (status.state === 'TASK_UNREACHABLE' && job.spec.disconnect?.replace === true && !job.cancelled && !task.killed) {
    const { restart, started } = task;
    const effects = again(job, index, task, 0);
    task.away = { restart, started };
    return effects;
  }
  const { back } = task;
  if (
    back !== undefined &&
    keepsOf(job.spec, status.state === 'TASK_RUNNING' ? 'running' : 'starting', false) === 'replacement'
  ) {
    return keepNewest(index, task, back);
  }
  return unwanted(job, index, task) ?? [];
}

/** A kill that got lost on its way: whoever reports is asked again. */
function unwanted(job: Job, index: number, task: Task): readonly Effect[] | undefined {
  return (job.cancelled || task.killed) && task.state !== 'TASK_KILLING' ? [{ kind: 'kill', index }] : undefined;
}

function end(job: Job, index: number, task: Task, status: StatusEvent, now: number): readonly Effect[] {
  const { spec } = job;
  if (status.state === 'TASK_FINISHED') return over(job, task, 'finished', now);
  const wanted = !job.cancelled && !task.killed && status.reason !== 'KILLED_BY_REQUEST';
  if (!wanted || status.state === 'TASK_ERROR') return over(job, task, 'failed', now);
  // A launch on an offer that was gone never began: it costs neither a retry nor a requeue, only a pause.
  if (status.state === 'TASK_DROPPED' && status.reason === 'INVALID_OFFERS') {
    task.refusals++;
    return again(job, index, task, backOff(task.refusals - 1, 100));
  }
  if (isOwnFailure(status)) {
    if (task.retries >= spec.retries) return over(job, task, 'failed', now);
    task.retries++;
    return again(job, index, task, backOff(task.retries - 1, FIRST_BACK_OFF_MS));
  }
  // A disk that is full is no reason to give up: another agent has room, or this one will.
  if (status.reason === 'AGENT_DISK_FULL' && spec.requeue) {
    task.refusals++;
    return again(job, index, task, backOff(task.refusals - 1, FIRST_BACK_OFF_MS));
  }
  if (!spec.requeue || task.requeues >= MOST_REQUEUES) return over(job, task, 'failed', now);
  task.requeues++;
  // Nor would it be any better there at once, where the agent takes no such task.
  const pauses = isOfAgent(status) || status.reason === 'TASK_INVALID';
  return again(job, index, task, pauses ? backOff(task.requeues - 1, FIRST_BACK_OFF_MS) : 0);
}

function isOwnFailure({ state, reason }: StatusEvent): boolean {
  if (state !== 'TASK_FAILED' && state !== 'TASK_KILLED') return false;
  return reason === undefined || !NOT_THE_TASKS_FAULT.has(reason);
}

/** The agent could not start it, and could start no other: it would be no better at it at once. */
export function isOfAgent({ reason }: StatusEvent): boolean {
  return reason === 'AGENT_DISK_FULL' || reason === 'LAUNCH_FAILED';
}

function backOff(times: number, firstMs: number): number {
  return Math.min(LAST_BACK_OFF_MS, firstMs * 2 ** Math.min(times, 16));
}

/** How long a task that waits pauses when it is read back: its pause begins anew, for nobody knows how much of it is over. */
export function pauseOf({ retries }: Task): number {
  return retries === 0 ? 0 : backOff(retries - 1, FIRST_BACK_OFF_MS);
}

function again(job: Job, index: number, task: Task, delayMs: number): readonly Effect[] {
  task.attempt++;
  task.kept = undefined;
  task.restart = 0;
  move(job, task, 'waiting');
  return [{ kind: 'waits', index, delayMs }];
}

function over(job: Job, task: Task, phase: 'finished' | 'failed', now: number): readonly Effect[] {
  move(job, task, phase);
  task.finished ??= now;
  settle(job, now);
  return [];
}

/** Ends the job for its owner: what waits is dropped, what runs is to be killed. */
export function cancel(job: Job, now: number): readonly Effect[] {
  if (job.cancelled || job.finished !== undefined) return [];
  const kills: Effect[] = [];
  for (const [index, task] of job.tasks) {
    if (task.phase === 'placed') kills.push({ kind: 'kill', index });
    else if (task.phase === 'waiting') drop(job, task, now);
  }
  // Indices without a record read as dropped from here on.
  job.cancelled = true;
  dropWaiting(job);
  settle(job, now);
  return kills;
}

/** What waits without a record of its own is counted as killed. */
export function dropWaiting(job: Job): void {
  job.killed += job.counts.waiting;
  job.counts.failed += job.counts.waiting;
  job.counts.waiting = 0;
}

/** Somebody asked for its end, and that ended it. */
export function isKilled({ phase, reason }: Task): boolean {
  return phase === 'failed' && reason === 'KILLED_BY_REQUEST';
}

/** Ends one task for good, whatever its retries. */
export function killTask(job: Job, index: number, now: number): readonly Effect[] {
  if (phaseOf(job, index) === 'placed') {
    taskAt(job, index).killed = true;
    return [{ kind: 'kill', index }];
  }
  if (phaseOf(job, index) !== 'waiting') return [];
  drop(job, taskAt(job, index), now);
  settle(job, now);
  return [];
}

function drop(job: Job, task: Task, now: number): void {
  Object.assign(task, { killed: true, state: 'TASK_KILLED', reason: 'KILLED_BY_REQUEST', finished: now });
  move(job, task, 'failed');
}

/** Forgets the details of a task that finished at its first attempt. */
export function forgetDetails(job: Job, index: number): void {
  const task = job.tasks.get(index);
  if (task === undefined || task.phase !== 'finished' || task.attempt !== 0) return;
  job.tasks.delete(index);
  job.done.add(index);
}

function settle(job: Job, now: number): void {
  if (job.finished === undefined && job.counts.waiting === 0 && job.counts.placed === 0) job.finished = now;
}

function taskAt(job: Job, index: number): Task {
  const known = job.tasks.get(index);
  if (known !== undefined) return known;
  const task = newTask();
  job.tasks.set(index, task);
  return task;
}

function move(job: Job, task: Task, phase: Phase): void {
  job.counts[task.phase]--;
  job.counts[phase]++;
  task.phase = phase;
  if (phase === 'placed') job.begun = true;
  if (isKilled(task)) job.killed++;
}
