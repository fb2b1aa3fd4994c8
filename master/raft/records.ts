import { Fault } from '../../protocol/faults.ts';

/** What Raft must remember before it answers anybody (§5.1, §5.2). Term and vote are one record: never one without the other. */
export interface HardState {
  /** Rises only; 0 before the first election. */
  readonly term: number;
  /** Whom this master voted for in `term`. */
  readonly vote: string | undefined;
}

/** One entry of the log. */
export interface Entry {
  /** `noop`: what a new leader appends at once, so that all before it is committed (§5.4.2, §8). */
  readonly kind: 'noop' | 'command';
  readonly term: number;
  /** From 1, without gaps. */
  readonly index: number;
  /** A registry command, empty for a `noop`. */
  readonly payload: Uint8Array;
}

/** What the log's one stream carries, in the order in which it happened. */
export type LogRecord = { readonly hardState: HardState } | { readonly entry: Entry };

/** The last entry that a snapshot stands for, and the hard state when it was begun: its first slice. */
export interface SnapshotMeta {
  readonly index: number;
  readonly term: number;
  readonly hardState: HardState;
}

/** First byte of each record. A later format may be read by later versions only. */
const FORMAT = 1;
const KINDS = { hardState: 1, noop: 2, command: 3, snapshotMeta: 4 } as const;
const PREFIX_BYTES = 2;
/** Term and index, 8 bytes each. */
const ENTRY_BYTES = PREFIX_BYTES + 16;

/** Format (u8) · 1 (u8) · term (u64) · vote (UTF-8; empty for none). */
export function encodeHardState({ term, vote }: HardState): Uint8Array {
  return encode(KINDS.hardState, [term], new TextEncoder().encode(vote ?? ''));
}

/** Format (u8) · 2 for a no-op, 3 for a command (u8) · term (u64) · index (u64) · payload. */
export function encodeEntry({ kind, term, index, payload }: Entry): Uint8Array {
  return encode(KINDS[kind], [term, index], payload);
}

/** Format (u8) · 4 (u8) · index (u64) · term (u64) · term of the hard state (u64) · vote (UTF-8). */
export function encodeSnapshotMeta({ index, term, hardState }: SnapshotMeta): Uint8Array {
  return encode(KINDS.snapshotMeta, [index, term, hardState.term], new TextEncoder().encode(hardState.vote ?? ''));
}

/** An entry's payload is a view on `bytes`. Faults: `CORRUPT`; `UNSUPPORTED` for a record of a later version. */
export function decodeRecord(bytes: Uint8Array): LogRecord | Fault {
  const later = laterFormat(bytes);
  if (later !== undefined) return later;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const kind = bytes[1];
  if (kind === KINDS.hardState && bytes.length >= PREFIX_BYTES + 8) {
    return { hardState: { term: numberAt(view, PREFIX_BYTES), vote: voteFrom(bytes, PREFIX_BYTES + 8) } };
  }
  if ((kind === KINDS.noop || kind === KINDS.command) && bytes.length >= ENTRY_BYTES) {
    return {
      entry: {
        kind: kind === KINDS.noop ? 'noop' : 'command',
        term: numberAt(view, PREFIX_BYTES),
        index: numberAt(view, PREFIX_BYTES + 8),
        payload: bytes.subarray(ENTRY_BYTES),
      },
    };
  }
  return new Fault('CORRUPT', `A record of the log is of kind ${kind} and ${bytes.length} bytes: there is none such.`);
}

/** Faults as of {@link decodeRecord}. */
export function decodeSnapshotMeta(bytes: Uint8Array): SnapshotMeta | Fault {
  const later = laterFormat(bytes);
  if (later !== undefined) return later;
  if (bytes[1] !== KINDS.snapshotMeta || bytes.length < PREFIX_BYTES + 24) {
    return new Fault('CORRUPT', 'The snapshot does not begin with what it stands for.');
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return {
    index: numberAt(view, PREFIX_BYTES),
    term: numberAt(view, PREFIX_BYTES + 8),
    hardState: { term: numberAt(view, PREFIX_BYTES + 16), vote: voteFrom(bytes, PREFIX_BYTES + 24) },
  };
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

function voteFrom(bytes: Uint8Array, position: number): string | undefined {
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
