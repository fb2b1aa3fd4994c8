import type { MessageOf } from '../../protocol/envelope.ts';
import type { Membership, RAFT } from '../../protocol/raft.ts';
import { Progress } from './progress.ts';
import type { RaftLog } from './raft-log.ts';
import type { HardState } from './records.ts';
import type { LogStart } from './recover.ts';

type WithoutVersion<Message> = Message extends unknown ? Omit<Message, 'v'> : never;
/** A message that has arrived, or is to leave. */
export type RaftMessage = WithoutVersion<MessageOf<typeof RAFT>>;
/** The messages of one type, as they arrive. */
export type Received<Type extends RaftMessage['type']> = Extract<RaftMessage, { type: Type }>;

type Distribute<Message> = Message extends unknown ? Omit<Message, 'from' | 'term'> & { term?: number } : never;
/** As a part of the core hands it over: the sender and its term are added. */
export type Draft = Distribute<RaftMessage>;

export type Role = 'follower' | 'pre-candidate' | 'candidate' | 'leader';

/** `blank`: its log is empty, and may always have been. `founding`: it always was, and the founders are written down. */
export type Standing = 'blank' | 'founding' | 'member';

export interface RaftSettings {
  /** Ticks without a leader before an election; each wait is between this and twice this (§9.3). Default 10. */
  readonly electionTicks: number;
  /** Ticks between heartbeats. Default 1. */
  readonly heartbeatTicks: number;
  /** Ask before a term is spent (thesis §9.6). Default true. */
  readonly preVote: boolean;
  /** A leader that hears of no majority steps down, and followers of a live leader elect no other. Default true. */
  readonly checkQuorum: boolean;
  /** A whole number from 0 to below `bound`. */
  readonly chance: (bound: number) => number;
}

/** A read that waits until it is known that this leader still is one (§6.4). */
export interface WaitingRead {
  readonly context: number;
  /** What was committed when it was asked. */
  readonly index: number;
  /** The first heartbeat round that was sent after it was asked. */
  readonly round: number;
}

/** The leader's state on its way here. */
export interface Arrival {
  readonly from: string;
  readonly index: number;
  readonly term: number;
  readonly membership: Membership;
  readonly slices: Uint8Array[];
  /** Pieces of the slice that has not ended yet. */
  open: Uint8Array[];
  parts: number;
}

/** Everything one voter knows. The parts of the core are functions over it; nobody else touches it. */
export interface RaftState {
  readonly id: string;
  readonly settings: RaftSettings;
  readonly log: RaftLog;
  role: Role;
  hardState: HardState;
  leader: string | undefined;
  commitIndex: number;
  /** Last index known to be durable here. */
  durableIndex: number;
  /** Of one that rejoins: with all up to here durable it has again what it may have acknowledged. */
  completeAt: number | undefined;

  /** Ticks since the leader was heard of, or (of a leader) since the quorum was checked. */
  electionElapsed: number;
  heartbeatElapsed: number;
  /** Ticks of `electionElapsed` at which this one stands for election. */
  electionTimeout: number;
  votes: Map<string, boolean>;

  /** Of a leader: the others, by id. */
  progress: Map<string, Progress>;
  /** To whom leadership is being handed over. */
  transferee: string | undefined;
  /** Heartbeat rounds of this term, the last that each has answered, and who waits for one. */
  round: number;
  readonly answered: Map<string, number>;
  reads: WaitingRead[];
  /** Reads asked before the first entry of the term was committed. */
  postponed: number[];
  arrival: Arrival | undefined;

  /** See founding.ts: of this master, and of the others as far as they have answered. */
  standing: Standing;
  readonly standings: Map<string, Standing>;
  /** Of one that rejoins, in this run: who has told its term; true in `believes` once they are enough. */
  readonly surveyed: Set<string>;
  believes: boolean;
  /** Whose word of the membership was taken: the end of its log. */
  informant: LogStart | undefined;

