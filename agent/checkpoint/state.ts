import type { Identity } from '../../protocol/agent-link.ts';
import { LIMITS } from '../../protocol/limits.ts';
import { type ExecutorInfo, isTerminal, type Reason, type TaskInfo, type TaskStatus } from '../../protocol/task.ts';
import { type CheckpointRecord, type DeviceRecord, decodeRecord, encodeRecord, type Moment } from './records.ts';

/** One attempt, as the agent has promised it. */
export interface Run {
  /** `framework/task.attempt`: also the path of its folders. */
  readonly run: string;
  readonly framework: string;
  readonly info: TaskInfo;
  readonly epoch: number;
  /** Its own of the machine's GPUs and accelerators, in every start. */
  readonly devices: readonly DeviceRecord[];
  /** Of the newest start; each has a folder of its own. */
  readonly restart: number;
  readonly kill:
    | {
        readonly graceMs: number;
        readonly tell: boolean;
        readonly since: Moment | undefined;
        readonly because?: { readonly reason: Reason; readonly message: string } | undefined;
      }
    | undefined;
  /** When the newest start that was seen to run was first seen so. */
  readonly began: { readonly restart: number; readonly at: Moment } | undefined;
  /** Of its newest report, and the highest that a master has acknowledged. */
  readonly sequence: number;
  readonly acknowledged: number;
  /** Reports that no master has acknowledged, in order. */
  readonly unacknowledged: readonly TaskStatus[];
  /** The newest report. */
  readonly latest: TaskStatus | undefined;
  /** Under which uuids an executor said its newest reports: said again they are none. */
  readonly said: readonly string[];
}

/** One start of an executor, as the agent has promised it. */
export interface ExecutorStart {
  readonly framework: string;
  readonly info: ExecutorInfo;
  readonly start: string;
  readonly secret: string;
  readonly ended: boolean;
}

/** Everything an agent knows that outlives its process. Changed only by records. */
export interface AgentState {
  agent: string | undefined;
  /** The machine it was minted on; undefined where a version wrote it that did not remember. */
  identity: Identity | undefined;
  counter: number;
  /** Of the last registration that was answered: after another boot the agent registers anew. */
  boot: string;
  epoch: number;
  generation: number;
  term: number;
  readonly runs: Map<string, Run>;
  /** By their start; those that have ended are kept for a while with their output. */
  readonly executors: Map<string, ExecutorStart>;
}

export function emptyState(): AgentState {
  return {
    agent: undefined,
    identity: undefined,
    counter: 0,
    boot: '',
    epoch: 0,
    generation: 0,
    term: 0,
    runs: new Map(),
    executors: new Map(),
  };
}

/** `framework/task.attempt`; where that last component were over the 64 characters of an id, `framework/task/aN`. */
export function runName(framework: string, task: string, attempt: number): string {
  const last = `${task}.${attempt}`;
  return last.length <= LIMITS.idLength ? `${framework}/${last}` : `${framework}/${task}/a${attempt}`;
}

/** True once its last report says that it has ended. */
export function hasEnded(run: Run): boolean {
  return run.latest !== undefined && isTerminal(run.latest.state);
}

/**
 * Takes one record in. A record that the state has already taken changes nothing, so a snapshot may be newer than the
 * first records that follow it.
 */
export function applyRecord(state: AgentState, record: CheckpointRecord): void {
  switch (record.kind) {
    case 'AGENT':
      state.agent = record.agent;
      state.identity = record.identity;
      return;
    case 'COUNTER':
      state.counter = record.counter;
      return;
    case 'REGISTERED':
      state.epoch = record.epoch;
      state.boot = record.boot;
      return;
    case 'FENCE':
      state.generation = record.generation;
      state.term = record.term;
      return;
    case 'ACCEPTED': {
      const { framework, info, epoch, devices = [] } = record;
      const run = runName(framework, info.task, info.attempt);
      if (state.runs.has(run)) return;
      state.runs.set(run, {
        run,
        framework,
        info,
        epoch,
        devices,
        restart: 0,
        kill: undefined,
        began: undefined,
        sequence: 0,
        acknowledged: 0,
        unacknowledged: [],
        latest: undefined,
        said: [],
      });
      return;
    }
    case 'EXECUTOR': {
      const { framework, info, start, secret } = record;
      if (!state.executors.has(start)) state.executors.set(start, { framework, info, start, secret, ended: false });
      return;
    }
    case 'EXECUTOR_ENDED': {
      const executor = state.executors.get(record.start);
      if (executor !== undefined) state.executors.set(record.start, { ...executor, ended: true });
      return;
    }
    case 'EXECUTOR_FORGOTTEN':
      state.executors.delete(record.start);
      return;
    case 'FORGOTTEN':
      state.runs.delete(record.run);
      return;
    default:
      changeRun(state, record);
  }
}

