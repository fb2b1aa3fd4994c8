import { assert, type Fault } from '../../protocol/faults.ts';
import type { Membership } from '../../protocol/raft.ts';
import { createState, type RaftOptions } from './create-state.ts';
import { campaign, missed, ownVoteDurable } from './election.ts';
import { settleRejoining } from './following.ts';
import { probePeers } from './founding.ts';
import { changeMembership, leaveWhenRemoved, type MembershipChange } from './membership.ts';
import { objectionTo } from './objections.ts';
import type { Piece, Progress } from './progress.ts';
import { askToRead } from './reads.ts';
import type { Entry, HardState } from './records.ts';
import type { LogStart } from './recover.ts';
import { broadcastAppend, commitReached, sendAppend } from './replication.ts';
import { ship } from './snapshots.ts';
import { appendOwn, peersOf, type RaftMessage, type RaftState, type Role, votersOf } from './state.ts';
import { step, tickLeader } from './step.ts';
import { transfer } from './transfer.ts';

/**
 * What the shell has to do next, in this order: put `snapshot` in place of all that the disk has, and wait for it;
 * append `foundation`, `hardState` and `entries` to the disk as one write, without waiting; send `messages`; hand
 * `committed` to the registry; once the write is durable, say `persisted(write)`.
 */
export interface Ready {
  /** Number of the write; undefined where there is nothing to write. Writes become durable in order. */
  readonly write: number | undefined;
  /** The leader's state, which takes the place of log and registry. */
  readonly snapshot: InstalledSnapshot | undefined;
  /** Who founds the cluster: before any entry. */
  readonly foundation: Membership | undefined;
  readonly hardState: HardState | undefined;
  readonly entries: readonly Entry[];
  /** None of them promises what is not durable yet. */
  readonly messages: readonly RaftMessage[];
  /** Newly committed and durable here, in order; each entry exactly once a run. */
  readonly committed: readonly Entry[];
  /** Contexts of reads that may be answered once all up to `index` is applied. */
  readonly reads: readonly { readonly context: number; readonly index: number }[];
  /** Followers that need the state: see {@link Raft.ship}. */
  readonly wantSnapshot: readonly string[];
  readonly role: Role;
  readonly term: number;
  /** Who leads `term`, as far as known. */
  readonly leader: string | undefined;
}

export interface InstalledSnapshot extends LogStart {
  readonly membership: Membership;
  readonly slices: readonly Uint8Array[];
}

/** Raft as a plain machine: verbs in, {@link Ready} out. No clock, no chance, no waiting. */
export interface Raft {
  readonly role: Role;
  readonly term: number;
  readonly hardState: HardState;
  readonly leader: string | undefined;
  readonly lastIndex: number;
  readonly commitIndex: number;
  readonly membership: Membership;
  /** The membership as of an index that the log still reaches, or of its start. */
  membershipAt(index: number): Membership;
  /** Of a leader: the highest entry that each other master holds, and whether it was heard of lately. */
  readonly followers: ReadonlyMap<
    string,
    { readonly match: number; readonly active: boolean; readonly rejoining: boolean | undefined }
  >;
  /** Time has passed. Who hears of no leader stands for election (§5.2); a sole voter has nobody to wait for. */
  tick(): void;
  /** Why a message must not be handed to `step`; undefined where it may. */
  objectionTo(message: RaftMessage): string | undefined;
  /** A message of an authenticated peer. Any may come twice, late, and out of order. */
  step(message: RaftMessage): void;
  /** The connection to that master has ended. A hint: nothing depends on its being true. */
  missed(peer: string): void;
  /** A leader appends the command and tells its place; undefined where this master does not lead, or hands over. */
  propose(payload: Uint8Array): { readonly term: number; readonly index: number } | undefined;
  /** Faults: see {@link changeMembership}. */
  change(change: MembershipChange): { readonly term: number; readonly index: number } | Fault;
  /** Hands leadership over; false where this one does not lead, or `to` cannot. */
  transfer(to: string): boolean;
  /** `context` comes back in `Ready.reads` once it is sure that this master led when it was asked; false where it does not. */
  read(context: number): boolean;
  /** The state as of the applied entry (`index`, `term`), for a follower of `Ready.wantSnapshot`. */
  ship(peer: string, index: number, term: number, pieces: readonly Piece[]): void;
  /** Entries up to `index` are applied, and a snapshot stands for them: memory may let go of them. */
  forget(index: number): void;
  /** Write `write` of a {@link Ready}, and all before it, is durable. */
  persisted(write: number): void;
  /** What is to be done since the last call; undefined where nothing is. */
  ready(): Ready | undefined;
}

/** A write that is under way: what will count as durable with it. */
interface Write {
  readonly write: number;
  readonly lastIndex: number;
  /** Term of the entry `lastIndex`: another entry may have taken its place by the time it is durable. */
  readonly lastTerm: number;
  readonly hardState: HardState;
  /** May leave with it. */
  readonly messages: readonly RaftMessage[];
}

export function createRaft(options: RaftOptions): Raft {
  return new Voter(createState(options));
}

/** The same over a state that the caller keeps. */
export function raftOf(state: RaftState): Raft {
  return new Voter(state);
}

class Voter implements Raft {
  readonly #state: RaftState;
  #applied: number;
  #handedOut: Pick<Ready, 'role' | 'term' | 'leader'>;
  #writes: Write[] = [];
  #writeCount = 0;

  constructor(state: RaftState) {
    this.#state = state;
    this.#applied = state.log.start.index;
    this.#handedOut = { role: state.role, term: state.hardState.term, leader: undefined };
  }

