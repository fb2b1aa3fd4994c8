import { Fault } from '../../protocol/faults.ts';
import type { Membership } from '../../protocol/raft.ts';
import { decodeMembership, encodeMembership } from './membership-entry.ts';

/** What Raft must remember before it answers anybody (§5.1, §5.2). Term and vote are one record: never one without the other. */
export interface HardState {
  /** Rises only; 0 before the first election. */
  readonly term: number;
  /** Whom this master voted for in `term`. */
  readonly vote: string | undefined;
  /** This master has lost its log, and may neither vote nor stand for election until a leader has brought it up to date. */
  readonly rejoining?: boolean | undefined;
}

/** One entry of the log. */
export interface Entry {
  /**
   * `noop`: what a new leader appends at once, so that all before it is committed (§5.4.2, §8). `membership`: who
   * belongs to the cluster from here on.
   */
  readonly kind: 'noop' | 'command' | 'membership';
  readonly term: number;
  /** From 1, without gaps. */
  readonly index: number;
  /** A registry command, empty for a `noop`. */
  readonly payload: Uint8Array;
}

/** What the log's one stream carries, in the order in which it happened. */
export type LogRecord =
  | { readonly hardState: HardState }
  | { readonly entry: Entry }
  /** Who founded the cluster: in force until an entry changes it. */
  | { readonly founders: Membership };

/** The last entry that a snapshot stands for, and the hard state when it was begun: its first slice. */
export interface SnapshotMeta {
  readonly index: number;
  readonly term: number;
  readonly hardState: HardState;
  /** Undefined where a version wrote it that knew one master only. */
  readonly membership: Membership | undefined;
}

/** First byte of each record. A later format may be read by later versions only. */
const FORMAT = 1;
const KINDS = {
  hardState: 1,
  noop: 2,
  command: 3,
  /** Of a version that knew one master only. */
  lonelySnapshotMeta: 4,
  membership: 5,
  rejoiningHardState: 6,
  founders: 7,
  snapshotMeta: 8,
} as const;
const ENTRY_KINDS: Readonly<Record<number, Entry['kind']>> = {
  [KINDS.noop]: 'noop',
  [KINDS.command]: 'command',
  [KINDS.membership]: 'membership',
};
const PREFIX_BYTES = 2;
/** Term and index, 8 bytes each. */
const ENTRY_BYTES = PREFIX_BYTES + 16;

/** Format (u8) · 1, or 6 for one that rejoins (u8) · term (u64) · vote (UTF-8; empty for none). */
export function encodeHardState({ term, vote, rejoining }: HardState): Uint8Array {
  const kind = rejoining === true ? KINDS.rejoiningHardState : KINDS.hardState;
  return encode(kind, [term], new TextEncoder().encode(vote ?? ''));
}

/** Format (u8) · 2 for a no-op, 3 for a command, 5 for a membership (u8) · term (u64) · index (u64) · payload. */
export function encodeEntry({ kind, term, index, payload }: Entry): Uint8Array {
  return encode(KINDS[kind], [term, index], payload);
}

/** Format (u8) · 7 (u8) · CBOR of the membership. */
export function encodeFounders(founders: Membership): Uint8Array {
  return encode(KINDS.founders, [], encodeMembership(founders));
}

/**
 * A crash may leave a beginning of what is written here. Of one that rejoins, that much must remain; of one that votes
 * for the first time, who the founders are, or it would take itself for a cluster of its own.
 */
export function encodeBeginning(hardState: HardState | undefined, founders: Membership | undefined): Uint8Array[] {
  const state = hardState === undefined ? [] : [encodeHardState(hardState)];
  const members = founders === undefined ? [] : [encodeFounders(founders)];
  return hardState?.rejoining === true ? [...state, ...members] : [...members, ...state];
}

/**
 * Format (u8) · 8 (u8) · index (u64) · term (u64) · term of the hard state (u64) · 1 if it rejoins (u64) · bytes of the
 * vote (u64) · vote (UTF-8) · CBOR of the membership.
 */
export function encodeSnapshotMeta({ index, term, hardState, membership }: SnapshotMeta): Uint8Array {
  const vote = new TextEncoder().encode(hardState.vote ?? '');
  const members = membership === undefined ? new Uint8Array() : encodeMembership(membership);
  const rest = new Uint8Array(vote.length + members.length);
  rest.set(vote);
  rest.set(members, vote.length);
  return encode(
    KINDS.snapshotMeta,
    [index, term, hardState.term, hardState.rejoining === true ? 1 : 0, vote.length],
    rest,
  );
}

