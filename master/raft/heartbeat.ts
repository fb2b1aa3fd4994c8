import { type RaftState, send } from './state.ts';

/** The commit index is never above what the follower is known to hold: beyond, its log may be another one. */
export function broadcastHeartbeat(state: RaftState): void {
  for (const [peer, { match }] of state.progress) {
    send(state, { type: 'HEARTBEAT', to: peer, commit: Math.min(match, state.commitIndex), round: state.round });
  }
}
