import { assert } from '../../protocol/faults.ts';
import type { Membership } from '../../protocol/raft.ts';
import { membershipOf } from './membership-entry.ts';
import type { Entry } from './records.ts';
import type { LogStart } from './recover.ts';

/** Who belonged to the cluster from an index on. */
interface Standing {
  readonly index: number;
  readonly membership: Membership;
}

/** The end of the log in memory: all after `start`, which a snapshot stands for. */
export class RaftLog {
  #start: LogStart;
  #entries: Entry[];
  /** The membership as of `start`, then that of each entry that changes it: the last is in force (thesis §4.1). */
  #standings: Standing[];

  constructor(start: LogStart, entries: readonly Entry[], membership: Membership) {
    this.#start = start;
    this.#entries = [];
    this.#standings = [{ index: start.index, membership }];
    this.append(entries);
  }

  get start(): LogStart {
    return this.#start;
  }

  get lastIndex(): number {
    return this.#start.index + this.#entries.length;
  }

  get lastTerm(): number {
    return this.#entries.at(-1)?.term ?? this.#start.term;
  }

  /** In force from `membershipIndex` on, committed or not. */
  get membership(): Membership {
    const last = this.#standings.at(-1);
    assert(last !== undefined, 'a log has members');
    return last.membership;
  }

  get membershipIndex(): number {
    return this.#standings.at(-1)?.index ?? 0;
  }

  /** The membership as of `index`: what a snapshot there must carry. */
  membershipAt(index: number): Membership {
    const standing = this.#standings.findLast((candidate) => candidate.index <= index) ?? this.#standings[0];
    assert(standing !== undefined, 'a log has members');
    return standing.membership;
  }

  /** Undefined where the log does not reach, or no longer. */
  termAt(index: number): number | undefined {
    if (index === this.#start.index) return this.#start.term;
    return this.#entries[index - this.#start.index - 1]?.term;
  }

  /** Entries from `from` to `to`, both included. */
  entries(from: number, to: number): Entry[] {
    return this.#entries.slice(from - this.#start.index - 1, to - this.#start.index);
  }

  /** Entries from `from` on, at least one if there is one, and at most `count` and `bytes` of payload. */
  some(from: number, count: number, bytes: number): Entry[] {
    const found: Entry[] = [];
    let left = bytes;
    for (let at = from - this.#start.index - 1; at < this.#entries.length && found.length < count; at++) {
      const entry = this.#entries[at];
      if (entry === undefined) break;
      left -= entry.payload.length;
      if (left < 0 && found.length > 0) break;
      found.push(entry);
    }
    return found;
  }

  /** They follow the last entry. */
  append(entries: readonly Entry[]): void {
    for (const entry of entries) {
      assert(entry.index === this.lastIndex + 1, `entry ${entry.index} follows ${this.lastIndex}`);
      this.#entries.push(entry);
      const membership = entry.kind === 'membership' ? membershipOf(entry.payload) : undefined;
      if (membership !== undefined) this.#standings.push({ index: entry.index, membership });
    }
  }

  /** Drops `index` and all after it, and what they changed of the membership. */
  truncate(index: number): void {
    this.#entries.length = Math.min(this.#entries.length, Math.max(0, index - this.#start.index - 1));
    while (this.#standings.length > 1 && this.membershipIndex >= index) this.#standings.pop();
  }

  /** Lets go of the entries up to `index`. */
  forget(index: number): void {
    const term = this.termAt(index);
    if (index <= this.#start.index || term === undefined) return;
    this.#entries.splice(0, index - this.#start.index);
    this.#start = { index, term };
    while (this.#standings[1] !== undefined && this.#standings[1].index <= index) this.#standings.shift();
  }

  /** Nothing remains but a snapshot that stands for all up to `start`. */
  restore(start: LogStart, membership: Membership): void {
    this.#start = start;
    this.#entries = [];
    this.#standings = [{ index: start.index, membership }];
  }

  /** §5.4.1: a log whose last entry is (`index`, `term`) has all that this one has, as far as terms can tell. */
  isUpToDate(index: number, term: number): boolean {
    return term > this.lastTerm || (term === this.lastTerm && index >= this.lastIndex);
  }

  /** The first of `entries` that this log contradicts or does not reach; undefined where it has them all (§5.3). */
  conflict(entries: readonly Pick<Entry, 'index' | 'term'>[]): number | undefined {
    return entries.find(({ index, term }) => this.termAt(index) !== term)?.index;
  }

  /**
   * The highest index up to `index` whose term is at most `term`: another log that has `term` at `index` cannot agree
   * with this one later than there. Its term is 0 where this log does not know it.
   */
  agreementBefore(index: number, term: number): LogStart {
    for (let at = Math.min(index, this.lastIndex); at >= this.#start.index; at--) {
      const own = this.termAt(at);
      if (own !== undefined && own <= term) return { index: at, term: own };
    }
    return { index: Math.max(0, Math.min(index, this.#start.index - 1)), term: 0 };
  }
}
