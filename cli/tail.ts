import { Fault } from '../protocol/faults.ts';
import type { Client, ReadOutputOptions } from '../sdk/index.ts';

/** What is read from the end to find the last lines: more than this is not shown, however long they are. */
const MOST_BYTES = 1_048_576;
/** A first guess at the length of a line: one read is enough for most. */
const LINE_BYTES = 256;
const NEWLINE = 10;

export interface Tail {
  /** Absolute offset behind `bytes`. */
  readonly from: number;
  readonly bytes: Uint8Array;
}

/** The last `lines` lines of a stream, as far as there are so many. */
export async function tailOf(
  client: Client,
  source: Omit<ReadOutputOptions, 'from' | 'follow'>,
  lines: number,
): Promise<Tail | Fault> {
  for (let size = Math.min(MOST_BYTES, Math.max(4_096, lines * LINE_BYTES)); ; size = Math.min(MOST_BYTES, size * 8)) {
    const read = await readEnd(client, source, size);
    if (read instanceof Fault) return read;
    const { bytes, from } = read;
    const start = startOfLines(bytes, lines);
    // The whole stream, or all that we are ready to read: there is no more to find.
    if (start > 0 || bytes.length < size || size === MOST_BYTES) return { from, bytes: bytes.subarray(start) };
  }
}

async function readEnd(
  client: Client,
  source: Omit<ReadOutputOptions, 'from' | 'follow'>,
  size: number,
): Promise<Tail | Fault> {
  const pieces: Uint8Array[] = [];
  let from = 0;
  for await (const piece of client.readOutput({ ...source, from: -size })) {
    if (piece instanceof Fault) return piece;
    pieces.push(piece.bytes);
    from = piece.offset + piece.bytes.length;
    if (piece.end) break;
  }
  const bytes = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return { from, bytes };
}

/** Where the last `lines` lines begin; a line end at the very end closes the last line, and begins none. */
export function startOfLines(bytes: Uint8Array, lines: number): number {
  if (lines === 0) return bytes.length;
  let left = lines;
  for (let at = bytes.length - 2; at >= 0; at--) {
    if (bytes[at] === NEWLINE && --left === 0) return at + 1;
  }
  return 0;
}
