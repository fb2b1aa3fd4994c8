import { assert } from '../../protocol/faults.ts';
import type { Entry, HardState } from './records.ts';
import type { Remembered } from './recover.ts';

type Role = 'follower' | 'candidate' | 'leader';

/**
 * What the shell has to do next, in this order: append `hardState` and `entries` to the disk as one write, without
 * waiting; hand `committed` to the registry; once the write is durable, say `persisted(write)`.
 */
export interface Ready {
  /** Number of the write; undefined where there is nothing to write. Writes become durable in order. */
  readonly write: number | undefined;
  readonly hardState: HardState | undefined;
  readonly entries: readonly Entry[];
  /** Newly committed, in order; each entry exactly once a run. */
  readonly committed: readonly Entry[];
  readonly role: Role;
  readonly term: number;
  /** Who leads `term`, as far as known. */
  readonly leader: string | undefined;
}

export interface RaftOptions {
  readonly id: string;
  readonly remembered: Remembered;
}

/** Raft as a plain machine: verbs in, {@link Ready} out. No clock, no chance, no waiting. */
export interface Raft {
  readonly role: Role;
  readonly term: number;
  readonly hardState: HardState;
  readonly leader: string | undefined;
  readonly lastIndex: number;
  readonly commitIndex: number;
  /** Time has passed. Who hears of no leader stands for election (§5.2); a sole voter has nobody to wait for. */
  tick(): void;
  /** A leader appends the command and tells its place; undefined where this master does not lead. */
  propose(payload: Uint8Array): { readonly term: number; readonly index: number } | undefined;
  /** Write `write` of a {@link Ready}, and all before it, is durable. */
  persisted(write: number): void;
  /** What is to be done since the last call; undefined where nothing is. */
  ready(): Ready | undefined;
}

/** A write that is under way: what will count as durable with it. */
interface Write {
  readonly write: number;
  readonly term: number;
  readonly lastIndex: number;
}

/** Raft with one voter: the majority is its own disk. */
export function createRaft({ id, remembered }: RaftOptions): Raft {
  return new SoleVoter(id, remembered);
}

class SoleVoter implements Raft {
  readonly #id: string;
  #role: Role = 'follower';
  #hardState: HardState;
  #leader: string | undefined;
  /** All after the last entry handed out as committed. */
  #tail: Entry[];
  #lastIndex: number;
  #commitIndex: number;
  /** Last index known to be durable here: this voter's match index. */
  #durableIndex: number;

  /** What `ready` has not handed out yet. */
  #newHardState: HardState | undefined;
  #newEntries: Entry[] = [];
  #handedOut: Pick<Ready, 'role' | 'term' | 'leader'>;
  #writes: Write[] = [];
  #writeCount = 0;

  constructor(id: string, { hardState, start, entries }: Remembered) {
    this.#id = id;
    this.#hardState = hardState;
    this.#tail = [...entries];
    this.#lastIndex = start.index + entries.length;
    this.#durableIndex = this.#lastIndex;
    // A snapshot holds only what is committed; of the entries after it nothing is known until a leader commits (§5.4.2).
    this.#commitIndex = start.index;
    this.#handedOut = { role: this.#role, term: hardState.term, leader: undefined };
  }

  get role(): Role {
    return this.#role;
  }

  get term(): number {
    return this.#hardState.term;
  }

  get hardState(): HardState {
    return this.#hardState;
  }

  get leader(): string | undefined {
    return this.#leader;
  }

  get lastIndex(): number {
    return this.#lastIndex;
  }

  get commitIndex(): number {
    return this.#commitIndex;
  }

  tick(): void {
    if (this.#role === 'follower') this.#campaign();
  }

  propose(payload: Uint8Array): { term: number; index: number } | undefined {
    if (this.#role !== 'leader') return undefined;
    return this.#append('command', payload);
  }

  persisted(write: number): void {
    let done: Write | undefined;
    while (this.#writes[0] !== undefined && this.#writes[0].write <= write) done = this.#writes.shift();
    assert(done?.write === write, `write ${write} is under way`);
    assert(done.term === this.term, 'a sole voter has no term but its own');
    this.#durableIndex = done.lastIndex;
    if (this.#role === 'candidate') this.#lead();
    else this.#commit();
  }

  ready(): Ready | undefined {
    const { role, term, leader } = this;
    const moved = role !== this.#handedOut.role || term !== this.#handedOut.term || leader !== this.#handedOut.leader;
    const writes = this.#newHardState !== undefined || this.#newEntries.length > 0;
    const first = this.#tail[0]?.index ?? this.#lastIndex + 1;
    if (!moved && !writes && this.#commitIndex < first) return undefined;

    if (writes) this.#writes.push({ write: ++this.#writeCount, term, lastIndex: this.#lastIndex });
    const ready: Ready = {
      write: writes ? this.#writeCount : undefined,
      hardState: this.#newHardState,
      entries: this.#newEntries,
      committed: this.#tail.splice(0, this.#commitIndex - first + 1),
      role,
      term,
      leader,
    };
    this.#newHardState = undefined;
    this.#newEntries = [];
    this.#handedOut = { role, term, leader };
    return ready;
  }

  /** §5.2: a new term, and its own vote, which counts once it is durable. */
  #campaign(): void {
    this.#role = 'candidate';
    this.#leader = undefined;
    this.#hardState = { term: this.#hardState.term + 1, vote: this.#id };
    this.#newHardState = this.#hardState;
  }

  #lead(): void {
    this.#role = 'leader';
    this.#leader = this.#id;
    this.#append('noop', new Uint8Array());
  }

  #append(kind: Entry['kind'], payload: Uint8Array): { term: number; index: number } {
    const entry: Entry = { kind, term: this.term, index: ++this.#lastIndex, payload };
    this.#tail.push(entry);
    this.#newEntries.push(entry);
    return { term: entry.term, index: entry.index };
  }

  /** §5.3, §5.4.2: committed is what a majority holds durably, up to an entry of the own term; here one disk is the majority. */
  #commit(): void {
    const entry = this.#tail[this.#durableIndex - (this.#tail[0]?.index ?? 0)];
    if (entry?.term === this.term) this.#commitIndex = this.#durableIndex;
  }
}
