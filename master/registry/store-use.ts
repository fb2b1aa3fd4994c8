import { Fault } from '../../protocol/faults.ts';
import { LIMITS } from '../../protocol/limits.ts';
import { isBuiltIn } from '../../protocol/scheduler.ts';
import { type Registry, type StoreRecord, storeKey } from './registry.ts';

/** What a framework keeps in the registry. */
export interface StoreUse {
  readonly keys: number;
  /** Of keys and values, in UTF-8. */
  readonly bytes: number;
}

const NOTHING: StoreUse = { keys: 0, bytes: 0 };

export function putStored(registry: Registry, record: StoreRecord): void {
  dropStored(registry, record.framework, record.key);
  registry.store.set(storeKey(record.framework, record.key), record);
  count(registry, record, 1);
}

export function dropStored(registry: Registry, framework: string, key: string): void {
  const known = registry.store.get(storeKey(framework, key));
  if (known === undefined) return;
  registry.store.delete(storeKey(framework, key));
  count(registry, known, -1);
}

const encoder = new TextEncoder();

function bytesOf(key: string, value: string): number {
  return key.length + encoder.encode(value).length;
}

function count(registry: Registry, { framework, key, value }: StoreRecord, sign: 1 | -1): void {
  const use = registry.storeUse.get(framework) ?? NOTHING;
  const after = { keys: use.keys + sign, bytes: use.bytes + sign * bytesOf(key, value) };
  if (after.keys === 0) registry.storeUse.delete(framework);
  else registry.storeUse.set(framework, after);
}

/** Each framework has its quota, and those that are not built in have one together: no other can fill the jobs' place. */
export function storeRefusal(
  registry: Registry,
  { framework, key, value }: StoreRecord,
  before: string | undefined,
): Fault | undefined {
  const own = registry.storeUse.get(framework) ?? NOTHING;
  const keys = own.keys + (before === undefined ? 1 : 0);
  const bytes = own.bytes + bytesOf(key, value) - (before === undefined ? 0 : bytesOf(key, before));
  // What takes no more room than it had is always taken.
  if (keys === own.keys && bytes <= own.bytes) return undefined;
  if (isBuiltIn(framework)) return over(framework, keys, bytes, LIMITS.storeKeysBuiltIn, LIMITS.storeBytesBuiltIn);
  const refused = over(framework, keys, bytes, LIMITS.storeKeysPerFramework, LIMITS.storeBytesPerFramework);
  if (refused !== undefined) return refused;
  let all: StoreUse = { keys: keys - own.keys, bytes: bytes - own.bytes };
  for (const [name, use] of registry.storeUse)
    if (!isBuiltIn(name)) all = { keys: all.keys + use.keys, bytes: all.bytes + use.bytes };
  return over('all frameworks together', all.keys, all.bytes, LIMITS.storeKeys, LIMITS.storeBytes);
}

function over(who: string, keys: number, bytes: number, mostKeys: number, mostBytes: number): Fault | undefined {
  const hint = 'Remove keys (value null) that are no longer needed, or keep large things elsewhere.';
  if (keys > mostKeys) return new Fault('LIMIT', `${who} would keep ${keys} keys; the limit is ${mostKeys}`, hint);
  if (bytes > mostBytes) return new Fault('LIMIT', `${who} would keep ${bytes} bytes; the limit is ${mostBytes}`, hint);
  return undefined;
}
