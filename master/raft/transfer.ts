import { sendAppend } from './replication.ts';
import { type RaftState, send, votersOf } from './state.ts';

/**
 * Thesis §3.10: the leader takes no more proposals, brings `to` up to date, and tells it to stand for election at once.
 * Given up after an election time-out. Another target replaces the one before. False where `to` cannot lead.
 */
export function transfer(state: RaftState, to: string): boolean {
  if (state.role !== 'leader' || !votersOf(state).includes(to)) return false;
  if (to === state.id) {
    state.transferee = undefined;
    return true;
  }
  if (state.transferee === to) return true;
  state.transferee = to;
  state.electionElapsed = 0;
  if (!handOver(state, to)) sendAppend(state, to, true);
  return true;
}

/** True where the target has everything and was told. */
export function handOver(state: RaftState, peer: string): boolean {
  if (state.transferee !== peer || state.progress.get(peer)?.match !== state.log.lastIndex) return false;
  send(state, { type: 'TIMEOUT_NOW', to: peer });
  return true;
}
