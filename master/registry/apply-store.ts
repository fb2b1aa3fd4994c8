import { Fault } from '../../protocol/faults.ts';
import type { Command } from './commands.ts';
import type { RegistryEvent } from './events.ts';
import { type Registry, storeKey } from './registry.ts';
import { dropStored, putStored, storeRefusal } from './store-use.ts';

/**
 * Compare-and-set: `version` is that of the value read before (0: there is none). Each success raises it by one.
 * A repeated request whose effect stands already (same value, version + 1) succeeds again.
 */
export function applyStore(registry: Registry, command: Extract<Command, { kind: 'STORE' }>): RegistryEvent[] {
  const { framework, key, value, version, request } = command;
  const known = registry.store.get(storeKey(framework, key));
  const current = known?.version ?? 0;
  const answer = (result: number, fault?: Fault): RegistryEvent[] => [
    { kind: 'STORED', framework, request, key, version: result, fault },
  ];
  if (current !== version) {
    const stands =
      value === null ? known === undefined : known !== undefined && known.value === value && current === version + 1;
    return stands
      ? answer(current)
      : answer(current, new Fault('CONFLICT', `key ${key} is at version ${current}, not ${version}`));
  }
  if (value === null) {
    dropStored(registry, framework, key);
    return answer(0);
  }
  const record = { framework, key, value, version: version + 1 };
  const refused = storeRefusal(registry, record, known?.value);
  if (refused !== undefined) return answer(current, refused);
  putStored(registry, record);
  return answer(version + 1);
}
