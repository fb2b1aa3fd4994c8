import { openJournal } from '../io/journal.ts';
import type { Log } from '../io/log.ts';
import type { Storage } from '../io/storage.ts';
import { decode, encode } from '../protocol/envelope.ts';
import { Fault } from '../protocol/faults.ts';

export interface LogEntry {
  kind: 'noop' | 'command';
  index: number;
  term: number;
  payload: Uint8Array;
}
export interface DurableLog {
  propose(payload: Uint8Array): void;
  readonly bytesSinceSnapshot: number;
  snapshot(slices: Iterable<Uint8Array>): Promise<void>;
  start(): void;
  close(): Promise<void>;
}
export interface LogOptions {
  storage: Storage;
  folder: string;
  id: string;
  log: Log;
  onRecovered(r: { snapshot: Uint8Array[] | undefined }): void;
  onCommitted(entries: LogEntry[]): void;
  onLeading(term: number): void;
  onFollowing(): void;
  onFatal(error: Error): void;
}
export async function openLog(o: LogOptions): Promise<DurableLog> {
  const opened = await openJournal(o.storage, o.folder, { segmentBytes: 4 * 1048576 });
  if ('refused' in opened) throw new Error(JSON.stringify(opened));
  const { journal, recovered } = opened;
  let index = 0;
  let term = 0;
  if (recovered.snapshot) {
    const [h, ...rest] = recovered.snapshot;
    const d = decode(h as Uint8Array);
    if (d instanceof Fault) throw new Error('x');
    const v = d.value as { index: number; term: number };
    index = v.index;
    term = v.term;
    o.onRecovered({ snapshot: rest });
  }
  const entries: LogEntry[] = [];
  for (const r of recovered.records) {
    const d = decode(r.bytes);
    if (d instanceof Fault) throw new Error(d.message);
    const e = d.value as LogEntry;
    entries.push(e);
    index = e.index;
    term = Math.max(term, e.term);
  }
  if (entries.length) o.onCommitted(entries);
  let batch: LogEntry[] = [];
  let applied = index;
  let ordinal = journal.next;
  const append = (kind: 'noop' | 'command', payload: Uint8Array) => {
    index++;
    const e: LogEntry = { kind, index, term, payload };
    const { durable, ordinal: at } = journal.append(encode(e, 'cbor'));
    durable.then(
      () => {
        batch.push(e);
        if (batch.length === 1)
          queueMicrotask(() => {
            const b = batch;
            batch = [];
            applied = b.at(-1)?.index ?? applied;
            ordinal = at + 1;
            o.onCommitted(b);
          });
      },
      (error: unknown) => o.onFatal(error as Error),
    );
  };
  return {
    propose: (payload) => append('command', payload),
    get bytesSinceSnapshot() {
      return journal.bytes;
    },
    snapshot: (slices) =>
      journal.compact(
        (function* () {
          yield encode({ index: applied, term }, 'cbor');
          yield* slices;
        })(),
        ordinal,
      ),
    start: () => {
      term++;
      append('noop', new Uint8Array());
      setImmediate(() => o.onLeading(term));
    },
    close: () => journal.close(),
  };
}
