import { LIMITS } from '../../protocol/limits.ts';
import type { Progress } from './progress.ts';
import { reachedByMajority } from './quorum.ts';
import { confirmPostponed } from './reads.ts';
import { sendShipment, wantShipment } from './snapshots.ts';
import { type RaftState, type Received, send, votersOf } from './state.ts';

/** Sends to `peer` what it lacks, as far as its window allows. True where something left. */
export function sendAppend(state: RaftState, peer: string, evenIfEmpty: boolean): boolean {
  const progress = state.progress.get(peer);
  if (progress === undefined || progress.waits) return false;
  const index = progress.next - 1;
  const logTerm = state.log.termAt(index);
  if (logTerm === undefined) {
    wantShipment(state, peer, progress);
    return false;
  }
  const entries = state.log.some(progress.next, LIMITS.entriesPerAppend, LIMITS.commandBytes);
  const last = entries.at(-1)?.index;
  if (last === undefined && !evenIfEmpty) return false;
  send(state, {
    type: 'APPEND',
    to: peer,
    index,
    logTerm,
    entries: entries.map(({ kind, term, payload }) => ({ kind, term, payload })),
    commit: state.commitIndex,
  });
  progress.told = state.commitIndex;
  if (last !== undefined) progress.sent(last);
  return last !== undefined;
}

export function broadcastAppend(state: RaftState): void {
  for (const peer of state.progress.keys()) sendAppend(state, peer, true);
}

/** All that the window of a follower takes. */
export function fill(state: RaftState, peer: string): void {
  while (sendAppend(state, peer, false));
}

export function onAppendReply(state: RaftState, message: Received<'APPEND_REPLY'>): void {
  const { from, index } = message;
  const progress = state.progress.get(from);
  if (progress === undefined) return;
  progress.heard = true;
  if (message.reject) return refused(state, message, progress);
  const probing = progress.state === 'probe';
  const moved = progress.acknowledged(Math.min(index, state.log.lastIndex));
  if (!moved && !(probing && index === progress.next - 1)) return;
  if (probing) progress.replicate();
  else if (progress.state === 'snapshot' && snapshotDone(state, progress)) progress.probe();
  if (commitReached(state)) broadcastAppend(state);
  else if (progress.told < Math.min(progress.match, state.commitIndex)) sendAppend(state, from, true);
  fill(state, from);
}

/** The state has arrived, or is not needed any more. By now the log may have gone on without it: then the next one is sent. */
function snapshotDone({ log }: RaftState, { match, shipment }: Progress): boolean {
  return log.termAt(match) !== undefined || (shipment !== undefined && match >= shipment.index);
}

/** §5.3, the accelerated log backtracking: whole terms are skipped on both sides. */
function refused(state: RaftState, message: Received<'APPEND_REPLY'>, progress: Progress): void {
  const { from, index, hint, hintTerm } = message;
  if (message.blank && index <= progress.match) {
    // It has lost what it had acknowledged, and says so: it counts for nothing that it has not got again.
    progress.match = 0;
    progress.probe();
    progress.next = hint + 1;
    sendAppend(state, from, true);
    return;
  }
  const agreement = hintTerm > 0 ? state.log.agreementBefore(hint, hintTerm).index : hint;
  if (!progress.refused(index, agreement)) return;
  sendAppend(state, from, true);
}

export function onHeartbeatReply(state: RaftState, { from, rejoining }: Received<'HEARTBEAT_REPLY'>): void {
  const progress = state.progress.get(from);
  if (progress === undefined) return;
  progress.heard = true;
  progress.rejoining = rejoining === true;
  progress.paused = false;
  if (progress.waits) progress.inflight.shift();
  // A follower that probes, though it has everything, gets out of it by the answer to an empty APPEND.
  if (progress.match < state.log.lastIndex || progress.state === 'probe') sendAppend(state, from, true);
}

/**
 * §5.3, §5.4.2: committed is what a majority holds durably, the own disk counted like any other, up to an entry of the
 * own term. True where the commit index moved.
 */
export function commitReached(state: RaftState): boolean {
  if (state.role !== 'leader') return false;
  const held = votersOf(state).map((voter) =>
    voter === state.id ? state.durableIndex : (state.progress.get(voter)?.match ?? 0),
  );
  const reached = reachedByMajority(held);
  if (reached <= state.commitIndex || state.log.termAt(reached) !== state.hardState.term) return false;
  state.commitIndex = reached;
  confirmPostponed(state);
  return true;
}

/** Lost messages and lost snapshots are sent again. */
export function tickShipments(state: RaftState): void {
  for (const [peer, progress] of state.progress) {
    const { shipment } = progress;
    if (progress.state !== 'snapshot') continue;
    if (shipment === undefined) wantShipment(state, peer, progress);
    else if (++shipment.silent >= state.settings.electionTicks) {
      // A follower that was started again has lost what had arrived.
      shipment.arrived = Math.min(shipment.arrived, shipment.heard);
      shipment.silent = 0;
      shipment.sent = shipment.arrived;
      sendShipment(state, peer, shipment);
    }
  }
}
