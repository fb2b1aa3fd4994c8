import { broadcastHeartbeat } from './heartbeat.ts';
import { voteResult } from './quorum.ts';
import { type RaftState, type Received, votersOf } from './state.ts';

/**
 * §6.4, ReadIndex: what was committed now is what a read may answer from, once a majority has confirmed, after the
 * read was asked, that this leader still leads. Each try gets a heartbeat round of its own: an answer to an earlier
 * one proves nothing. `context` comes back in `Ready.reads`; none comes back where leadership is lost.
 */
export function askToRead(state: RaftState, context: number): boolean {
  if (state.role !== 'leader') return false;
  if (state.log.termAt(state.commitIndex) !== state.hardState.term) {
    // Until its first entry is committed, a leader does not know what is.
    state.postponed.push(context);
    return true;
  }
  wait(state, [context]);
  return true;
}

export function confirmPostponed(state: RaftState): void {
  const postponed = state.postponed;
  state.postponed = [];
  if (postponed.length > 0) wait(state, postponed);
}

function wait(state: RaftState, contexts: readonly number[]): void {
  const round = ++state.round;
  for (const context of contexts) state.reads.push({ context, index: state.commitIndex, round });
  broadcastHeartbeat(state);
  release(state);
}

export function onRound(state: RaftState, { from, round }: Received<'HEARTBEAT_REPLY'>): void {
  state.answered.set(from, Math.max(round, state.answered.get(from) ?? 0));
  release(state);
}

function release(state: RaftState): void {
  while (state.reads[0] !== undefined) {
    const [read] = state.reads;
    const votes = new Map([[state.id, true]]);
    for (const [peer, round] of state.answered) if (round >= read.round) votes.set(peer, true);
    if (voteResult(votersOf(state), votes) !== 'won') return;
    state.reads.shift();
    state.out.readsConfirmed.push(read);
  }
}