function changeRun(state: AgentState, record: Extract<CheckpointRecord, { run: string }>): void {
  const run = state.runs.get(record.run);
  if (run === undefined) return;
  switch (record.kind) {
    case 'RESTART':
      state.runs.set(run.run, { ...run, restart: Math.max(run.restart, record.restart) });
      return;
    case 'KILL':
      state.runs.set(run.run, {
        ...run,
        kill: {
          graceMs: record.graceMs,
          tell: record.tell ?? run.kill?.tell ?? false,
          since: run.kill?.since ?? record.since,
          because: record.because,
        },
      });
      return;
    case 'BEGAN':
      state.runs.set(run.run, { ...run, began: { restart: record.restart, at: record.at } });
      return;
    case 'STATUS':
      state.runs.set(run.run, reported(heard(run, record.said), record.status));
      return;
    case 'SAID':
      state.runs.set(run.run, record.said.reduce(heard, run));
      return;
    case 'ACKNOWLEDGED':
      state.runs.set(run.run, {
        ...run,
        acknowledged: Math.max(run.acknowledged, record.sequence),
        unacknowledged: run.unacknowledged.filter(({ sequence }) => sequence > record.sequence),
      });
      return;
    case 'FORGOTTEN':
      state.runs.delete(run.run);
  }
}

function heard(run: Run, said: string | undefined): Run {
  if (said === undefined || run.said.includes(said)) return run;
  return { ...run, said: [...run.said, said].slice(-LIMITS.unacknowledgedPerTask) };
}

/** With one more report; one of the same number takes the place of the one before. */
function reported(run: Run, status: TaskStatus): Run {
  if (status.sequence < run.sequence || status.sequence <= run.acknowledged || status.uuid === run.latest?.uuid)
    return run;
  const kept = run.unacknowledged.filter(({ sequence }) => sequence < status.sequence);
  const { state, restart, at } = status;
  const began =
    state === 'TASK_RUNNING' && at !== undefined && run.began?.restart !== restart
      ? { restart, at: { boot: at.boot, monotonicMs: at.monotonicMs } }
      : run.began;
  // What an executor attached is for its scheduler, and of no more use once that has it.
  const { data: _, ...latest } = status;
  return { ...run, sequence: status.sequence, latest, began, unacknowledged: [...kept, status] };
}

/** The state that a journal's records amount to; any prefix of them gives the state of that moment. */
export function recover(records: Iterable<Uint8Array>): AgentState {
  const state = emptyState();
  for (const bytes of records) applyRecord(state, decodeRecord(bytes));
  return state;
}

/** The state as records, one slice each: what a compacted journal begins with. */
export function* stateSlices(state: AgentState): Generator<Uint8Array> {
  const { agent, identity, counter, boot, epoch, generation, term } = state;
  const runs = [...state.runs.values()];
  const executors = [...state.executors.values()];
  if (agent !== undefined) yield encodeRecord({ kind: 'AGENT', agent, identity });
  yield encodeRecord({ kind: 'COUNTER', counter });
  yield encodeRecord({ kind: 'REGISTERED', epoch, boot });
  yield encodeRecord({ kind: 'FENCE', generation, term });
  for (const run of runs) {
    const { framework, info, epoch: since, devices } = run;
    const given = devices.length === 0 ? {} : { devices };
    yield encodeRecord({ kind: 'ACCEPTED', framework, info, epoch: since, ...given });
    if (run.restart > 0) yield encodeRecord({ kind: 'RESTART', run: run.run, restart: run.restart });
    if (run.kill !== undefined) {
      const { since, ...kill } = run.kill;
      yield encodeRecord({ kind: 'KILL', run: run.run, ...kill, ...(since === undefined ? {} : { since }) });
    }
    if (run.began !== undefined) yield encodeRecord({ kind: 'BEGAN', run: run.run, ...run.began });
    const reports = run.unacknowledged.length > 0 || run.latest === undefined ? run.unacknowledged : [run.latest];
    for (const status of reports) yield encodeRecord({ kind: 'STATUS', run: run.run, status });
    if (run.acknowledged > 0) yield encodeRecord({ kind: 'ACKNOWLEDGED', run: run.run, sequence: run.acknowledged });
    if (run.said.length > 0) yield encodeRecord({ kind: 'SAID', run: run.run, said: run.said });
  }
  for (const { framework, info, start, secret, ended } of executors) {
    yield encodeRecord({ kind: 'EXECUTOR', framework, info, start, secret });
    if (ended) yield encodeRecord({ kind: 'EXECUTOR_ENDED', framework, executor: info.executor, start });
  }
}
