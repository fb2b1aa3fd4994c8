import { createState } from '../../master/raft/create-state.ts';
import { campaign } from '../../master/raft/election.ts';
import { adoptMembership } from '../../master/raft/membership.ts';
import { encodeMembership } from '../../master/raft/membership-entry.ts';
import { type Raft, type Ready, raftOf } from '../../master/raft/raft.ts';
import type { Entry } from '../../master/raft/records.ts';
import {
  becomeCandidate,
  becomeFollower,
  becomeLeader,
  becomePreCandidate,
  type RaftMessage,
  type RaftSettings,
  type RaftState,
} from '../../master/raft/state.ts';
import { LIMITS } from '../../protocol/limits.ts';
import type { Membership } from '../../protocol/raft.ts';

/** A message in the words of the vectors. */
export interface CaseMessage {
  readonly type: string;
  readonly from?: number;
  readonly to?: number;
  readonly term?: number;
  readonly index?: number;
  readonly logTerm?: number;
  readonly entries?: readonly { readonly index: number; readonly term: number }[];
  readonly commit?: number;
  readonly reject?: boolean;
  readonly hint?: number;
  readonly snap?: { readonly index: number; readonly term: number; readonly voters: readonly number[] };
}

export interface CaseSetup {
  readonly n?: number;
  readonly id?: number;
  readonly voters?: readonly number[];
  readonly learners?: readonly number[];
  readonly config?: CaseConfig;
  readonly dead?: readonly number[];
  readonly allTerm?: number;
  readonly nodes?: Readonly<Record<string, CaseNode>>;
  readonly become?: string;
  readonly term?: number;
  readonly hsTerm?: number;
  readonly lead?: number;
  readonly vote?: number;
  readonly noopCommitted?: boolean;
  readonly log?: readonly number[];
  readonly commit?: number;
  readonly snapshot?: { readonly index: number; readonly term: number };
}

export interface CaseConfig {
  readonly preVote?: boolean;
  readonly checkQuorum?: boolean;
  readonly electionTick?: number;
}

interface CaseNode {
  readonly timeoutTicks?: number;
  readonly log?: readonly number[];
  readonly term?: number;
  readonly commit?: number;
}

const TYPES: Readonly<Record<string, RaftMessage['type']>> = {
  app: 'APPEND',
  appResp: 'APPEND_REPLY',
  hb: 'HEARTBEAT',
  hbResp: 'HEARTBEAT_REPLY',
  vote: 'VOTE',
  voteResp: 'VOTE_REPLY',
  preVote: 'PRE_VOTE',
  preVoteResp: 'PRE_VOTE_REPLY',
  timeoutNow: 'TIMEOUT_NOW',
  snap: 'SNAPSHOT',
};

export function typeOf(word: string): RaftMessage['type'] {
  const type = TYPES[word];
  if (type === undefined) throw new Error(`there is no message ${word}`);
  return type;
}

const PAYLOAD = new Uint8Array([1]);

/** The vectors' message in ours. */
export function messageOf(written: CaseMessage, self: string): RaftMessage {
  const { index = 0, logTerm = 0, reject = false, hint = 0, commit = 0, entries = [], snap } = written;
  const each = { from: String(written.from), to: written.to === undefined ? self : String(written.to) };
  const base = { ...each, term: written.term ?? 0 };
  switch (typeOf(written.type)) {
    case 'APPEND':
      return {
        ...base,
        type: 'APPEND',
        index,
        logTerm,
        commit,
        entries: entries.map(({ term }) => ({ kind: 'command' as const, term, payload: PAYLOAD })),
      };
    case 'APPEND_REPLY':
      return { ...base, type: 'APPEND_REPLY', index, reject, hint, hintTerm: logTerm, blank: false };
    case 'HEARTBEAT':
      return { ...base, type: 'HEARTBEAT', commit, round: 0 };
    case 'HEARTBEAT_REPLY':
      return { ...base, type: 'HEARTBEAT_REPLY', round: 0 };
    case 'VOTE':
      return { ...base, type: 'VOTE', index, logTerm, force: false };
    case 'PRE_VOTE':
      return { ...base, type: 'PRE_VOTE', index, logTerm };
    case 'VOTE_REPLY':
      return { ...base, type: 'VOTE_REPLY', reject };
    case 'PRE_VOTE_REPLY':
      return { ...base, type: 'PRE_VOTE_REPLY', reject };
    case 'TIMEOUT_NOW':
      return { ...base, type: 'TIMEOUT_NOW' };
    default:
      return {
        ...base,
        type: 'SNAPSHOT',
        index: snap?.index ?? 0,
        logTerm: snap?.term ?? 0,
        membership: membersOf(snap?.voters ?? []),
        part: 0,
        last: true,
        ends: true,
        bytes: PAYLOAD,
      };
  }
}

export function membersOf(voters: readonly number[], learners: readonly number[] = []): Membership {
  const members = (ids: readonly number[]) => ids.map((id) => ({ id: String(id), urls: [] }));
  return { voters: members(voters), learners: members(learners) };
}

/** One voter with a disk that is never in the way, unless it is held. */
export class CaseVoter {
  readonly state: RaftState;
  readonly raft: Raft;
  /** Everything that left, since it was last drained. */
  sent: RaftMessage[] = [];
  /** What left and was not carried away yet. */
  outgoing: RaftMessage[] = [];
  readonly applied: Entry[] = [];
  readonly reads: { context: number; index: number }[] = [];
  holdWrites = false;
  readonly #held: number[] = [];

