import { endOfContent, frameAt, HEADER_BYTES, ordinalOf } from './journal-format.ts';
import type { Storage } from './storage.ts';

/**
 * Every whole record and slice of a damaged journal, in the order of its files, whatever is missing between them: for
 * what is better known late than not at all. A file that cannot be read is left out. Rejects with a `StorageError` where
 * the folder cannot be listed.
 */
export async function salvageJournal(storage: Storage, folder: string): Promise<Uint8Array[]> {
  const names = await storage.list(folder);
  const isOurs = (kind: 'snapshot' | 'segment') => (name: string) => ordinalOf(kind, name) !== undefined;
  const found: Uint8Array[] = [];
  for (const name of [...names.filter(isOurs('snapshot')), ...names.filter(isOurs('segment'))]) {
    const bytes = await storage.read(`${folder}/${name}`).catch(() => undefined);
    if (bytes !== undefined) found.push(...wholeFrames(bytes, storage));
  }
  return found;
}

function* wholeFrames(bytes: Uint8Array, { crc32 }: Storage): Generator<Uint8Array> {
  const end = endOfContent(bytes, 0);
  for (let at = HEADER_BYTES; at < end; ) {
    const frame = frameAt(bytes, at, crc32);
    if (frame === undefined) at++;
    else {
      // A copy, so that a few records do not hold on to a whole segment.
      yield frame.payload.slice();
      at = frame.end;
    }
  }
}