  /** What the next `ready` hands out. */
  readonly out: Outbox;
}

export interface Outbox {
  /** May leave at once. */
  messages: RaftMessage[];
  /** May leave when all that was written before is durable. */
  afterWrite: RaftMessage[];
  hardState: boolean;
  /** The founders are to be written down. */
  foundation: boolean;
  /** The first index that is not handed out for writing yet. */
  unwritten: number;
  restored: Arrival | undefined;
  wantsSnapshot: Set<string>;
  readsConfirmed: WaitingRead[];
}

/** The others that receive the log, voters first. */
export function peersOf({ id, log }: RaftState): string[] {
  const { voters, learners } = log.membership;
  return [...voters, ...learners].map((member) => member.id).filter((peer) => peer !== id);
}

export function votersOf({ log }: RaftState): string[] {
  return log.membership.voters.map((member) => member.id);
}

/** May stand for election. */
export function isVoter(state: RaftState): boolean {
  return votersOf(state).includes(state.id);
}

export function setHardState(state: RaftState, hardState: HardState): void {
  state.hardState = hardState;
  state.out.hardState = true;
}

/** Hands a message over; it leaves at once. */
export function send(state: RaftState, draft: Draft): void {
  state.out.messages.push(stamped(state, draft));
}

/** Hands over what promises that something is durable (§5.1: before responding to RPCs). */
export function sendAfterWrite(state: RaftState, draft: Draft): void {
  state.out.afterWrite.push(stamped(state, draft));
}

function stamped({ id, hardState }: RaftState, draft: Draft): RaftMessage {
  const message = { ...draft, from: id, term: draft.term ?? hardState.term };
  // The draft is one of the types of a RaftMessage, and what was missing is there now.
  return message as RaftMessage;
}

/** Whatever a role has gathered ends with it. A new term has no vote yet. */
function reset(state: RaftState, term: number): void {
  if (term !== state.hardState.term)
    setHardState(state, { term, vote: undefined, rejoining: state.hardState.rejoining });
  state.leader = undefined;
  state.electionElapsed = 0;
  state.heartbeatElapsed = 0;
  state.electionTimeout = state.settings.electionTicks + state.settings.chance(state.settings.electionTicks);
  state.votes = new Map();
  state.progress = new Map();
  state.transferee = undefined;
  state.round = 0;
  state.answered.clear();
  state.reads = [];
  state.postponed = [];
  state.out.wantsSnapshot.clear();
}

export function becomeFollower(state: RaftState, term: number, leader: string | undefined): void {
  reset(state, term);
  state.role = 'follower';
  state.leader = leader;
}

/** Nobody's term moves, and nothing is written. */
export function becomePreCandidate(state: RaftState): void {
  state.role = 'pre-candidate';
  state.leader = undefined;
  state.votes = new Map([[state.id, true]]);
}

/** §5.2: a new term, and its own vote, which counts once it is durable. */
export function becomeCandidate(state: RaftState): void {
  reset(state, state.hardState.term + 1);
  state.role = 'candidate';
  setHardState(state, { ...state.hardState, vote: state.id });
}

/** §8: a leader begins with an entry of its own term, so that all before it gets committed. */
export function becomeLeader(state: RaftState): void {
  const next = state.log.lastIndex + 1;
  reset(state, state.hardState.term);
  state.role = 'leader';
  state.leader = state.id;
  for (const peer of peersOf(state)) state.progress.set(peer, new Progress(next));
  appendOwn(state, 'noop', new Uint8Array());
}

/** Appends an entry of this term. */
export function appendOwn(
  state: RaftState,
  kind: 'noop' | 'command' | 'membership',
  payload: Uint8Array,
): { term: number; index: number } {
  const { term } = state.hardState;
  const index = state.log.lastIndex + 1;
  state.log.append([{ kind, term, index, payload }]);
  return { term, index };
}
