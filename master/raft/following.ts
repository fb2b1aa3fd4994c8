import { assert } from '../../protocol/faults.ts';
import { rejoin } from './founding.ts';
import { isVoter, type RaftState, type Received, send, sendAfterWrite, setHardState } from './state.ts';

/** §5.3: takes entries that follow what is here, drops what contradicts them, and never what is committed. */
export function onAppend(state: RaftState, message: Received<'APPEND'>): void {
  const { log } = state;
  const { from: to, index, logTerm, commit } = message;
  if (index < state.commitIndex) return accept(state, to, state.commitIndex);
  if (log.termAt(index) !== logTerm) {
    const { index: hint, term: hintTerm } = log.agreementBefore(index, logTerm);
    const blank = state.hardState.rejoining === true;
    // Nothing durable is promised by a refusal.
    return send(state, { type: 'APPEND_REPLY', to, index, reject: true, hint, hintTerm, blank });
  }
  const entries = message.entries.map((entry, place) => ({ ...entry, index: index + 1 + place }));
  const last = index + entries.length;
  const conflict = log.conflict(entries);
  if (conflict !== undefined) {
    assert(conflict > state.commitIndex, `entry ${conflict} is committed, and contradicted by the leader`);
    if (conflict <= log.lastIndex) {
      log.truncate(conflict);
      state.durableIndex = Math.min(state.durableIndex, conflict - 1);
      state.out.unwritten = Math.min(state.out.unwritten, conflict);
      if (state.completeAt !== undefined && conflict <= state.completeAt) state.completeAt = undefined;
    }
    log.append(entries.slice(conflict - index - 1));
  }
  // Beyond the last entry that came with the message, this log may still differ from the leader's.
  commitTo(state, Math.min(commit, last));
  caughtUp(state, last, commit);
  accept(state, to, last);
}

function accept(state: RaftState, to: string, index: number): void {
  sendAfterWrite(state, { type: 'APPEND_REPLY', to, index, reject: false, hint: 0, hintTerm: 0, blank: false });
}

/**
 * `commit` is at most what the leader has been told that this log holds durably. Where it holds less, the disk has lost
 * what it had promised (a card that lies about its flushes, a last record that was damaged): this master counts as one
 * that has lost its log, and says so.
 */
export function onHeartbeat(state: RaftState, { from: to, commit, round }: Received<'HEARTBEAT'>): void {
  const { lastIndex } = state.log;
  if (commit > lastIndex) {
    if (state.hardState.rejoining !== true) rejoin(state);
    send(state, { type: 'APPEND_REPLY', to, index: commit, reject: true, hint: lastIndex, hintTerm: 0, blank: true });
  } else if (state.hardState.rejoining !== true) commitTo(state, commit);
  if (state.hardState.rejoining === true) send(state, { type: 'HEARTBEAT_REPLY', to, round, rejoining: true });
  // A learner is made to vote by this word: that it may has to be on its disk.
  else if (!isVoter(state)) sendAfterWrite(state, { type: 'HEARTBEAT_REPLY', to, round });
  else send(state, { type: 'HEARTBEAT_REPLY', to, round });
}

export function commitTo(state: RaftState, index: number): void {
  if (index > state.commitIndex) state.commitIndex = index;
}

/**
 * Who had lost its log is given all again that it may have acknowledged. A leader that has just been elected does not
 * know yet what is committed; with its first entry comes all before it, and so everything that was (§5.4).
 */
function caughtUp(state: RaftState, last: number, commit: number): void {
  if (state.hardState.rejoining !== true || last < commit || last < state.log.lastIndex) return;
  if (state.log.termAt(last) !== state.hardState.term) return;
  state.completeAt = last;
  settleRejoining(state);
}

/**
 * It may vote once all that is durable: in one write with the entries, the promise could survive a power cut without
 * them.
 */
export function settleRejoining(state: RaftState): void {
  if (state.completeAt === undefined || state.durableIndex < state.completeAt) return;
  state.completeAt = undefined;
  if (state.hardState.rejoining === true) setHardState(state, { ...state.hardState, rejoining: false });
}
