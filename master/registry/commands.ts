import type { Identity, KnownTask } from '../../protocol/agent-link.ts';
import type { Attributes } from '../../protocol/attributes.ts';
import { decode, encode } from '../../protocol/envelope.ts';
import { assert, Fault } from '../../protocol/faults.ts';
import { LIMITS } from '../../protocol/limits.ts';
import type { ResourceOperation } from '../../protocol/operations.ts';
import type { CredentialRole } from '../../protocol/operator.ts';
import type { Quantities } from '../../protocol/quantities.ts';
import type { Resources } from '../../protocol/resources.ts';
import type { Reason, TaskInfo, TaskKey, TaskStatus } from '../../protocol/task.ts';

import type { MaintenanceWindow } from './registry.ts';

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
  | { kind: 'DRAIN_AGENT'; agent: string; deadlineMs: number; request: string }
  | { kind: 'SCHEDULE_DRAIN'; agent: string; window: MaintenanceWindow; request: string }
  /** A person drains it: nothing begins or ends that by itself. */
  | { kind: 'CALL_OFF_WINDOW'; agent: string }
  /** `overrules`: an operator's word, also against the wish that stands just now. */
  | { kind: 'RESUME_AGENT'; agent: string; overrules?: true; request: string }
  /** The agent's health asks for a drain, or (`wish` undefined) does so no more. */
  | { kind: 'HEED_HEALTH'; agent: string; wish: string | undefined; deadlineMs: number }
  /** `tell`: frameworks that hear TASK_KILLING. */
  | { kind: 'EVICT_AGENT'; agent: string; tell?: readonly string[] }
  | { kind: 'RESERVE'; agent: string; resources: Resources; request: string }
  | { kind: 'UNRESERVE'; agent: string; resources: Resources; request: string }
  /** `request`: of the leader's choice, to tell one from another. */
  | {
      kind: 'OPERATE';
      framework: string;
      role: string;
      agent: string;
      epoch: number;
      operations: readonly ResourceOperation[];
      request: string;
      nowMs: number;
    }
  | {
      kind: 'VOLUMES_REMOVED';
      agent: string;
      epoch: number;
      volumes: readonly { volume: string; role: string; problem: string | undefined }[];
      nowMs: number;
    }
  | { kind: 'ACKNOWLEDGE_OPERATION'; framework: string; operation: string; uuid: string }
  | { kind: 'SET_WEIGHT'; role: string; weight: number; request: string }
  | {
      kind: 'SET_QUOTA';
      role: string;
      quota: { guarantees: Quantities; limits: Quantities } | null;
      force: boolean;
      request: string;
    }
  | { kind: 'SUBSCRIBE_FRAMEWORK'; framework: string; roles: readonly string[]; nowMs: number }
  /** `request`: an operator's. */
  | { kind: 'REMOVE_FRAMEWORK'; framework: string; nowMs: number; request?: string }
  | {
      kind: 'LAUNCH';
      framework: string;
      role: string;
      agent: string;
      epoch: number;
      tasks: readonly TaskInfo[];
      nowMs: number;
    }
  | { kind: 'UPDATE_TASKS'; agent: string; epoch: number; updates: readonly TaskStatus[]; nowMs: number }
  | {
      kind: 'END_TASKS';
      tasks: readonly TaskKey[];
      state: 'TASK_LOST' | 'TASK_DROPPED';
      reason: Reason;
      message: string;
      nowMs: number;
    }
  | { kind: 'ACKNOWLEDGE'; framework: string; updates: readonly { task: string; uuid: string }[]; nowMs: number }
  | { kind: 'KILL'; framework: string; tasks: readonly { task: string; graceMs: number | undefined; tell?: boolean }[] }
  /** Of a task with several live attempts, these alone. */
  | {
      kind: 'KILL_ATTEMPTS';
      framework: string;
      tasks: readonly { task: string; attempt: number; graceMs: number | undefined; tell?: boolean }[];
    }
  | { kind: 'STORE'; framework: string; key: string; value: string | null; version: number; request: string }
  | {
      kind: 'CREATE_TOKEN';
      token: string;
      name: string;
      role: CredentialRole;
      hash: string;
      /** Of a join token. */
      joins?: { limit: number | undefined; untilMs: number | undefined };
      request: string;
      nowMs: number;
    }
  /** `by`: the name of the join token; `token`: the new one's id. */
  | {
      kind: 'JOIN_AGENT';
      by: string;
      name: string;
      exact: boolean;
      identity: Identity;
      token: string;
      hash: string;
      request: string;
      nowMs: number;
    }
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

/** What this version can apply; a command of a new kind raises it. */
export const VOCABULARY = 5;

