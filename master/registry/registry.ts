import type { Identity } from '../../protocol/agent-link.ts';
import type { Attributes } from '../../protocol/attributes.ts';
import type { Reservation, Volume } from '../../protocol/holdings.ts';
import type { CredentialRole } from '../../protocol/operator.ts';
import type { Quantities } from '../../protocol/quantities.ts';
import type { Resources } from '../../protocol/resources.ts';
import type { Reason, TaskInfo, TaskState, TaskStatus } from '../../protocol/task.ts';
import type { CheckStatus } from '../../protocol/task-checks.ts';
import type { StoreUse } from './store-use.ts';

/**
 * The replicated state. Changed only by `apply` (apply.ts), one committed command at a time; records are replaced,
 * never mutated, so that a snapshot can be encoded in slices while new commands apply.
 */
export interface Registry {
  cluster: Cluster | undefined;
  /** Log index and term of the last command applied. */
  index: number;
  term: number;
  readonly agents: Map<string, AgentRecord>;
  /** Name → agent id, of agents that are not gone. */
  readonly names: Map<string, string>;
  readonly frameworks: Map<string, FrameworkRecord>;
  /** `taskKey` → live tasks, and ended ones whose framework has not acknowledged the end. */
  readonly tasks: Map<string, TaskRecord>;
  /** Agent id → keys of its tasks in `tasks`. */
  readonly tasksOf: Map<string, Set<string>>;
  /** `framework/task` → keys of its live attempts. */
  readonly attempts: Map<string, Set<string>>;
  /** `taskKey` → ended tasks, oldest first; bounded (limits.ts). */
  readonly finished: Map<string, FinishedTask>;
  /** `storeKey` → small durable state of frameworks. */
  readonly store: Map<string, StoreRecord>;
  /** Framework → how much of `store` is its own. Not in a snapshot: it follows from `store`. */
  readonly storeUse: Map<string, StoreUse>;
  readonly roles: Map<string, RoleRecord>;
  /** `operationKey` → operation, oldest first. */
  readonly operations: Map<string, OperationRecord>;
  readonly tokens: Map<string, TokenRecord>;
  /** Request id → outcome, oldest first; bounded. */
  readonly requests: Map<string, RequestOutcome>;
}

/** `generation` rises when a lost master is recreated or a backup restored: agents follow the higher one. */
export interface Cluster {
  readonly uuid: string;
  readonly generation: number;
  readonly createdMs: number;
}

export interface AgentRecord {
  readonly agent: string;
  readonly name: string;
  readonly machine: string;
  readonly serial: string;
  /** Log index of the registration: the agent's session. Commands of another epoch are refused on both sides. */
  readonly epoch: number;
  readonly incarnation: string;
  readonly counter: number;
  readonly hostname: string;
  readonly boot: string;
  /** What it has, with what was reserved and made of it. */
  readonly resources: Resources;
  /** What it said itself, where that is something else. */
  readonly reported?: Resources | undefined;
  /** What it was started with as reserved is in `reported`, and not here. */
  readonly reservations?: readonly Reservation[] | undefined;
  readonly volumes?: readonly Volume[] | undefined;
  /** Volumes that are no more, and whose content the agent has not said it has removed. */
  readonly doomed?: readonly DoomedVolume[] | undefined;
  /** It gets no more tasks, and ends those it has at the latest then (wall clock of a leader, milliseconds). */
  readonly drain?:
    | {
        readonly deadlineMs: number /** Why its health asked for it; undefined: an operator did. */;
        readonly wish?: string;
      }
    | undefined;
  /** The wish that an operator has overruled by `resume`, until it is wished no more. */
  readonly overruled?: string | undefined;
  /** It is drained from `startMs` on, its tasks having `graceMs` from then, and resumed after `durationMs` (absent: by hand). */
  readonly window?: MaintenanceWindow | undefined;
  readonly attributes: Attributes;
  readonly metered: boolean;
  readonly state: 'active' | 'unreachable' | 'gone';
  readonly registeredMs: number;
  /** When it became unreachable or gone. */
  readonly sinceMs: number;
}

export interface MaintenanceWindow {
  /** Wall clock of a leader, milliseconds. */
  readonly startMs: number;
  readonly durationMs: number | undefined;
  readonly graceMs: number;
  /** Which request scheduled it: one of the same moments, scheduled again, is another. Absent: of an earlier version. */
  readonly request?: string;
}

export interface DoomedVolume {
  readonly volume: string;
  readonly role: string;
  /** `operationKey` of who waits for its end; undefined: nobody. */
  readonly operation: string | undefined;
}

