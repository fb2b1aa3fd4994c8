import { decode, encode } from '../../protocol/envelope.ts';
import { assert, Fault } from '../../protocol/faults.ts';
import type { Attributes } from '../../protocol/attributes.ts';
import type { KnownTask } from '../../protocol/agent-link.ts';
import type { CredentialRole } from '../../protocol/operator.ts';
import type { Resources } from '../../protocol/resources.ts';
import type { Reason, TaskInfo, TaskKey, TaskStatus } from '../../protocol/task.ts';

/**
 * The only things that change the registry. Each is proposed by the leader, committed by Raft, and applied by every
 * master in the same order; what the leader alone knows (the time, chance) is stamped into it before it is proposed.
 * `nowMs` is the leader's wall clock.
 */
export type Command =
  | { kind: 'CREATE_CLUSTER'; uuid: string; generation: number; nowMs: number }
  | RegisterAgent
  | { kind: 'REPORT_AGENT'; agent: string; epoch: number; resources: Resources; attributes: Attributes }
  | { kind: 'RECONCILE_AGENT'; agent: string; epoch: number; tasks: readonly KnownTask[]; nowMs: number }
  | { kind: 'AGENT_UNREACHABLE'; agent: string; epoch: number; nowMs: number }
  | { kind: 'AGENT_GONE'; agent: string; request: string; nowMs: number }
  | { kind: 'SUBSCRIBE_FRAMEWORK'; framework: string; roles: readonly string[]; nowMs: number }
  | { kind: 'REMOVE_FRAMEWORK'; framework: string; nowMs: number }
  | { kind: 'LAUNCH'; framework: string; role: string; agent: string; epoch: number; tasks: readonly TaskInfo[]; nowMs: number }
  | { kind: 'UPDATE_TASKS'; agent: string; epoch: number; updates: readonly TaskStatus[]; nowMs: number }
  | { kind: 'END_TASKS'; tasks: readonly TaskKey[]; state: 'TASK_LOST' | 'TASK_DROPPED'; reason: Reason; message: string; nowMs: number }
  | { kind: 'ACKNOWLEDGE'; framework: string; updates: readonly { task: string; uuid: string }[]; nowMs: number }
  | { kind: 'KILL'; framework: string; tasks: readonly { task: string; graceMs: number | undefined }[] }
  | { kind: 'STORE'; framework: string; key: string; value: string | null; version: number; request: string }
  | { kind: 'CREATE_TOKEN'; token: string; name: string; role: CredentialRole; hash: string; request: string; nowMs: number }
  | { kind: 'REVOKE_TOKEN'; token: string; request: string };

export interface RegisterAgent {
  kind: 'REGISTER_AGENT';
  agent: string;
  name: string;
  machine: string;
  serial: string;
  incarnation: string;
  counter: number;
  hostname: string;
  boot: string;
  resources: Resources;
  attributes: Attributes;
  metered: boolean;
  tasks: readonly KnownTask[];
  nowMs: number;
}

/** Of commands in the log and of snapshots; a master refuses what is newer than it knows. */
export const COMMAND_FORMAT = 1;

export function encodeCommand(command: Command): Uint8Array {
  return encode({ f: COMMAND_FORMAT, ...command }, 'cbor');
}

/** Commands come from our own log, whose checksums hold: what cannot be read is a newer format, or our bug. */
export function decodeCommand(bytes: Uint8Array): Command {
  const decoded = decode(bytes);
  assert(!(decoded instanceof Fault), 'a committed command can be decoded');
  const { f, ...command } = decoded.value as { f: number } & Command;
  assert(f === COMMAND_FORMAT, `command format ${f} is known (this version writes ${COMMAND_FORMAT})`);
  return command as Command;
}
