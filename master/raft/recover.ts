import { Fault } from '../../protocol/faults.ts';
import type { Membership } from '../../protocol/raft.ts';
import { decodeRecord, decodeSnapshotMeta, type Entry, type HardState } from './records.ts';

/** Where the log begins: the last entry that the snapshot stands for; 0 and 0 without one. */
export interface LogStart {
  readonly index: number;
  readonly term: number;
}

/** What a master remembers when it starts. */
export interface Remembered {
  readonly hardState: HardState;
  readonly start: LogStart;
  /** Who belonged to the cluster as of `start`; undefined where nothing says so. */
  readonly membership: Membership | undefined;
  /** All after `start`, without gaps. */
  readonly entries: Entry[];
  /** For each of `entries`: the ordinal of its record in the stream. */
  readonly ordinals: number[];
}

/**
 * Puts a log together from the stream's records and the first slice of the snapshot before them. An entry whose index
 * was there before replaces that one and all after it (§5.3). Faults: `CORRUPT`, `UNSUPPORTED`.
 */
export function recover(
  meta: Uint8Array | undefined,
  records: Iterable<{ readonly ordinal: number; readonly bytes: Uint8Array }>,
): Remembered | Fault {
  let start: LogStart = { index: 0, term: 0 };
  let hardState: HardState = { term: 0, vote: undefined };
  let membership: Membership | undefined;
  if (meta !== undefined) {
    const decoded = decodeSnapshotMeta(meta);
    if (decoded instanceof Fault) return decoded;
    start = { index: decoded.index, term: decoded.term };
    hardState = decoded.hardState;
    membership = decoded.membership;
  }
  const entries: Entry[] = [];
  const ordinals: number[] = [];
  for (const { ordinal, bytes } of records) {
    const record = decodeRecord(bytes);
    if (record instanceof Fault) return record;
    if ('hardState' in record) {
      // The snapshot may know a newer one than the records that follow it.
      if (record.hardState.term >= hardState.term) hardState = record.hardState;
      continue;
    }
    if ('founders' in record) {
      if (start.index === 0) membership = record.founders;
      continue;
    }
    const { entry } = record;
    const place = entry.index - start.index - 1;
    const before = place === 0 ? start.term : entries[place - 1]?.term;
    if (place < 0 || before === undefined)
      return broken(`entry ${entry.index} does not follow ${start.index + entries.length}`);
    if (entry.term < before) return broken(`entry ${entry.index} has term ${entry.term}, the one before it ${before}`);
    entries.length = place;
    ordinals.length = place;
    entries.push(entry);
    ordinals.push(ordinal);
  }
  const lastTerm = entries.at(-1)?.term ?? start.term;
  if (lastTerm > hardState.term) return broken(`its last term is ${lastTerm}, the hard state's ${hardState.term}`);
  return { hardState, start, membership, entries, ordinals };
}

function broken(what: string): Fault {
  return new Fault('CORRUPT', `The log is inconsistent: ${what}.`);
}
