import { Fault } from '../../protocol/faults.ts';
import { LIMITS } from '../../protocol/limits.ts';
import { decodeMembership } from './membership-entry.ts';
import { peersOf, type RaftMessage, type RaftState, type Received } from './state.ts';

/** No cluster has had so many elections between two messages. Beyond, terms would soon end. */
const MOST_ELECTIONS = 2 ** 32;

/** The objection to who does not belong to the cluster. */
export const NO_MEMBER = 'it is no member';

/**
 * Why a message cannot be of a master that works, or undefined where it can. Who sends here has the cluster's key, so
 * it is no stranger; but a bug there, or a data folder that lives twice, must end neither this process nor this log.
 * What the core asserts, stays true by that.
 */
export function objectionTo(state: RaftState, message: RaftMessage): string | undefined {
  const { term } = state.hardState;
  if (message.term > term + MOST_ELECTIONS) return 'a term that nobody can have reached';
  const { type } = message;
  // Removed and not stopped, or never added. Of the masters only a leader knows for sure who belongs to them: a follower
  // may lag behind, and owes its vote to one that it has not heard of.
  if (state.role === 'leader' && type !== 'PROBE' && type !== 'PROBE_REPLY' && !peersOf(state).includes(message.from))
    return NO_MEMBER;
  if (type !== 'APPEND' && type !== 'HEARTBEAT' && type !== 'SNAPSHOT') return undefined;
  if (message.term === term && (state.leader ?? message.from) !== message.from) return 'two leaders of one term';
  if (type === 'APPEND') return objectionToEntries(message);
  return type === 'SNAPSHOT' ? objectionToState(state, message) : undefined;
}

/** Terms rise along a log, and none is of the future (§5.3); memberships were readable where they were written. */
function objectionToEntries({ term, logTerm, entries }: Received<'APPEND'>): string | undefined {
  let before = logTerm;
  for (const entry of entries) {
    if (entry.term < before) return 'entries whose terms fall';
    before = entry.term;
    if (entry.kind === 'membership' && decodeMembership(entry.payload) instanceof Fault)
      return 'a membership that cannot be read';
  }
  return before > term ? 'entries of a later term than their leader’s' : undefined;
}

function objectionToState(state: RaftState, message: Received<'SNAPSHOT'>): string | undefined {
  const { term, from, index, logTerm, part, bytes } = message;
  if (logTerm > term) return 'a state of a later term than its leader’s';
  const { arrival } = state;
  if (arrival?.from === from && arrival.index === index && arrival.term === logTerm && arrival.parts === part) {
    const open = arrival.open.reduce((sum, piece) => sum + piece.length, bytes.length);
    if (open > LIMITS.sliceBytes) return 'a slice of a state that never ends';
  }
  const committed = state.log.termAt(state.commitIndex) ?? 0;
  return index > state.commitIndex && logTerm < committed ? 'a state that contradicts what is committed' : undefined;
}
