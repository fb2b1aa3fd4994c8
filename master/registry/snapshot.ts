import { decode, encode } from '../../protocol/envelope.ts';
import { assert, Fault } from '../../protocol/faults.ts';
import { LIMITS } from '../../protocol/limits.ts';
import { replaceTask } from './apply-tasks.ts';
import {
  type AgentRecord,
  emptyRegistry,
  type FinishedTask,
  type FrameworkRecord,
  type OperationRecord,
  operationKey,
  type Registry,
  type RequestOutcome,
  type RoleRecord,
  type StoreRecord,
  type TaskRecord,
  type TokenRecord,
  taskKey,
} from './registry.ts';
import { putStored } from './store-use.ts';

const SNAPSHOT_FORMAT = 1;
/** Records and bytes after which a slice ends: encoding one takes well under a millisecond. */
const SLICE_RECORDS = 64;
const SLICE_BYTES = 65_536;

/** The first slice: how the rest is written, and of when it is. */
export type Head = { f: number; kind: 'head'; index: number; term: number; cluster: Registry['cluster'] | null };

/** `records`: each encoded by itself on the disk, so that the size of a slice is known before it is too long. */
type RecordsSlice =
  | { kind: 'agents'; records: readonly AgentRecord[] }
  | { kind: 'frameworks'; records: readonly FrameworkRecord[] }
  | { kind: 'tasks'; records: readonly TaskRecord[] }
  | { kind: 'finished'; records: readonly PackedTask[] }
  | { kind: 'store'; records: readonly StoreRecord[] }
  | { kind: 'roles'; records: readonly RoleRecord[] }
  | { kind: 'operations'; records: readonly OperationRecord[] }
  | { kind: 'tokens'; records: readonly TokenRecord[] }
  | { kind: 'requests'; records: readonly RequestOutcome[] };

/** Ten thousand of them are kept: without the names of their fields. */
type PackedTask = readonly [
  framework: string,
  task: string,
  attempt: number,
  restart: number,
  agent: string,
  state: FinishedTask['state'],
  reason: FinishedTask['reason'],
  message: string | undefined,
  exitCode: number | undefined,
  stdout: number,
  stderr: number,
  createdMs: number,
  startedMs: number | undefined,
  finishedMs: number,
];

function packed(ended: FinishedTask): PackedTask {
  const { framework, task, attempt, restart, agent, state, reason, message, exitCode } = ended;
  const { stdout, stderr, createdMs, startedMs, finishedMs } = ended;
  return [
    framework,
    task,
    attempt,
    restart,
    agent,
    state,
    reason,
    message,
    exitCode,
    stdout,
    stderr,
    createdMs,
    startedMs,
    finishedMs,
  ];
}

function unpacked(ended: PackedTask): FinishedTask {
  const [framework, task, attempt, restart, agent, state, reason, message, exitCode, ...rest] = ended;
  const [stdout, stderr, createdMs, startedMs, finishedMs] = rest;
  return {
    framework,
    task,
    attempt,
    restart,
    agent,
    state,
    reason,
    message,
    exitCode,
    stdout,
    stderr,
    createdMs,
    startedMs,
    finishedMs,
  };
}

/**
 * The registry as it is at the first call of `next`, in slices that are encoded one by one: records are never
 * mutated, so the caller may let new commands apply between two slices.
 */
export function snapshotSlices(registry: Registry): Iterable<Uint8Array> {
  const head: Head = {
    f: SNAPSHOT_FORMAT,
    kind: 'head',
    index: registry.index,
    term: registry.term,
    cluster: registry.cluster ?? null,
  };
  const parts: RecordsSlice[] = [
    { kind: 'agents', records: [...registry.agents.values()] },
    { kind: 'frameworks', records: [...registry.frameworks.values()] },
    { kind: 'tasks', records: [...registry.tasks.values()] },
    { kind: 'finished', records: [...registry.finished.values()].map(packed) },
    { kind: 'store', records: [...registry.store.values()] },
    { kind: 'roles', records: [...registry.roles.values()] },
    { kind: 'operations', records: [...registry.operations.values()] },
    { kind: 'tokens', records: [...registry.tokens.values()] },
    { kind: 'requests', records: [...registry.requests.values()] },
  ];
  return slices(head, parts);
}

function* slices(head: Head, parts: readonly RecordsSlice[]): Generator<Uint8Array> {
  yield encode(head, 'cbor');
  for (const { kind, records } of parts) {
    let slice: Uint8Array[] = [];
    let bytes = 0;
    for (const record of records) {
      const encoded = encode(record, 'cbor');
      if (slice.length > 0 && (slice.length === SLICE_RECORDS || bytes + encoded.length > SLICE_BYTES)) {
        yield encode({ kind, records: slice }, 'cbor');
        slice = [];
        bytes = 0;
      }
      slice.push(encoded);
      bytes += encoded.length;
    }
    if (slice.length > 0) yield encode({ kind, records: slice }, 'cbor');
  }
}

/** The registry of a snapshot; snapshots are our own and checksummed, so what cannot be read is a newer format. */
export function registryOf(snapshot: Iterable<Uint8Array>): Registry {
  const registry = emptyRegistry();
  for (const bytes of snapshot) {
    const slice = decoded(bytes) as Head | { kind: RecordsSlice['kind']; records: Uint8Array[] };
    if (slice.kind === 'head') restore(registry, slice);
    else restore(registry, { kind: slice.kind, records: slice.records.map(decoded) } as RecordsSlice);
  }
  return registry;
}

/** What the first slice of a file says that may be no snapshot at all. Faults: BAD_SHAPE, UNSUPPORTED. */
export function headOf(slice: Uint8Array): { readonly cluster: Registry['cluster'] } | Fault {
  const head = decode(slice, LIMITS.sliceBytes);
  const { f, kind, cluster } = (head instanceof Fault ? {} : (head.value ?? {})) as Partial<Head>;
  if (kind !== 'head' || f === undefined) return new Fault('BAD_SHAPE', 'it does not begin as a registry does');
  if (f > SNAPSHOT_FORMAT)
    return new Fault('UNSUPPORTED', `it has format ${f}, this version reads up to ${SNAPSHOT_FORMAT}`);
  return { cluster: cluster ?? undefined };
}

function decoded(bytes: Uint8Array): unknown {
  const result = decode(bytes, LIMITS.sliceBytes);
  assert(!(result instanceof Fault), 'a snapshot can be decoded');
  return result.value;
}

function restore(registry: Registry, slice: Head | RecordsSlice): void {
  switch (slice.kind) {
    case 'head':
      assert(
        slice.f === SNAPSHOT_FORMAT,
        `snapshot format ${slice.f} is known (this version writes ${SNAPSHOT_FORMAT})`,
      );
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
      for (const record of slice.records.map(unpacked))
        registry.finished.set(taskKey(record.framework, record.task, record.attempt), record);
      return;
    case 'store':
      for (const record of slice.records) putStored(registry, record);
      return;
    case 'roles':
      for (const record of slice.records) registry.roles.set(record.role, record);
      return;
    case 'operations':
      for (const record of slice.records)
        registry.operations.set(operationKey(record.framework, record.operation), record);
      return;
    case 'tokens':
      for (const record of slice.records) registry.tokens.set(record.token, record);
      return;
    case 'requests':
      for (const record of slice.records) registry.requests.set(record.request, record);
      return;
  }
}