/** An operation that asked for feedback and was carried out, until its framework acknowledges its end. */
export interface OperationRecord {
  readonly framework: string;
  readonly operation: string;
  readonly uuid: string;
  readonly agent: string;
  readonly state: 'OPERATION_PENDING' | 'OPERATION_FINISHED' | 'OPERATION_FAILED' | 'OPERATION_GONE_BY_OPERATOR';
  readonly message: string | undefined;
  readonly converted: Resources;
  /** Since when it is in that state. */
  readonly sinceMs: number;
}

export interface FrameworkRecord {
  readonly framework: string;
  readonly roles: readonly string[];
  readonly registeredMs: number;
}

export interface TaskRecord {
  readonly framework: string;
  readonly info: TaskInfo;
  /** Under which role its resources were offered. */
  readonly role: string;
  readonly agent: string;
  readonly epoch: number;
  readonly state: TaskState;
  readonly reason: Reason | undefined;
  readonly message: string | undefined;
  readonly restart: number;
  /** Highest sequence of its agent's updates applied so far. */
  readonly sequence: number;
  readonly exitCode: number | undefined;
  readonly output: { readonly stdout: number; readonly stderr: number } | undefined;
  /** What its checks said last; absent without any. */
  readonly healthy?: boolean | undefined;
  readonly checkStatus?: CheckStatus | undefined;
  readonly createdMs: number;
  readonly startedMs: number | undefined;
  readonly finishedMs: number | undefined;
  /** Wall-clock milliseconds since which it is unreachable. */
  readonly unreachableMs: number | undefined;
  /** Somebody wants it to end. `reason`: why, where it is not its framework; `tell`: whoever asked wants to hear TASK_KILLING. */
  readonly kill:
    | { readonly graceMs: number | undefined; readonly reason?: Reason | undefined; readonly tell?: boolean }
    | undefined;
  /** Found running on an agent without having been launched by this registry: to be adopted or killed. */
  readonly orphan: boolean;
  /** Updates the framework has not acknowledged, oldest first; bounded. */
  readonly pending: readonly (TaskStatus & { readonly receivedMs: number })[];
}

/** What is kept of a task that has ended: at most 200 bytes. */
export interface FinishedTask {
  readonly framework: string;
  readonly task: string;
  readonly attempt: number;
  readonly restart: number;
  readonly agent: string;
  readonly state: TaskState;
  readonly reason: Reason | undefined;
  readonly message: string | undefined;
  readonly exitCode: number | undefined;
  readonly stdout: number;
  readonly stderr: number;
  readonly createdMs: number;
  readonly startedMs: number | undefined;
  readonly finishedMs: number;
}

/** A role that an operator said something about. */
export interface RoleRecord {
  /** A path, `a/b`. */
  readonly role: string;
  readonly weight: number;
  /** Of roles at the top alone; limits may be zero. */
  readonly quota: { readonly guarantees: Quantities; readonly limits: Quantities } | undefined;
}

export interface StoreRecord {
  readonly framework: string;
  readonly key: string;
  readonly value: string;
  readonly version: number;
}

export interface TokenRecord {
  readonly token: string;
  readonly name: string;
  readonly role: CredentialRole;
  /** SHA-256 of the secret, in hexadecimal. */
  readonly hash: string;
  readonly createdMs: number;
  /** Made by a join: the only hardware that may register under that name. */
  readonly bound?: Identity | undefined;
  /** Of a join token: on how many boards it was used, how many may, and until when (wall clock of a leader, milliseconds). */
  readonly joins?: { readonly used: number; readonly limit: number | undefined; readonly untilMs: number | undefined };
}

export interface RequestOutcome {
  readonly request: string;
  readonly ok: boolean;
  readonly detail: string;
}

export function emptyRegistry(): Registry {
  return {
    cluster: undefined,
    index: 0,
    term: 0,
    agents: new Map(),
    names: new Map(),
    frameworks: new Map(),
    tasks: new Map(),
    tasksOf: new Map(),
    attempts: new Map(),
    finished: new Map(),
    store: new Map(),
    storeUse: new Map(),
    roles: new Map(),
    operations: new Map(),
    tokens: new Map(),
    requests: new Map(),
  };
}

/** The key of one attempt: no id holds a `/`. */
export function taskKey(framework: string, task: string, attempt: number): string {
  return `${framework}/${task}/${attempt}`;
}

export function operationKey(framework: string, operation: string): string {
  return `${framework}/${operation}`;
}

export function storeKey(framework: string, key: string): string {
  return `${framework} ${key}`;
}

/** The tasks of an agent, in the order they were placed. */
export function tasksOfAgent(registry: Registry, agent: string): TaskRecord[] {
  const tasks: TaskRecord[] = [];
  for (const key of registry.tasksOf.get(agent) ?? []) {
    const task = registry.tasks.get(key);
    if (task !== undefined) tasks.push(task);
  }
  return tasks;
}
