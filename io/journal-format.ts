/**
 * Bytes of a journal's files. Numbers are big-endian.
 *
 * Segment `<first ordinal, 16 digits>.segment`: header, then frames one after another, then zeros.
 * Snapshot `<ordinal it reaches to, 16 digits>.snapshot`: header, a frame for each slice, a closing frame.
 *
 * Header (24): magic (8) · format (u32) · crc (u32) of all else in it · ordinal (u64).
 * Frame (16 + payload): crc (u32) of all that follows · length (u32, from 1) · ordinal (u32, its low bits) · back (u32)
 * · payload. `back` is how many records of the same write precede this one: a write goes out only after the write
 * before it was synced, so it tells a torn write from a damaged disk (see {@link findLaterWrite}).
 */
export const JOURNAL_FORMAT = 1;
/** Largest record, and largest slice of a snapshot. */
export const RECORD_BYTES = 1_048_576;
export const HEADER_BYTES = 24;
export const FRAME_BYTES = 16;

/** `back` of the frame that closes a snapshot. */
export const CLOSING = 0xffff_ffff;

/** CRC-32 of `bytes`, continued from `seed`. */
export type Checksum = (bytes: Uint8Array, seed?: number) => number;

const MAGIC = { segment: 'MESQLOG\n', snapshot: 'MESQSNP\n' } as const;
type FileKind = keyof typeof MAGIC;

export function fileName(kind: FileKind, ordinal: number): string {
  return `${String(ordinal).padStart(16, '0')}.${kind}`;
}

/** The ordinal in a file's name, or undefined for a file of another kind. */
export function ordinalOf(kind: FileKind, name: string): number | undefined {
  const [digits, ending, ...rest] = name.split('.');
  if (digits === undefined || ending !== kind || rest.length > 0 || !/^\d{16}$/.test(digits)) return undefined;
  return Number(digits);
}

export function encodeHeader(kind: FileKind, ordinal: number, checksum: Checksum): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES);
  const view = viewOf(bytes);
  bytes.set(new TextEncoder().encode(MAGIC[kind]));
  view.setUint32(8, JOURNAL_FORMAT);
  view.setBigUint64(16, BigInt(ordinal));
  view.setUint32(12, headerChecksum(bytes, checksum));
  return bytes;
}

/** `damaged` also where the bytes are too few. The header has this shape in every format to come. */
export function decodeHeader(
  kind: FileKind,
  bytes: Uint8Array,
  checksum: Checksum,
): { format: number; ordinal: number } | 'damaged' {
  if (bytes.length < HEADER_BYTES) return 'damaged';
  const header = bytes.subarray(0, HEADER_BYTES);
  const view = viewOf(header);
  if (new TextDecoder().decode(header.subarray(0, 8)) !== MAGIC[kind]) return 'damaged';
  if (view.getUint32(12) !== headerChecksum(header, checksum)) return 'damaged';
  return { format: view.getUint32(8), ordinal: Number(view.getBigUint64(16)) };
}

function headerChecksum(header: Uint8Array, checksum: Checksum): number {
  return checksum(header.subarray(16), checksum(header.subarray(0, 12)));
}

/** Writes one frame into `target` at `position`; returns the position after it. */
export function putFrame(
  target: Uint8Array,
  position: number,
  payload: Uint8Array,
  ordinal: number,
  back: number,
  checksum: Checksum,
): number {
  const view = viewOf(target);
  const end = position + FRAME_BYTES + payload.length;
  view.setUint32(position + 4, payload.length);
  view.setUint32(position + 8, ordinal % 2 ** 32);
  view.setUint32(position + 12, back);
  target.set(payload, position + FRAME_BYTES);
  view.setUint32(position, checksum(target.subarray(position + 4, end)));
  return end;
}

export interface Frame {
  /** Low 32 bits. */
  readonly ordinal: number;
  readonly back: number;
  readonly payload: Uint8Array;
  /** Position after it. */
  readonly end: number;
}

/** The frame at `position`, or undefined where there is none that is whole. */
export function frameAt(bytes: Uint8Array, position: number, checksum: Checksum): Frame | undefined {
  const length = lengthAt(viewOf(bytes), position);
  if (length === undefined) return undefined;
  const view = viewOf(bytes);
  const end = position + FRAME_BYTES + length;
  if (view.getUint32(position) !== checksum(bytes.subarray(position + 4, end))) return undefined;
  return {
    ordinal: view.getUint32(position + 8),
    back: view.getUint32(position + 12),
    payload: bytes.subarray(position + FRAME_BYTES, end),
    end,
  };
}

function lengthAt(view: DataView, position: number): number | undefined {
  if (position + FRAME_BYTES > view.byteLength) return undefined;
  const length = view.getUint32(position + 4);
  const fits = length >= 1 && length <= RECORD_BYTES && position + FRAME_BYTES + length <= view.byteLength;
  return fits ? length : undefined;
}

/**
 * Where, from `position` on, a whole frame begins that belongs to a *later* write than the record `missing`.
 *
 * A crash may keep any sectors of the last write, so whole frames of that same write after a broken one are no
 * surprise: none of it was ever acknowledged. But a later write went out only once `missing` was durable. To find one
 * means that the disk lost what it had promised.
 */
export function findLaterWrite(
  bytes: Uint8Array,
  position: number,
  missing: number,
  checksum: Checksum,
): number | undefined {
  const view = viewOf(bytes);
  const most = bytes.length / (FRAME_BYTES + 1);
  for (let at = position; at + FRAME_BYTES < bytes.length; at++) {
    // Cheap tests first: this looks at every byte of up to a whole segment.
    if (lengthAt(view, at) === undefined) continue;
    const ahead = (view.getUint32(at + 8) - missing) >>> 0;
    if (ahead === 0 || ahead > most || view.getUint32(at + 12) >= ahead) continue;
    if (frameAt(bytes, at, checksum) !== undefined) return at;
  }
  return undefined;
}

/** Position after the last byte that is not zero, at least `from`. */
export function endOfContent(bytes: Uint8Array, from: number): number {
  let end = bytes.length;
  while (end > from && bytes[end - 1] === 0) end--;
  return end;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
