import * as v from 'valibot';
import { Arguments, TaskArguments } from './arguments.ts';
import { Artifacts } from './artifact.ts';
import { ContainerInfo } from './container.ts';
import { Discovery, Labels } from './discovery.ts';
import { Id } from './ids.ts';
import { LIMITS, TIMES } from './limits.ts';
import { ResourcesSchema } from './resources.ts';
import { Check, CheckStatus, HealthCheck } from './task-checks.ts';

/**
 * The fourteen states of a task (Mesos: include/mesos/v1/mesos.proto TaskState) and the only moves between them.
 * UNREACHABLE can come back, since an agent carries on alone; GONE_BY_OPERATOR cannot.
 */
const MOVES = {
  TASK_STAGING: [
    'TASK_STARTING',
    'TASK_RUNNING',
    'TASK_KILLING',
    'TASK_FINISHED',
    'TASK_FAILED',
    'TASK_KILLED',
    'TASK_ERROR',
    'TASK_LOST',
    'TASK_DROPPED',
    'TASK_UNREACHABLE',
    'TASK_GONE',
    'TASK_GONE_BY_OPERATOR',
  ],
  TASK_STARTING: [
    'TASK_RUNNING',
    'TASK_KILLING',
    'TASK_FINISHED',
    'TASK_FAILED',
    'TASK_KILLED',
    'TASK_ERROR',
    'TASK_LOST',
    'TASK_DROPPED',
    'TASK_UNREACHABLE',
    'TASK_GONE',
    'TASK_GONE_BY_OPERATOR',
  ],
  TASK_RUNNING: [
    'TASK_STARTING',
    'TASK_KILLING',
    'TASK_FINISHED',
    'TASK_FAILED',
    'TASK_KILLED',
    'TASK_LOST',
    'TASK_UNREACHABLE',
    'TASK_GONE',
    'TASK_GONE_BY_OPERATOR',
  ],
  TASK_KILLING: [
    'TASK_FINISHED',
    'TASK_FAILED',
    'TASK_KILLED',
    'TASK_LOST',
    'TASK_DROPPED',
    'TASK_UNREACHABLE',
    'TASK_GONE',
    'TASK_GONE_BY_OPERATOR',
  ],
  TASK_UNREACHABLE: [
    'TASK_STARTING',
    'TASK_RUNNING',
    'TASK_KILLING',
    'TASK_FINISHED',
    'TASK_FAILED',
    'TASK_KILLED',
    'TASK_LOST',
    'TASK_DROPPED',
    'TASK_GONE',
    'TASK_GONE_BY_OPERATOR',
  ],
  TASK_UNKNOWN: [
    'TASK_STAGING',
    'TASK_STARTING',
    'TASK_RUNNING',
    'TASK_KILLING',
    'TASK_FINISHED',
    'TASK_FAILED',
    'TASK_KILLED',
    'TASK_LOST',
    'TASK_UNREACHABLE',
    'TASK_GONE',
    'TASK_GONE_BY_OPERATOR',
  ],
  TASK_FINISHED: [],
  TASK_FAILED: [],
  TASK_KILLED: [],
  TASK_ERROR: [],
  TASK_LOST: [],
  TASK_DROPPED: [],
  TASK_GONE: [],
  TASK_GONE_BY_OPERATOR: [],
} as const satisfies Record<string, readonly string[]>;

export type TaskState = keyof typeof MOVES;

export const TASK_STATES = Object.keys(MOVES) as readonly TaskState[];

/** True where nothing follows; resources return at the terminal state (docs/protocol.md, Status updates). */
export function isTerminal(state: TaskState): boolean {
  return MOVES[state].length === 0;
}

export type Transition = 'moved' | 'repeated' | 'refused';

/** A repeated update is not an error: agents send again until acknowledged. */
export function transition(from: TaskState, to: TaskState): Transition {
  if (from === to) return 'repeated';
  return (MOVES[from] as readonly string[]).includes(to) ? 'moved' : 'refused';
}

