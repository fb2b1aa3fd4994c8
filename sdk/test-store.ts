import { Fault } from '../protocol/faults.ts';
import { LIMITS } from '../protocol/limits.ts';
import type { StoreEntry } from './store-requests.ts';

/** A framework's store as the masters keep it: compare-and-set, each request once. */
export class TestStore {
  readonly #entries = new Map<string, StoreEntry>();
  readonly #answered = new Map<string, number | Fault>();
  #version = 0;

  write(request: string, key: string, value: string | null, version: number): number | Fault {
    const outcome = this.#answered.get(request) ?? this.#write(key, value, version);
    this.#answered.set(request, outcome);
    return outcome;
  }

  read(prefix: string): StoreEntry[] {
    return [...this.#entries.values()].filter(({ key }) => key.startsWith(prefix));
  }

  #write(key: string, value: string | null, version: number): number | Fault {
    const known = this.#entries.get(key)?.version ?? 0;
    if (known !== version) return new Fault('CONFLICT', `${key} has version ${known}, not ${version}`);
    if (value !== null && value.length > LIMITS.storeValueBytes) return new Fault('TOO_LARGE');
    if (value === null) this.#entries.delete(key);
    else this.#entries.set(key, { key, value, version: ++this.#version });
    return value === null ? 0 : this.#version;
  }
}
