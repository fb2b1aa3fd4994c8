import { voteResult } from './quorum.ts';
import { broadcastAppend, commitReached } from './replication.ts';
import {
  becomeCandidate,
  becomeFollower,
  becomeLeader,
  becomePreCandidate,
  isVoter,
  type RaftState,
  type Received,
  send,
  sendAfterWrite,
  votersOf,
} from './state.ts';

/**
 * Stands for election, unless it may not: a learner, a leader, or one that cannot know what it had promised.
 * `transfer`: the leader asked for it, so nobody is asked beforehand, and nobody minds the leader (thesis §3.10).
 */
export function campaign(state: RaftState, transfer = false): void {
  if (state.role === 'leader' || !isVoter(state)) return;
  if (state.standing !== 'member' || state.hardState.rejoining === true) return;
  if (state.settings.preVote && !transfer) {
    becomePreCandidate(state);
    if (decided(state)) return;
    askAll(state, 'PRE_VOTE', transfer);
    return;
  }
  becomeCandidate(state);
  askAll(state, 'VOTE', transfer);
}

/**
 * The connection to a master has ended: most often its process has. A follower that it led waits no longer than chance
 * wants, so that not all stand at once; where others still hear the leader they refuse, and nobody's term moves.
 */
export function missed(state: RaftState, peer: string): void {
  if (state.role !== 'follower' || state.leader !== peer) return;
  const { electionTicks, chance } = state.settings;
  state.electionElapsed = Math.max(state.electionElapsed, electionTicks);
  state.electionTimeout = state.electionElapsed + 1 + chance(Math.ceil(electionTicks / 2));
}

function askAll(state: RaftState, type: 'VOTE' | 'PRE_VOTE', force: boolean): void {
  const { lastIndex: index, lastTerm: logTerm } = state.log;
  for (const to of votersOf(state)) {
    if (to === state.id) continue;
    if (type === 'VOTE') send(state, { type, to, index, logTerm, force });
    else send(state, { type, to, index, logTerm, term: state.hardState.term + 1 });
  }
}

/** Term and own vote of a candidate are durable. */
export function ownVoteDurable(state: RaftState): void {
  if (state.role === 'candidate') count(state, state.id, true);
}

/** An answer; only those to the present candidacy count, each voter's once. */
export function onVoteReply(state: RaftState, message: Received<'VOTE_REPLY' | 'PRE_VOTE_REPLY'>): void {
  const asked = message.type === 'VOTE_REPLY' ? 'candidate' : 'pre-candidate';
  if (state.role === asked) count(state, message.from, !message.reject);
}

function count(state: RaftState, voter: string, granted: boolean): void {
  if (!state.votes.has(voter)) state.votes.set(voter, granted);
  decided(state);
}

/** Acts on the votes there are; true where they decide. */
function decided(state: RaftState): boolean {
  const result = voteResult(votersOf(state), state.votes);
  if (result === 'pending') return false;
  if (result === 'lost') becomeFollower(state, state.hardState.term, undefined);
  else if (state.role === 'pre-candidate') {
    becomeCandidate(state);
    askAll(state, 'VOTE', false);
  } else {
    becomeLeader(state);
    broadcastAppend(state);
    commitReached(state);
  }
  return true;
}

/**
 * Who is asked for a vote has heard of a term: if it is blank, it rejoins by now (founding.ts).
 * §5.2, §5.4.1: one vote a term, and only for a log that has all this one has. Whoever is asked answers, learner or
 * not: it may have been made a voter by an entry that it has not seen.
 */
export function onVoteRequest(state: RaftState, message: Received<'VOTE' | 'PRE_VOTE'>): void {
  const { type, from: to, term } = message;
  const { vote } = state.hardState;
  const ahead = type === 'PRE_VOTE' && term > state.hardState.term;
  const free = vote === to || (vote === undefined && state.leader === undefined) || ahead;
  const grant = free && state.hardState.rejoining !== true && state.log.isUpToDate(message.index, message.logTerm);
  const replied = type === 'VOTE' ? 'VOTE_REPLY' : 'PRE_VOTE_REPLY';
  if (!grant) return sendAfterWrite(state, { type: replied, to, reject: true });
  if (type === 'VOTE') {
    state.electionElapsed = 0;
    if (vote !== to) {
      state.hardState = { ...state.hardState, vote: to };
      state.out.hardState = true;
    }
  }
  sendAfterWrite(state, { type: replied, to, term, reject: false });
}

/** True where a live leader's followers must not listen to a candidate (thesis §4.2.3). */
export function leaderLives(state: RaftState): boolean {
  const { checkQuorum, electionTicks } = state.settings;
  return checkQuorum && state.leader !== undefined && state.electionElapsed < electionTicks;
}