/** Why a task is in its state (Mesos: TaskStatus.Reason, where Mesos has the word). */
export const REASONS = [
  'COMMAND_FAILED',
  'COMMAND_NOT_FOUND',
  'LAUNCH_FAILED',
  'LAUNCH_TIMED_OUT',
  'MAX_COMPLETION_TIME_REACHED',
  'HEALTH_CHECK_FAILED',
  'HEALTH_CHECK_STATUS_UPDATED',
  'CHECK_STATUS_UPDATED',
  'KILLED_DURING_LAUNCH',
  'KILLED_BY_REQUEST',
  'UNKILLABLE',
  'INVALID_OFFERS',
  'TASK_INVALID',
  'AGENT_DISCONNECTED',
  'AGENT_REMOVED_BY_OPERATOR',
  'AGENT_DRAINING',
  'AGENT_REBOOTED',
  'AGENT_RESTARTED',
  'AGENT_REREGISTERED',
  'AGENT_DISK_FULL',
  'CONTAINER_LIMITATION_MEMORY',
  'LAUNCHER_LOST',
  'LOST_AFTER',
  'RECONCILIATION',
  'FRAMEWORK_REMOVED',
  'EXECUTOR_REGISTRATION_TIMEOUT',
  'EXECUTOR_REREGISTRATION_TIMEOUT',
  'EXECUTOR_TERMINATED',
  'TASK_GROUP_FAILED',
  /** What it needs cannot be had: not there, other content than it should have, an archive that cannot be unpacked. */
  'ARTIFACT_FETCH_FAILED',
  /** What it needs could not be reached from this agent, for as long as it tried. */
  'ARTIFACT_UNREACHABLE',
] as const;

export type Reason = (typeof REASONS)[number];

/**
 * Reasons that are not the task's own failure: a new attempt for them does not count as a retry
 * (docs/protocol.md, Retries).
 */
export const NOT_THE_TASKS_FAULT: ReadonlySet<Reason> = new Set([
  'KILLED_DURING_LAUNCH',
  'LAUNCH_FAILED',
  'LAUNCH_TIMED_OUT',
  'INVALID_OFFERS',
  'AGENT_DISCONNECTED',
  'AGENT_DRAINING',
  'AGENT_REMOVED_BY_OPERATOR',
  'AGENT_REBOOTED',
  'AGENT_RESTARTED',
  'AGENT_REREGISTERED',
  'AGENT_DISK_FULL',
  'LAUNCHER_LOST',
  'LOST_AFTER',
  'ARTIFACT_UNREACHABLE',
]);

export const RESTART_POLICIES = ['never', 'on-failure', 'always'] as const;
export type RestartPolicy = (typeof RESTART_POLICIES)[number];

const Milliseconds = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(365 * 24 * 3_600_000));
const Count = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(Number.MAX_SAFE_INTEGER));

/** `{NAME: value}`; names are what a shell can export. At most 200, values up to 16,384 characters without NUL. */
export const Environment = v.pipe(
  v.record(
    v.pipe(
      v.string(),
      v.regex(
        /^[A-Za-z_][A-Za-z0-9_]{0,127}$/,
        'an environment name is letters, digits and _, not starting with a digit',
      ),
    ),
    v.pipe(v.string(), v.maxLength(LIMITS.environmentLength), v.regex(/^[^\0]*$/, 'a value cannot hold NUL')),
  ),
  v.check((values) => Object.keys(values).length <= LIMITS.environmentNames, 'too many environment variables'),
);

/** A framework's own program that runs its tasks on an agent, one process for all that name it (docs/executors.md). */
export const ExecutorInfo = v.object({
  /** Tasks of one framework on one agent that name the same id share the process; everything else must be the same too. */
  executor: Id,
  argv: Arguments,
  environment: v.optional(Environment),
  /** Between SHUTDOWN and SIGKILL, with SIGTERM half way. */
  shutdownGraceMs: v.optional(Milliseconds, TIMES.executorShutdownMs),
});
export type ExecutorInfo = v.InferOutput<typeof ExecutorInfo>;

/** What a framework hands to its executor with a task, or says to it: text of its own, never looked at. */
export const Data = v.pipe(v.string(), v.maxLength(LIMITS.dataLength));

/** Nomad's but for `best_score`: batch does not rate places, so none of two is the better. */
export const RECONCILE_POLICIES = ['keep_original', 'keep_replacement', 'longest_running'] as const;

/** What becomes of a task while its agent is out of reach, in Nomad's words (docs/disconnected.md). */
export const Disconnect = v.object({
  /** From unreachable to TASK_LOST; default one hour. */
  lostAfterMs: v.optional(Milliseconds),
  /** The agent itself stops the task after this long without a master; default never. */
  stopOnClientAfterMs: v.optional(Milliseconds),
  /** Start another attempt elsewhere at once. Default false. */
  replace: v.optional(v.boolean()),
  /** Which of the two goes on when the first comes back; default: both do, and the first terminal status committed wins. */
  reconcile: v.optional(v.picklist(RECONCILE_POLICIES)),
});
export type Disconnect = v.InferOutput<typeof Disconnect>;

