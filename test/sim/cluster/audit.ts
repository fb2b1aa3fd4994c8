import { crc32 } from 'node:zlib';
import type { TaskStart } from '../../../io/launcher.ts';
import type { Entry } from '../../../master/raft/records.ts';
import type { RaftMessage } from '../../../master/raft/state.ts';
import type { Registry } from '../../../master/registry/registry.ts';
import { snapshotSlices } from '../../../master/registry/snapshot.ts';

/** The registries of all masters are compared whenever they have applied so many entries more. */
const COMPARED_EVERY = 100;

/** What a machine can bear, and what it bears. */
interface Load {
  readonly cpus: number;
  used: number;
}

/**
 * Sees everything that may not happen, at the moment at which it does. Masters of different generations (a restored
 * backup) share nothing but the tasks.
 */
export class Audit {
  readonly violations: string[] = [];
  /** Entries applied, elections won, starts of tasks, comparisons of registries: that a run was worth it. */
  readonly tally = { applied: 0, elections: 0, starts: 0, compared: 0 };
  readonly #leaders = new Map<string, string>();
  readonly #sent = new Map<string, string>();
  #committed = new Map<number, string>();
  #digests = new Map<number, { readonly master: string; readonly sum: number }>();
  readonly #applied = new Map<string, number>();
  readonly #registries = new Map<string, Registry>();
  readonly #starts = new Map<string, string>();
  readonly #loads = new Map<string, Load>();
  #latest = { index: 0, term: 0 };

  /** Index of the last entry that any master has applied. */
  get latestIndex(): number {
    return this.#latest.index;
  }

  appliedIndex(master: string): number {
    return this.#applied.get(master) ?? 0;
  }

  violated(what: string): void {
    this.violations.push(what);
  }

  /** A backup was restored: what was committed after it never was. */
  began(): void {
    this.#committed = new Map();
    this.#digests = new Map();
    this.#applied.clear();
    this.#leaders.clear();
    this.#sent.clear();
    this.#latest = { index: 0, term: 0 };
  }

  /** A process that starts applies its log anew. */
  restarted(master: string): void {
    this.#applied.delete(master);
  }

  /** A message between masters: election safety (§5.2) and log matching (§5.3), as they show on the wire. */
  heard(message: RaftMessage): void {
    const { type, from, term, cluster = '' } = message;
    if (type !== 'APPEND' && type !== 'HEARTBEAT' && type !== 'SNAPSHOT') return;
    const key = `${cluster}/${term}`;
    const known = this.#leaders.get(key);
    if (known === undefined) {
      this.#leaders.set(key, from);
      this.tally.elections++;
    } else if (known !== from) this.violated(`election safety: ${known} and ${from} lead term ${term}`);
    if (type !== 'APPEND') return;
    let before = message.logTerm;
    for (const [at, entry] of message.entries.entries()) {
      const place = `${cluster}/${message.index + 1 + at}/${entry.term}`;
      const content = `${before} ${entry.kind} ${crc32(entry.payload)}`;
      const other = this.#sent.get(place);
      if (other === undefined) this.#sent.set(place, content);
      else if (other !== content) this.violated(`log matching: ${from} sends another entry ${place}`);
      before = entry.term;
    }
  }

  /** State-machine safety (§5.4.3), no gaps, and registries that are the same. */
  applied(master: string, { index, term, kind, payload }: Entry, registry: Registry): void {
    this.tally.applied++;
    const before = this.#applied.get(master);
    if (before !== undefined && index <= before) this.violated(`${master} applies ${index} after ${before}`);
    this.#applied.set(master, index);
    this.#registries.set(master, registry);
    const content = `${term} ${kind} ${crc32(payload)}`;
    const known = this.#committed.get(index);
    if (known === undefined) this.#committed.set(index, content);
    else if (known !== content)
      this.violated(`state machine safety: ${master} applies another entry ${index} (${content}, not ${known})`);
    if (index > this.#latest.index) this.#latest = { index, term };
    if (index % COMPARED_EVERY === 0) this.#compare(master, index, registry);
  }

  /** Leader completeness (§5.4): whoever leads has applied all that was committed in earlier terms. */
  leads(master: string, term: number): void {
    const { index, term: latest } = this.#latest;
    if (latest < term && this.appliedIndex(master) < index)
      this.violated(`leader completeness: ${master} leads term ${term} without entry ${index} of term ${latest}`);
  }

  /** What a master has now, once all have applied the same. */
  compareLatest(master: string): void {
    const registry = this.#registries.get(master);
    if (registry !== undefined) this.#compare(master, this.appliedIndex(master), registry);
  }

  #compare(master: string, index: number, registry: Registry): void {
    let sum = 0;
    for (const slice of snapshotSlices(registry)) sum = crc32(slice, sum);
    const other = this.#digests.get(index);
    if (other === undefined) this.#digests.set(index, { master, sum });
    else if (other.sum !== sum) this.violated(`the registries of ${other.master} and ${master} differ at ${index}`);
    else this.tally.compared++;
  }

  machine(name: string, cpus: number): void {
    this.#loads.set(name, { cpus, used: 0 });
  }

  /** One start for each (task, attempt, restart), and never more than the machine has. */
  started(machine: string, { environment }: TaskStart, cpus: number): void {
    this.tally.starts++;
    const run = ['MESQ_FRAMEWORK', 'MESQ_TASK_ID', 'MESQ_ATTEMPT', 'MESQ_RESTART'].map((name) => environment[name]);
    const key = run.join('/');
    const other = this.#starts.get(key);
    if (other !== undefined) this.violated(`started twice: ${key} on ${other} and ${machine}`);
    this.#starts.set(key, machine);
    const load = this.#loads.get(machine);
    if (load === undefined) return;
    load.used += cpus;
    if (load.used > load.cpus) this.violated(`over capacity: ${load.used} of ${load.cpus} run on ${machine}`);
  }

  ended(machine: string, cpus: number): void {
    const load = this.#loads.get(machine);
    if (load !== undefined) load.used -= cpus;
  }
}
