import { assert } from '../../protocol/faults.ts';
import { campaign, leaderLives, onVoteReply, onVoteRequest } from './election.ts';
import { onAppend, onHeartbeat } from './following.ts';
import { leaderHeard, listensTo, onProbe, onProbeReply, termHeard } from './founding.ts';
import { broadcastHeartbeat } from './heartbeat.ts';
import { leaveWhenRemoved } from './membership.ts';
import { onRound } from './reads.ts';
import { onAppendReply, onHeartbeatReply, tickShipments } from './replication.ts';
import { onSnapshot, onSnapshotReply } from './snapshots.ts';
import { becomeFollower, isVoter, type RaftMessage, type RaftState, send, votersOf } from './state.ts';
import { handOver } from './transfer.ts';

/** Takes one message: terms first (§5.1), then what it says. */
export function step(state: RaftState, message: RaftMessage): void {
  if (message.to !== state.id || message.from === state.id) return;
  termHeard(state, message.term);
  if (message.type === 'PROBE') return onProbe(state, message);
  if (message.type === 'PROBE_REPLY') return onProbeReply(state, message);
  if (isOfLeader(message) && !listensTo(state, message.from)) return;
  if (termSettled(state, message)) act(state, message);
  leaveWhenRemoved(state);
}

/** A tick of a leader: it says that it leads, sends again what was lost, and steps down where nobody hears it. */
export function tickLeader(state: RaftState): void {
  const { electionTicks, heartbeatTicks, checkQuorum } = state.settings;
  if (state.electionElapsed >= electionTicks) {
    state.electionElapsed = 0;
    // A hand-over that takes an election time-out has failed (thesis §3.10).
    state.transferee = undefined;
    if (checkQuorum && !quorumActive(state)) return becomeFollower(state, state.hardState.term, undefined);
  }
  tickShipments(state);
  if (++state.heartbeatElapsed < heartbeatTicks) return;
  state.heartbeatElapsed = 0;
  broadcastHeartbeat(state);
}

/** §6.2 of the thesis: a leader that cannot reach a majority must not keep clients waiting, nor answer them. */
function quorumActive(state: RaftState): boolean {
  const voters = votersOf(state);
  const heard = voters.filter((voter) => voter === state.id || state.progress.get(voter)?.heard === true).length;
  for (const progress of state.progress.values()) progress.checked();
  return heard * 2 > voters.length;
}

/** §5.1: brings terms into line. False where the message is not to be acted on. */
function termSettled(state: RaftState, message: RaftMessage): boolean {
  const { term } = state.hardState;
  const { from } = message;
  if (message.term > term) {
    if (message.type === 'VOTE' || message.type === 'PRE_VOTE') {
      const force = message.type === 'VOTE' && message.force === true;
      if (!force && leaderLives(state)) return false;
    }
    // Asking for a pre-vote moves nobody's term, and neither does its granting (thesis §9.6).
    if (message.type === 'PRE_VOTE' || (message.type === 'PRE_VOTE_REPLY' && !message.reject)) return true;
    becomeFollower(state, message.term, isOfLeader(message) ? from : undefined);
    return true;
  }
  if (message.term === term) return true;
  const { checkQuorum, preVote } = state.settings;
  if (isOfLeader(message) && (checkQuorum || preVote)) {
    // A leader of an earlier term learns of this one; with pre-votes and leases it would otherwise never.
    send(state, { type: 'APPEND_REPLY', to: from, index: 0, reject: false, hint: 0, hintTerm: 0, blank: false });
  } else if (message.type === 'PRE_VOTE') {
    send(state, { type: 'PRE_VOTE_REPLY', to: from, reject: true });
  }
  return false;
}

function isOfLeader({ type }: RaftMessage): boolean {
  return type === 'APPEND' || type === 'HEARTBEAT' || type === 'SNAPSHOT';
}

function act(state: RaftState, message: RaftMessage): void {
  switch (message.type) {
    case 'VOTE':
    case 'PRE_VOTE':
      return onVoteRequest(state, message);
    case 'VOTE_REPLY':
    case 'PRE_VOTE_REPLY':
      return onVoteReply(state, message);
    case 'APPEND':
    case 'HEARTBEAT':
    case 'SNAPSHOT':
      return fromLeader(state, message);
    case 'APPEND_REPLY':
      if (state.role !== 'leader') return;
      onAppendReply(state, message);
      handOver(state, message.from);
      return;
    case 'HEARTBEAT_REPLY':
      if (state.role !== 'leader') return;
      onHeartbeatReply(state, message);
      return onRound(state, message);
    case 'SNAPSHOT_REPLY':
      return onSnapshotReply(state, message);
    case 'TIMEOUT_NOW':
      if (state.role === 'follower' && isVoter(state)) campaign(state, true);
      return;
    case 'PROBE':
    case 'PROBE_REPLY':
      return;
    default:
      message satisfies never;
  }
}

/** §5.2: there is one leader a term; who hears of it follows. */
function fromLeader(
  state: RaftState,
  message: Extract<RaftMessage, { type: 'APPEND' | 'HEARTBEAT' | 'SNAPSHOT' }>,
): void {
  assert(state.role !== 'leader', `${message.from} and ${state.id} both lead term ${state.hardState.term}`);
  if (state.role !== 'follower') becomeFollower(state, state.hardState.term, message.from);
  state.electionElapsed = 0;
  state.leader = message.from;
  leaderHeard(state, message.from);
  if (message.type === 'APPEND') onAppend(state, message);
  else if (message.type === 'HEARTBEAT') onHeartbeat(state, message);
  else onSnapshot(state, message);
}