  constructor(id: number, membership: Membership, { config = {}, ...setup }: CaseSetup & CaseNode) {
    const { preVote = false, checkQuorum = false, electionTick = 10 } = config;
    const settings: RaftSettings = {
      preVote,
      checkQuorum,
      electionTicks: electionTick,
      heartbeatTicks: 1,
      chance: () => (setup.timeoutTicks ?? electionTick) - electionTick,
    };
    const start = { index: setup.snapshot?.index ?? 0, term: setup.snapshot?.term ?? 0 };
    const entries = (setup.log ?? []).map(
      (term, place): Entry => ({ kind: 'command', term, index: start.index + 1 + place, payload: PAYLOAD }),
    );
    const vote = setup.vote === undefined || setup.vote === 0 ? undefined : String(setup.vote);
    const hardState = { term: setup.hsTerm ?? setup.term ?? 0, vote };
    this.state = createState({
      id: String(id),
      remembered: { hardState, start, membership, entries, ordinals: [] },
      ...settings,
    });
    this.state.standing = 'member';
    this.state.commitIndex = Math.max(start.index, setup.commit ?? 0);
    if (setup.lead !== undefined && setup.lead > 0) this.state.leader = String(setup.lead);
    this.raft = raftOf(this.state);
    if (setup.become !== undefined) this.#become(setup.become);
    if (setup.noopCommitted === true) {
      this.#run();
      this.state.commitIndex = this.state.log.lastIndex;
    }
    this.settle();
    this.sent = [];
    this.outgoing = [];
  }

  #become(role: string): void {
    const { state } = this;
    if (role === 'follower') becomeFollower(state, state.hardState.term, state.leader);
    if (role === 'preCandidate') becomePreCandidate(state);
    if (role === 'candidate' || role === 'leader') becomeCandidate(state);
    if (role === 'leader') becomeLeader(state);
  }

  set timeout(ticks: number) {
    this.state.electionTimeout = ticks;
  }

  configure(config: CaseConfig): void {
    Object.assign(this.state.settings, config);
  }

  campaign(): void {
    campaign(this.state);
    this.settle();
  }

  adopt(voters: readonly number[]): void {
    const { log } = this.state;
    const { term } = this.state.hardState;
    log.append([{ kind: 'membership', term, index: log.lastIndex + 1, payload: encodeMembership(membersOf(voters)) }]);
    adoptMembership(this.state);
    this.settle();
  }

  step(message: RaftMessage): void {
    this.raft.step(message);
    this.settle();
  }

  tick(): void {
    this.raft.tick();
    this.settle();
  }

  releaseWrites(): void {
    for (const write of this.#held.splice(0)) this.raft.persisted(write);
    this.settle();
  }

  drain(): void {
    this.sent = [];
  }

  settle(): void {
    this.#run();
  }

  #run(): void {
    for (let ready = this.raft.ready(); ready !== undefined; ready = this.raft.ready()) this.#act(ready);
  }

  #act({ write, messages, committed, reads }: Ready): void {
    this.sent.push(...messages);
    this.outgoing.push(...messages);
    this.applied.push(...committed);
    this.reads.push(...reads);
    if (write === undefined) return;
    if (this.holdWrites) this.#held.push(write);
    else this.raft.persisted(write);
  }

  get logTerms(): number[] {
    const { log } = this.state;
    return log.some(log.start.index + 1, LIMITS.entriesPerAppend, 1_000_000).map(({ term }) => term);
  }
}

/** Several voters and the links between them; everything is delivered in order until nothing moves. */
export class CaseCluster {
  readonly voters = new Map<string, CaseVoter>();
  readonly #dead: ReadonlySet<string>;
  readonly #cut = new Set<string>();
  readonly #held = new Set<string>();
  #dropped: RaftMessage['type'] | undefined;

  constructor({ n = 0, voters, learners = [], nodes = {}, dead = [], allTerm, ...setup }: CaseSetup) {
    const ids = voters ?? Array.from({ length: n }, (_, at) => at + 1);
    this.#dead = new Set(dead.map(String));
    const membership = membersOf(ids, learners);
    for (const id of [...ids, ...learners]) {
      const own = { ...setup, ...(allTerm === undefined ? {} : { term: allTerm }), ...nodes[String(id)] };
      this.voters.set(String(id), new CaseVoter(id, membership, own));
    }
  }

  at(id: number | string): CaseVoter {
    const voter = this.voters.get(String(id));
    if (voter === undefined) throw new Error(`there is no voter ${id}`);
    return voter;
  }

  cut(one: string, other: string): void {
    this.#cut.add(`${one}>${other}`).add(`${other}>${one}`);
  }

  isolate(id: string): void {
    for (const other of this.voters.keys()) if (other !== id) this.cut(id, other);
  }

  drop(type: RaftMessage['type']): void {
    this.#dropped = type;
  }

  hold(id: string): void {
    this.#held.add(id);
  }

  release(id: string): void {
    this.#held.delete(id);
    this.deliver();
  }

  heal(): void {
    this.#cut.clear();
    this.#dropped = undefined;
  }

  deliver(): void {
    for (let moved = true; moved; ) {
      moved = false;
      for (const [id, voter] of this.voters) {
        if (this.#held.has(id)) continue;
        for (const message of voter.outgoing.splice(0)) {
          moved = true;
          if (this.#passes(message)) this.voters.get(message.to)?.step(message);
        }
      }
    }
  }

  /** Of one voter, what is of these types goes out, although it is held; the rest is lost. */
  deliverOnly(id: string, types: ReadonlySet<string>): void {
    const messages = this.at(id).outgoing.splice(0);
    for (const message of messages) if (types.has(message.type)) this.voters.get(message.to)?.step(message);
  }

  #passes({ from, to, type }: RaftMessage): boolean {
    if (this.#dead.has(from) || this.#dead.has(to)) return false;
    return type !== this.#dropped && !this.#cut.has(`${from}>${to}`);
  }
}
