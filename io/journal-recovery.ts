import {
  decodeHeader,
  endOfContent,
  fileName,
  findLaterWrite,
  frameAt,
  HEADER_BYTES,
  JOURNAL_FORMAT,
  ordinalOf,
} from './journal-format.ts';
import { corrupt, type JournalRefusal, newer } from './journal-refusal.ts';
import { readSnapshotFile } from './snapshot-file.ts';
import type { Storage } from './storage.ts';

/** What a journal held when it was opened. */
export interface Recovered {
  /** The newest snapshot's slices; undefined where there is none. */
  readonly snapshot: Uint8Array[] | undefined;
  /** The snapshot stands for all records below this ordinal; 0 without one. */
  readonly snapshotOrdinal: number;
  /** The records from `snapshotOrdinal` on, without gaps. */
  readonly records: { readonly ordinal: number; readonly bytes: Uint8Array }[];
  /** Bytes of a last write that a crash cut short, and that were wiped; none of them was ever acknowledged. */
  readonly tornBytes: number;
}

/** What {@link examine} found; it only reads. */
export interface Findings {
  readonly recovered: Recovered;
  /** First ordinals of the segments to keep, ascending. */
  readonly segments: number[];
  /** Where the last segment's records end, and the file itself. */
  readonly end: number;
  readonly size: number;
  /** Ordinal of the next record. */
  readonly next: number;
  /** What the last whole write put into the last segment, and where. */
  readonly lastWrite: { readonly from: number; readonly bytes: Uint8Array };
  /** To be wiped before anything is appended. */
  readonly torn: { readonly path: string; readonly from: number; readonly to: number } | undefined;
  /** Files an interrupted compaction left, in the order to remove them. */
  readonly leftovers: string[];
}

export const PARTIAL_SNAPSHOT = 'partial-snapshot';

/** Reads the journal in `folder` and judges it. */
export async function examine(storage: Storage, folder: string): Promise<Findings | JournalRefusal> {
  const names = await storage.list(folder);
  const ordinals = (kind: 'segment' | 'snapshot') =>
    names.map((name) => ordinalOf(kind, name)).filter((ordinal) => ordinal !== undefined);
  const snapshots = ordinals('snapshot');
  const newest = snapshots.pop();

  const file = newest === undefined ? undefined : await newestSnapshot(storage, folder, newest);
  if (file !== undefined && 'refused' in file) return file;
  const snapshot = file?.slices;
  const snapshotOrdinal = newest ?? 0;

  const all = ordinals('segment');
  const firstKept = all.findIndex((_, index) => (all[index + 1] ?? Number.POSITIVE_INFINITY) > snapshotOrdinal);
  const segments = firstKept === -1 ? [] : all.slice(firstKept);
  const log = await readSegments(storage, folder, segments, snapshotOrdinal);
  if ('refused' in log) return log;

  const obsolete = all.slice(0, all.length - segments.length).map((first) => fileName('segment', first));
  const leftovers = [...obsolete, ...snapshots.map((ordinal) => fileName('snapshot', ordinal))];
  if (names.includes(PARTIAL_SNAPSHOT)) leftovers.push(PARTIAL_SNAPSHOT);
  const { records, torn, ...rest } = log;
  return {
    ...rest,
    recovered: { snapshot, snapshotOrdinal, records, tornBytes: torn === undefined ? 0 : torn.to - torn.from },
    segments,
    torn,
    leftovers: leftovers.map((name) => `${folder}/${name}`),
  };
}

type LogFindings = Pick<Findings, 'end' | 'size' | 'next' | 'lastWrite' | 'torn'> & Pick<Recovered, 'records'>;

async function readSegments(
  storage: Storage,
  folder: string,
  segments: readonly number[],
  from: number,
): Promise<LogFindings | JournalRefusal> {
  const lastWrite = { from: 0, bytes: new Uint8Array() };
  let found: LogFindings = { records: [], end: 0, size: 0, next: segments[0] ?? 0, lastWrite, torn: undefined };
  if (found.next > from) return corrupt(pathOf(folder, found.next), 0, `the records from ${from} on are missing`);

  for (const [index, first] of segments.entries()) {
    const path = pathOf(folder, first);
    if (first !== found.next) {
      const what = first > found.next ? `its records end at ${found.next}` : `it reaches to ${found.next}`;
      return corrupt(
        pathOf(folder, segments[index - 1] ?? first),
        found.end,
        `${what}, the next segment begins at ${first}`,
      );
    }
    const bytes = (await storage.read(path)) ?? new Uint8Array();
    const last = index === segments.length - 1;
    const segment = readSegment(bytes, path, first, last, storage);
    if ('refused' in segment) return segment;
    for (const record of segment.records) if (record.ordinal >= from) found.records.push(record);
    found = { ...segment, records: found.records };
  }
  if (found.next < from) {
    const path = pathOf(folder, segments.at(-1) ?? 0);
    return corrupt(path, found.end, `the records end at ${found.next}, the snapshot reaches to ${from}`);
  }
  return found;
}

/** Reads one segment. Only the last may end in a torn write: a new one is begun when all before it is durable. */
function readSegment(
  bytes: Uint8Array,
  path: string,
  first: number,
  last: boolean,
  storage: Storage,
): LogFindings | JournalRefusal {
  const checksum = storage.crc32;
  const records: { ordinal: number; bytes: Uint8Array }[] = [];
  let next = first;
  let end = 0;
  let from = 0;

  const header = decodeHeader('segment', bytes, checksum);
  if (header === 'damaged') {
    if (!last) return corrupt(path, 0, 'its header is damaged');
  } else {
    if (header.format > JOURNAL_FORMAT) return newer(path, header.format);
    if (header.ordinal !== first) return corrupt(path, 16, `it says that it begins at ${header.ordinal}`);
    end = HEADER_BYTES;
    for (;;) {
      const frame = frameAt(bytes, end, checksum);
      if (frame === undefined || frame.ordinal !== next % 2 ** 32) break;
      // The header goes out with the first write.
      if (frame.back === 0 && next > first) from = end;
      records.push({ ordinal: next, bytes: frame.payload });
      next++;
      end = frame.end;
    }
  }
  const lastWrite = { from, bytes: bytes.subarray(from, end) };
  const found = { records, end, size: bytes.length, next, lastWrite, torn: undefined };
  const content = last ? endOfContent(bytes, end) : end;
  if (content === end) return found;

  const later = findLaterWrite(bytes, end, next, checksum);
  if (later !== undefined)
    return corrupt(path, end, `record ${next} is damaged, and whole ones follow at byte ${later}`);
  return { ...found, torn: { path, from: end, to: content } };
}

async function newestSnapshot(
  storage: Storage,
  folder: string,
  ordinal: number,
): Promise<{ slices: Uint8Array[] } | JournalRefusal> {
  const path = `${folder}/${fileName('snapshot', ordinal)}`;
  const file = await readSnapshotFile(storage, path);
  if ('refused' in file || file.ordinal === ordinal) return file;
  return corrupt(path, 16, `it says that it reaches to ${file.ordinal}`);
}

function pathOf(folder: string, first: number): string {
  return `${folder}/${fileName('segment', first)}`;
}
