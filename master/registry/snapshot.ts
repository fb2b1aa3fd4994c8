import { decode, encode } from '../../protocol/envelope.ts';
import { assert, Fault } from '../../protocol/faults.ts';
import { replaceTask } from './apply-tasks.ts';
import {
  type AgentRecord, emptyRegistry, type FinishedTask, type FrameworkRecord, type Registry, type RequestOutcome,
  storeKey, type StoreRecord, taskKey, type TaskRecord, type TokenRecord,
} from './registry.ts';

const SNAPSHOT_FORMAT = 1;
/** Records in one slice: encoding one takes well under a millisecond. */
const SLICE = 64;

type Slice =
  | { f: number; kind: 'head'; index: number; term: number; cluster: Registry['cluster'] | null }
  | { kind: 'agents'; records: readonly AgentRecord[] }
  | { kind: 'frameworks'; records: readonly FrameworkRecord[] }
  | { kind: 'tasks'; records: readonly TaskRecord[] }
  | { kind: 'finished'; records: readonly FinishedTask[] }
  | { kind: 'store'; records: readonly StoreRecord[] }
  | { kind: 'tokens'; records: readonly TokenRecord[] }
  | { kind: 'requests'; records: readonly RequestOutcome[] };

/**
 * The registry as it is at the first call of `next`, in slices that are encoded one by one: records are never
 * mutated, so the caller may let new commands apply between two slices.
 */
export function snapshotSlices(registry: Registry): Iterable<Uint8Array> {
  const head: Slice = { f: SNAPSHOT_FORMAT, kind: 'head', index: registry.index, term: registry.term, cluster: registry.cluster ?? null };
  const parts: Slice[] = [
    { kind: 'agents', records: [...registry.agents.values()] },
    { kind: 'frameworks', records: [...registry.frameworks.values()] },
    { kind: 'tasks', records: [...registry.tasks.values()] },
    { kind: 'finished', records: [...registry.finished.values()] },
    { kind: 'store', records: [...registry.store.values()] },
    { kind: 'tokens', records: [...registry.tokens.values()] },
    { kind: 'requests', records: [...registry.requests.values()] },
  ];
  return slices(head, parts);
}

function* slices(head: Slice, parts: readonly Slice[]): Generator<Uint8Array> {
  yield encode(head, 'cbor');
  for (const part of parts) {
    if (part.kind === 'head') continue;
    for (let at = 0; at < part.records.length; at += SLICE) {
      yield encode({ kind: part.kind, records: part.records.slice(at, at + SLICE) }, 'cbor');
    }
  }
}

/** The registry of a snapshot; snapshots are our own and checksummed, so what cannot be read is a newer format. */
export function registryOf(snapshot: Iterable<Uint8Array>): Registry {
  const registry = emptyRegistry();
  for (const bytes of snapshot) {
    const decoded = decode(bytes);
    assert(!(decoded instanceof Fault), 'a snapshot slice can be decoded');
    restore(registry, decoded.value as Slice);
  }
  return registry;
}

function restore(registry: Registry, slice: Slice): void {
  switch (slice.kind) {
    case 'head':
      assert(slice.f === SNAPSHOT_FORMAT, `snapshot format ${slice.f} is known (this version writes ${SNAPSHOT_FORMAT})`);
      registry.index = slice.index;
      registry.term = slice.term;
      registry.cluster = slice.cluster ?? undefined;
      return;
    case 'agents':
      for (const record of slice.records) {
        registry.agents.set(record.agent, record);
        if (record.state !== 'gone') registry.names.set(record.name, record.agent);
      }
      return;
    case 'frameworks':
      for (const record of slice.records) registry.frameworks.set(record.framework, record);
      return;
    case 'tasks':
      for (const record of slice.records) replaceTask(registry, record);
      return;
    case 'finished':
      for (const record of slice.records) registry.finished.set(taskKey(record.framework, record.task, record.attempt), record);
      return;
    case 'store':
      for (const record of slice.records) registry.store.set(storeKey(record.framework, record.key), record);
      return;
    case 'tokens':
      for (const record of slice.records) registry.tokens.set(record.token, record);
      return;
    case 'requests':
      for (const record of slice.records) registry.requests.set(record.request, record);
      return;
  }
}
