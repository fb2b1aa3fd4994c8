import {
  CLOSING,
  decodeHeader,
  encodeHeader,
  FRAME_BYTES,
  frameAt,
  HEADER_BYTES,
  JOURNAL_FORMAT,
  putFrame,
  RECORD_BYTES,
} from './journal-format.ts';
import { corrupt, type JournalRefusal, newer } from './journal-refusal.ts';
import type { RandomAccessFile, Storage } from './storage.ts';

/**
 * Writes a snapshot file (journal-format.ts) over whatever is at `path`, and syncs it. Its name is not durable before
 * it is renamed.
 */
export async function writeSnapshotFile(
  storage: Storage,
  path: string,
  ordinal: number,
  slices: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): Promise<void> {
  const { crc32 } = storage;
  const file = await storage.open(path);
  try {
    await file.truncate(0);
    let position = 0;
    let count = 0;
    const put = async (bytes: Uint8Array): Promise<void> => {
      await file.write(position, bytes);
      position += bytes.length;
    };
    const frame = (payload: Uint8Array, back: number): Uint8Array => {
      checkSize(payload);
      const bytes = new Uint8Array(FRAME_BYTES + payload.length);
      putFrame(bytes, 0, payload, count, back, crc32);
      return bytes;
    };
    await put(encodeHeader('snapshot', ordinal, crc32));
    for await (const slice of slices) {
      await put(frame(slice, 0));
      count++;
    }
    await put(frame(new Uint8Array(1), CLOSING));
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Reads a snapshot file whole. A file that is missing reads as a damaged one. */
export async function readSnapshotFile(
  storage: Storage,
  path: string,
): Promise<{ readonly ordinal: number; readonly slices: Uint8Array[] } | JournalRefusal> {
  const file = await storage.open(path);
  try {
    const header = decodeHeader('snapshot', await file.read(0, HEADER_BYTES), storage.crc32);
    if (header === 'damaged') return corrupt(path, 0, 'its header is damaged');
    if (header.format > JOURNAL_FORMAT) return newer(path, header.format);
    const slices = await readSlices(file, path, storage);
    return 'refused' in slices ? slices : { ordinal: header.ordinal, slices };
  } finally {
    await file.close();
  }
}

async function readSlices(
  file: RandomAccessFile,
  path: string,
  storage: Storage,
): Promise<Uint8Array[] | JournalRefusal> {
  const slices: Uint8Array[] = [];
  let position = HEADER_BYTES;
  for (;;) {
    const bytes = await file.read(position, FRAME_BYTES + lengthOf(await file.read(position, FRAME_BYTES)));
    const frame = frameAt(bytes, 0, storage.crc32);
    if (frame?.ordinal !== slices.length) return corrupt(path, position, `slice ${slices.length} is damaged`);
    if (frame.back === CLOSING) return slices;
    slices.push(frame.payload);
    position += frame.end;
  }
}

/** The payload's length as a frame's first bytes tell it, bounded; whether it is true, the checksum tells. */
function lengthOf(start: Uint8Array): number {
  if (start.length < FRAME_BYTES) return 0;
  return Math.min(new DataView(start.buffer, start.byteOffset).getUint32(4), RECORD_BYTES);
}

/** A record or a slice: what a frame may carry. */
export function checkSize(bytes: Uint8Array): void {
  if (bytes.length < 1 || bytes.length > RECORD_BYTES) {
    throw new RangeError(`broken invariant: a record has 1 to ${RECORD_BYTES} bytes, not ${bytes.length}`);
  }
}