  get role(): Role {
    return this.#state.role;
  }

  get term(): number {
    return this.#state.hardState.term;
  }

  get hardState(): HardState {
    return this.#state.hardState;
  }

  get leader(): string | undefined {
    return this.#state.leader;
  }

  get lastIndex(): number {
    return this.#state.log.lastIndex;
  }

  get commitIndex(): number {
    return this.#state.commitIndex;
  }

  get membership(): Membership {
    return this.#state.log.membership;
  }

  membershipAt(index: number): Membership {
    return this.#state.log.membershipAt(index);
  }

  get followers(): ReadonlyMap<string, Progress> {
    return this.#state.progress;
  }

  tick(): void {
    const state = this.#state;
    probePeers(state);
    state.electionElapsed++;
    if (state.role === 'leader') return tickLeader(state);
    if (state.electionElapsed < state.electionTimeout || this.#awaitsItself()) return;
    state.electionElapsed = 0;
    campaign(state);
  }

  objectionTo(message: RaftMessage): string | undefined {
    return objectionTo(this.#state, message);
  }

  step(message: RaftMessage): void {
    step(this.#state, message);
  }

  missed(peer: string): void {
    missed(this.#state, peer);
  }

  propose(payload: Uint8Array): { term: number; index: number } | undefined {
    const state = this.#state;
    if (state.role !== 'leader' || state.transferee !== undefined) return undefined;
    const place = appendOwn(state, 'command', payload);
    return place;
  }

  change(change: MembershipChange): { term: number; index: number } | Fault {
    return changeMembership(this.#state, change);
  }

  transfer(to: string): boolean {
    return transfer(this.#state, to);
  }

  read(context: number): boolean {
    return askToRead(this.#state, context);
  }

  ship(peer: string, index: number, term: number, pieces: readonly Piece[]): void {
    ship(this.#state, peer, index, term, pieces);
  }

  forget(index: number): void {
    assert(index <= this.#applied, `entry ${index} is applied`);
    this.#state.log.forget(index);
  }

  persisted(write: number): void {
    const state = this.#state;
    let done: Write | undefined;
    while (this.#writes[0] !== undefined && this.#writes[0].write <= write) {
      done = this.#writes.shift();
      state.out.messages.push(...(done?.messages ?? []));
    }
    assert(done?.write === write, `write ${write} is under way`);
    // Only if these entries are still the log's: a later leader may have put others in their place.
    if (state.log.termAt(done.lastIndex) === done.lastTerm)
      state.durableIndex = Math.max(state.durableIndex, done.lastIndex);
    settleRejoining(state);
    if (done.hardState === state.hardState && state.hardState.vote === state.id) ownVoteDurable(state);
    if (commitReached(state)) broadcastAppend(state);
    leaveWhenRemoved(state);
  }

  ready(): Ready | undefined {
    const state = this.#state;
    const { role, leader, out, log, hardState } = state;
    const { term } = hardState;
    if (role === 'leader') for (const peer of state.progress.keys()) while (sendAppend(state, peer, false));
    const moved = role !== this.#handedOut.role || term !== this.#handedOut.term || leader !== this.#handedOut.leader;
    const writes = out.hardState || out.foundation || out.unwritten <= log.lastIndex || out.restored !== undefined;
    if (out.restored !== undefined) this.#applied = out.restored.index;
    const commit = Math.min(state.commitIndex, state.durableIndex);
    const waiting = out.afterWrite.length > 0;
    const tells = out.messages.length + out.wantsSnapshot.size + out.readsConfirmed.length > 0;
    if (!moved && !writes && !waiting && !tells && commit <= this.#applied) return undefined;

    const entries = log.entries(out.unwritten, log.lastIndex);
    if (writes) {
      const { lastIndex, lastTerm } = log;
      this.#writes.push({ write: ++this.#writeCount, lastIndex, lastTerm, hardState, messages: out.afterWrite });
    } else this.#sendBehindWrites(out.afterWrite);
    const { restored } = out;
    const ready: Ready = {
      write: writes ? this.#writeCount : undefined,
      snapshot: restored,
      foundation: out.foundation ? log.membership : undefined,
      hardState: out.hardState ? hardState : undefined,
      entries,
      messages: out.messages,
      committed: commit > this.#applied ? log.entries(this.#applied + 1, commit) : [],
      reads: out.readsConfirmed,
      wantSnapshot: [...out.wantsSnapshot],
      role,
      term,
      leader,
    };
    this.#applied = Math.max(this.#applied, commit);
    out.messages = [];
    out.afterWrite = [];
    out.hardState = false;
    out.foundation = false;
    out.unwritten = log.lastIndex + 1;
    out.restored = undefined;
    out.wantsSnapshot.clear();
    out.readsConfirmed = [];
    this.#handedOut = { role, term, leader };
    // Nobody will ask who is alone for what it has applied.
    if (peersOf(state).length === 0) log.forget(this.#applied);
    return ready;
  }

  /** What promises something durable leaves with the last write under way, or now where there is none. */
  #sendBehindWrites(messages: readonly RaftMessage[]): void {
    const last = this.#writes.pop();
    if (last === undefined) this.#state.out.messages.push(...messages);
    else this.#writes.push({ ...last, messages: [...last.messages, ...messages] });
  }

  /** A sole voter's candidacy ends when its vote is durable: it need not stand again. */
  #awaitsItself(): boolean {
    return this.#state.role === 'candidate' && votersOf(this.#state).length === 1;
  }
}