/** An entry's payload is a view on `bytes`. Faults: `CORRUPT`; `UNSUPPORTED` for a record of a later version. */
export function decodeRecord(bytes: Uint8Array): LogRecord | Fault {
  const later = laterFormat(bytes);
  if (later !== undefined) return later;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const kind = bytes[1] ?? 0;
  const entryKind = ENTRY_KINDS[kind];
  if ((kind === KINDS.hardState || kind === KINDS.rejoiningHardState) && bytes.length >= PREFIX_BYTES + 8) {
    const rejoining = kind === KINDS.rejoiningHardState ? { rejoining: true } : {};
    return { hardState: { term: numberAt(view, PREFIX_BYTES), vote: textFrom(bytes, PREFIX_BYTES + 8), ...rejoining } };
  }
  if (entryKind !== undefined && bytes.length >= ENTRY_BYTES) {
    const payload = bytes.subarray(ENTRY_BYTES);
    const entry = {
      kind: entryKind,
      term: numberAt(view, PREFIX_BYTES),
      index: numberAt(view, PREFIX_BYTES + 8),
      payload,
    };
    if (entryKind !== 'membership') return { entry };
    const membership = decodeMembership(payload);
    return membership instanceof Fault
      ? corrupt(`a membership that cannot be read (${membership.message})`)
      : { entry };
  }
  if (kind === KINDS.founders) {
    const founders = decodeMembership(bytes.subarray(PREFIX_BYTES));
    return founders instanceof Fault ? corrupt(`founders that cannot be read (${founders.message})`) : { founders };
  }
  return corrupt(`a record of kind ${bytes[1]} and ${bytes.length} bytes: there is none such`);
}

/** Faults as of {@link decodeRecord}. */
export function decodeSnapshotMeta(bytes: Uint8Array): SnapshotMeta | Fault {
  const later = laterFormat(bytes);
  if (later !== undefined) return later;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const at = (place: number): number => numberAt(view, PREFIX_BYTES + 8 * place);
  if (bytes[1] === KINDS.lonelySnapshotMeta && bytes.length >= PREFIX_BYTES + 24) {
    const vote = textFrom(bytes, PREFIX_BYTES + 24);
    return { index: at(0), term: at(1), hardState: { term: at(2), vote }, membership: undefined };
  }
  const start = PREFIX_BYTES + 40;
  const end = bytes[1] === KINDS.snapshotMeta && bytes.length >= start ? start + at(4) : Number.POSITIVE_INFINITY;
  if (end > bytes.length) return corrupt('a snapshot that does not begin with what it stands for');
  const vote = textFrom(bytes.subarray(0, end), start);
  const hardState: HardState = { term: at(2), vote, ...(at(3) === 1 ? { rejoining: true } : {}) };
  const meta = { index: at(0), term: at(1), hardState };
  if (end === bytes.length) return { ...meta, membership: undefined };
  const membership = decodeMembership(bytes.subarray(end));
  return membership instanceof Fault
    ? corrupt(`a snapshot whose membership cannot be read (${membership.message})`)
    : { ...meta, membership };
}

function corrupt(what: string): Fault {
  return new Fault('CORRUPT', `The log has ${what}.`);
}

function encode(kind: number, numbers: readonly number[], rest: Uint8Array): Uint8Array {
  const start = PREFIX_BYTES + 8 * numbers.length;
  const bytes = new Uint8Array(start + rest.length);
  bytes[0] = FORMAT;
  bytes[1] = kind;
  const view = new DataView(bytes.buffer);
  for (const [place, number] of numbers.entries()) view.setBigUint64(PREFIX_BYTES + 8 * place, BigInt(number));
  bytes.set(rest, start);
  return bytes;
}

function numberAt(view: DataView, position: number): number {
  return Number(view.getBigUint64(position));
}

function textFrom(bytes: Uint8Array, position: number): string | undefined {
  return position === bytes.length ? undefined : new TextDecoder().decode(bytes.subarray(position));
}

function laterFormat(bytes: Uint8Array): Fault | undefined {
  const format = bytes[0] ?? 0;
  if (format <= FORMAT) return undefined;
  return new Fault(
    'UNSUPPORTED',
    `The log has records of format ${format}; this version reads up to ${FORMAT}.`,
    'Start the later version again that wrote them.',
  );
}