/** Since which vocabulary there is a command: it is proposed only when every master has that one (vocabularies.ts). */
export const SINCE: Readonly<Record<Command['kind'], number>> = {
  CREATE_CLUSTER: 1,
  REGISTER_AGENT: 1,
  REPORT_AGENT: 1,
  RECONCILE_AGENT: 1,
  AGENT_UNREACHABLE: 1,
  AGENT_GONE: 1,
  DRAIN_AGENT: 1,
  SCHEDULE_DRAIN: 1,
  RESUME_AGENT: 1,
  EVICT_AGENT: 1,
  RESERVE: 1,
  UNRESERVE: 1,
  OPERATE: 1,
  VOLUMES_REMOVED: 1,
  ACKNOWLEDGE_OPERATION: 1,
  SET_WEIGHT: 1,
  SET_QUOTA: 1,
  SUBSCRIBE_FRAMEWORK: 1,
  REMOVE_FRAMEWORK: 1,
  LAUNCH: 1,
  UPDATE_TASKS: 1,
  END_TASKS: 1,
  ACKNOWLEDGE: 1,
  KILL: 1,
  STORE: 1,
  CREATE_TOKEN: 1,
  REVOKE_TOKEN: 1,
  JOIN_AGENT: 2,
  KILL_ATTEMPTS: 3,
  HEED_HEALTH: 4,
  CALL_OFF_WINDOW: 5,
};

/** Room for the fields of a {@link Part} around its bytes. */
const PART_BYTES = LIMITS.commandBytes - 64;

/** A command too long for one entry of the log: its encoding, over `of` entries that follow each other. */
interface Part {
  readonly f: number;
  readonly kind: 'PART';
  readonly part: number;
  readonly of: number;
  readonly bytes: Uint8Array;
}

/** The entries of a command, nearly always one; a fault TOO_LARGE where it is over `LIMITS.longCommandBytes`. */
export function encodeCommand(command: Command): Uint8Array[] | Fault {
  const bytes = encode({ f: COMMAND_FORMAT, ...command }, 'cbor');
  if (bytes.length <= LIMITS.commandBytes) return [bytes];
  if (bytes.length > LIMITS.longCommandBytes) {
    return new Fault('TOO_LARGE', `a command of ${bytes.length} bytes; the limit is ${LIMITS.longCommandBytes}`);
  }
  const of = Math.ceil(bytes.length / PART_BYTES);
  return Array.from({ length: of }, (_, part) =>
    encode(
      { f: COMMAND_FORMAT, kind: 'PART', part, of, bytes: bytes.subarray(part * PART_BYTES, (part + 1) * PART_BYTES) },
      'cbor',
    ),
  );
}

/**
 * Reads the commands of a log, entry by entry. A leader proposes the parts of a command in one go; where its term ends
 * between them, the rest never comes, and what another leader appends (its no-op first) ends the wait.
 */
export class CommandReader {
  #parts: Uint8Array[] = [];

  /** False while parts of a command are missing: no snapshot may stand for half of one. */
  get idle(): boolean {
    return this.#parts.length === 0;
  }

  /** The command that ends with this entry; undefined where it is a part with more to come, or nothing (a no-op). */
  read(payload: Uint8Array): Command | undefined {
    if (payload.length === 0) {
      this.#parts = [];
      return undefined;
    }
    const value = decodeEntry(payload);
    if (value.kind !== 'PART') {
      this.#parts = [];
      return withoutFormat(value);
    }
    if (value.part !== this.#parts.length) this.#parts = [];
    if (value.part !== this.#parts.length) return undefined;
    this.#parts.push(value.bytes);
    if (value.part + 1 < value.of) return undefined;
    const whole = decodeEntry(joined(this.#parts));
    this.#parts = [];
    assert(whole.kind !== 'PART', 'a command is cut once');
    return withoutFormat(whole);
  }
}

/** Commands come from our own log, whose checksums hold: what cannot be read is a newer format, or our bug. */
function decodeEntry(bytes: Uint8Array): ({ f: number } & Command) | Part {
  const decoded = decode(bytes, LIMITS.longCommandBytes);
  assert(!(decoded instanceof Fault), 'a committed command can be decoded');
  const value = decoded.value as ({ f: number } & Command) | Part;
  assert(value.f === COMMAND_FORMAT, `command format ${value.f} is known (this version writes ${COMMAND_FORMAT})`);
  return value;
}

function withoutFormat({ f: _, ...command }: { f: number } & Command): Command {
  assert(
    Object.hasOwn(SINCE, command.kind),
    `the command ${command.kind} is known: this master is too old for its log`,
  );
  return command as Command;
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((bytes, part) => bytes + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