/** Thousandths, as in resources, or as much as the machine has (Mesos: Infinity, which JSON cannot say). */
const Limit = v.union([
  v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(LIMITS.scalarThousandths)),
  v.literal('unlimited'),
]);

/**
 * The most that a task may take (Mesos: TaskInfo.limits); without one it may take what is there. What an agent cannot
 * enforce it says (docs/isolation.md).
 */
export const TaskLimits = v.object({ cpus: v.optional(Limit), mem: v.optional(Limit) });

/** What a framework asks an agent to run. `task` is unique within the framework while it lives. */
export const TaskInfo = v.object({
  task: Id,
  /** Minted by the framework at each placement, from 0. */
  attempt: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(1_000_000)),
  /** Empty only where an executor runs it, or for the image's own command. */
  argv: v.optional(TaskArguments, []),
  environment: v.optional(Environment),
  /** In its sandbox before it starts. */
  artifacts: v.optional(Artifacts),
  resources: ResourcesSchema,
  restart: v.optional(v.picklist(RESTART_POLICIES), 'never'),
  /** Between SIGTERM and SIGKILL. */
  killGraceMs: v.optional(Milliseconds, TIMES.killGraceMs),
  /** Running longer ends it as TASK_FAILED, MAX_COMPLETION_TIME_REACHED. */
  maxCompletionMs: v.optional(Milliseconds),
  disconnect: v.optional(Disconnect),
  /** What `argv` runs in; absent: the agent's machine itself. */
  container: v.optional(ContainerInfo),
  /** Runs it; absent: the agent itself executes `argv`. */
  executor: v.optional(ExecutorInfo),
  data: v.optional(Data),
  /** Of one LAUNCH_GROUP, by which alone it is set: one member that fails or is killed ends all. */
  group: v.optional(Id),
  /** Ends it where it is not well. */
  healthCheck: v.optional(HealthCheck),
  /** Tells what it answers. */
  check: v.optional(Check),
  limits: v.optional(TaskLimits),
  labels: v.optional(Labels),
  discovery: v.optional(Discovery),
});
export type TaskInfo = v.InferOutput<typeof TaskInfo>;

/** What all processes of a start used, from its beginning to its end, where the agent's kernel counts it (docs/isolation.md). */
const UsageAtEnd = v.object({
  cpuMs: v.optional(Count),
  /** The most memory at any time, in kB of 1,024 bytes; the page cache of its files included. */
  memPeakKb: v.optional(Count),
});

/** When something happened on an agent: its boot, its monotonic clock, its wall clock (null if never synchronised). */
const AgentTime = v.object({
  boot: v.pipe(v.string(), v.maxLength(64)),
  monotonicMs: Count,
  wallMs: v.nullable(Count),
});

/** One report about one run. Sent at least once, in the order of `sequence` (from 1, per task and attempt). */
export const TaskStatus = v.object({
  framework: Id,
  task: Id,
  attempt: Count,
  restart: v.optional(Count, 0),
  uuid: Id,
  sequence: Count,
  state: v.picklist(TASK_STATES),
  reason: v.optional(v.picklist(REASONS)),
  message: v.optional(v.pipe(v.string(), v.maxLength(LIMITS.messageLength))),
  /** As a shell gives it: 0 to 255, 128+n for signal n. */
  exitCode: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(255))),
  /** Absolute bytes written to each stream until then; only at the end of a run. */
  output: v.optional(v.object({ stdout: Count, stderr: Count })),
  /** Only at the end of a run: of its last start. */
  usage: v.optional(UsageAtEnd),
  /** What its health check last said; absent before the first that counts, and without one. */
  healthy: v.optional(v.boolean()),
  checkStatus: v.optional(CheckStatus),
  /** Whatever its executor attached, for its scheduler (Mesos: TaskStatus.data). */
  data: v.optional(Data),
  at: v.optional(AgentTime),
});
export type TaskStatus = v.InferOutput<typeof TaskStatus>;

/** (framework, task, attempt): what a launch, a kill and a report are about. */
export const TaskKey = v.object({ framework: Id, task: Id, attempt: Count });
export type TaskKey = v.InferOutput<typeof TaskKey>;
