import type { Fault } from '../../protocol/faults.ts';
import type { AgentRecord, OperationRecord, RoleRecord, TaskRecord, TokenRecord } from './registry.ts';

/** What applying a command did: facts for the leader to act on, in order. Followers ignore them. */
export type RegistryEvent =
  | { kind: 'CLUSTER_CREATED' }
  /** `formerly`: the name it had, where it has another now. */
  | {
      kind: 'AGENT_REGISTERED';
      agent: AgentRecord;
      counter: number;
      repeated: boolean;
      formerly: string | undefined;
    }
  | { kind: 'AGENT_REFUSED'; agent: string; name: string; counter: number; fault: Fault }
  | { kind: 'AGENT_CHANGED'; agent: AgentRecord }
  | { kind: 'AGENT_DRAINING'; agent: AgentRecord }
  | { kind: 'DRAIN_SCHEDULED'; agent: AgentRecord }
  | { kind: 'AGENT_RESUMED'; agent: AgentRecord }
  /** A request about an agent has had its effect. */
  | { kind: 'OPERATION_DONE'; agent: AgentRecord; request: string }
  /** `outcomes`: of each operation, in order; a fault where it had no effect. */
  | {
      kind: 'OPERATED';
      framework: string;
      agent: string;
      request: string;
      outcomes: readonly { operation: string | undefined; outcome: OperationRecord | Fault | undefined }[];
    }
  | { kind: 'OPERATION_ENDED'; operation: OperationRecord }
  /** Their content is to be removed. */
  | { kind: 'VOLUMES_DOOMED'; agent: AgentRecord }
  | { kind: 'ROLE_CHANGED'; role: RoleRecord; request: string }
  | { kind: 'AGENT_UNREACHABLE'; agent: AgentRecord }
  | { kind: 'AGENT_GONE'; agent: AgentRecord; request: string }
  | { kind: 'FRAMEWORK_SUBSCRIBED'; framework: string; fresh: boolean }
  | { kind: 'FRAMEWORK_REFUSED'; framework: string; fault: Fault }
  | { kind: 'FRAMEWORK_REMOVED'; framework: string; request: string | undefined }
  | { kind: 'TASK_PLACED'; task: TaskRecord }
  /** A launch that apply refused; nothing was recorded, its resources are free again. */
  | {
      kind: 'TASK_REFUSED';
      framework: string;
      role: string;
      agent: string;
      task: TaskRecord;
      fault: Fault;
      known: TaskRecord | undefined;
    }
  /** `freed`: it ended with this, and its resources are free again. */
  | { kind: 'TASK_UPDATED'; task: TaskRecord; uuid: string; freed: boolean; tell: boolean }
  /** Seen before, or after the end: to be acknowledged, and nothing else. */
  | { kind: 'UPDATE_REPEATED'; agent: string; uuid: string }
  | { kind: 'TASK_ORPHANED'; task: TaskRecord }
  | { kind: 'TASK_FORGOTTEN'; key: string; task: TaskRecord }
  /** Runs on an agent although its end is committed (`lost_after`, say): it is to be killed. */
  | { kind: 'RUN_UNWANTED'; agent: AgentRecord; framework: string; task: string; attempt: number }
  | { kind: 'KILL_WANTED'; task: TaskRecord }
  | { kind: 'STORED'; framework: string; request: string; key: string; version: number; fault: Fault | undefined }
  | { kind: 'TOKEN_CREATED'; token: TokenRecord; request: string }
  /** `revoked`: names whose connections are of a credential that this one replaced. */
  | { kind: 'AGENT_JOINED'; name: string; revoked: readonly string[]; request: string }
  | { kind: 'TOKENS_REVOKED'; names: string[]; request: string }
  | { kind: 'REQUEST_REFUSED'; request: string; fault: Fault };
