import type { Identity } from '../../protocol/agent-link.ts';
import { decode, encode } from '../../protocol/envelope.ts';
import { assert, Fault } from '../../protocol/faults.ts';
import type { ExecutorInfo, Reason, TaskInfo, TaskStatus } from '../../protocol/task.ts';

/** A point of the machine's monotonic clock, of one boot. */
export interface Moment {
  readonly boot: string;
  readonly monotonicMs: number;
}

/** A device that a run was given, with all that a start of it needs, whatever is found of the machine by then. */
export interface DeviceRecord {
  readonly kind: string;
  readonly id: string;
  readonly slots: number;
  readonly environment: Readonly<Record<string, string>>;
  readonly nodes: readonly string[];
}

/**
 * What an agent must find after a crash, as a stream of records. One is appended (durably) before the thing it speaks
 * of is done or said: an acceptance before the start, a report before it is sent.
 */
export type CheckpointRecord =
  /** Minted when the agent first joins, and bound to its hardware, here and by the registry. */
  | { readonly kind: 'AGENT'; readonly agent: string; readonly identity?: Identity | undefined }
  /** Of a registration about to be sent. */
  | { readonly kind: 'COUNTER'; readonly counter: number }
  /** What the registry gave, and to which boot of the machine. Epoch 0 where the agent left its cluster. */
  | { readonly kind: 'REGISTERED'; readonly epoch: number; readonly boot: string }
  /** The highest leadership that was heard: what is older is refused. */
  | { readonly kind: 'FENCE'; readonly generation: number; readonly term: number }
  /** An acceptance includes the first start: restart 0. `devices`: what is its own of the machine's; absent where nothing is. */
  | {
      readonly kind: 'ACCEPTED';
      readonly framework: string;
      readonly info: TaskInfo;
      readonly epoch: number;
      readonly devices?: readonly DeviceRecord[];
    }
  | { readonly kind: 'RESTART'; readonly run: string; readonly restart: number }
  /**
   * `because` where it is not the framework that asked. `tell`: the framework hears TASK_KILLING. `since`: when the first
   * kill came.
   */
  | {
      readonly kind: 'KILL';
      readonly run: string;
      readonly graceMs: number;
      readonly because?: { readonly reason: Reason; readonly message: string } | undefined;
      readonly tell?: boolean;
      readonly since?: Moment;
    }
  /** When a start was first seen to run. Follows from its first TASK_RUNNING; written where that has been forgotten. */
  | { readonly kind: 'BEGAN'; readonly run: string; readonly restart: number; readonly at: Moment }
  /** `said` is the uuid under which an executor said it. */
  | { readonly kind: 'STATUS'; readonly run: string; readonly status: TaskStatus; readonly said?: string | undefined }
  /** Of a snapshot: what STATUS said. */
  | { readonly kind: 'SAID'; readonly run: string; readonly said: readonly string[] }
  | { readonly kind: 'ACKNOWLEDGED'; readonly run: string; readonly sequence: number }
  | { readonly kind: 'FORGOTTEN'; readonly run: string }
  /** One start of an executor: a random word, for its folder; `secret` is what it shows to be itself. */
  | {
      readonly kind: 'EXECUTOR';
      readonly framework: string;
      readonly info: ExecutorInfo;
      readonly start: string;
      readonly secret: string;
    }
  | { readonly kind: 'EXECUTOR_ENDED'; readonly framework: string; readonly executor: string; readonly start: string }
  /** Its folder is gone. */
  | {
      readonly kind: 'EXECUTOR_FORGOTTEN';
      readonly framework: string;
      readonly executor: string;
      readonly start: string;
    };

export const CHECKPOINT_FORMAT = 1;

export function encodeRecord(record: CheckpointRecord): Uint8Array {
  return encode({ f: CHECKPOINT_FORMAT, ...record }, 'cbor');
}

/** Records are our own and checksummed: what cannot be read is of a newer version. */
export function decodeRecord(bytes: Uint8Array): CheckpointRecord {
  const record = readRecord(bytes);
  assert(record !== undefined, `a checkpoint record is of format ${CHECKPOINT_FORMAT}, which this version writes`);
  return record;
}

/** Undefined where it is none of ours, or of another version. */
export function readRecord(bytes: Uint8Array): CheckpointRecord | undefined {
  const decoded = decode(bytes);
  if (decoded instanceof Fault) return undefined;
  const { f, ...record } = decoded.value as { f: number } & CheckpointRecord;
  return f === CHECKPOINT_FORMAT ? (record as CheckpointRecord) : undefined;
}
