import { Fault } from '../../protocol/faults.ts';
import { LIMITS } from '../../protocol/limits.ts';
import type { Member, Membership } from '../../protocol/raft.ts';
import { encodeMembership } from './membership-entry.ts';
import { Progress } from './progress.ts';
import { majority } from './quorum.ts';
import { commitReached } from './replication.ts';
import { appendOwn, becomeFollower, isVoter, peersOf, type RaftState } from './state.ts';

/** One step of a change; to replace a master takes three. */
export type MembershipChange = { readonly add: Member } | { readonly promote: string } | { readonly remove: string };

/**
 * Thesis §4.1 to §4.3: one master at a time, so that the majorities before and after always meet; in force from the
 * moment it is in the log. Only once an entry of the leader's own term is committed (the erratum to the thesis), and
 * only when the change before is. A new master comes as a learner, and is promoted when it has what is committed.
 * Faults: `NO_LEADER`, `CONFLICT` (not now, it makes no sense, or no majority would be left), `NOT_FOUND`.
 */
export function changeMembership(state: RaftState, change: MembershipChange): { term: number; index: number } | Fault {
  if (state.role !== 'leader' || state.transferee !== undefined) return new Fault('NO_LEADER');
  if (state.log.termAt(state.commitIndex) !== state.hardState.term || state.log.membershipIndex > state.commitIndex)
    return new Fault('CONFLICT', 'another change of the masters is not committed yet', 'Try again in a moment.');
  const changed = changedMembership(state, change);
  if (changed instanceof Fault) return changed;
  const place = appendOwn(state, 'membership', encodeMembership(changed));
  adoptMembership(state);
  return place;
}

function changedMembership(state: RaftState, change: MembershipChange): Membership | Fault {
  const { voters, learners } = state.log.membership;
  const known = (id: string): boolean => [...voters, ...learners].some((member) => member.id === id);
  if ('add' in change) {
    const { add } = change;
    if (known(add.id)) return new Fault('CONFLICT', `${add.id} is a master already`);
    if (voters.length + learners.length >= LIMITS.masters)
      return new Fault('CONFLICT', `a cluster has at most ${LIMITS.masters} masters`);
    return { voters, learners: [...learners, add] };
  }
  if ('promote' in change) {
    const learner = learners.find(({ id }) => id === change.promote);
    if (learner === undefined) return new Fault('NOT_FOUND', `${change.promote} is no learner`);
    const progress = state.progress.get(learner.id);
    // One that may not vote would be a voter without a vote: the leader gone, nobody could be elected.
    if ((progress?.match ?? 0) < state.commitIndex || progress?.rejoining === true)
      return new Fault('CONFLICT', `${learner.id} does not have all yet that is committed`, 'Try again in a moment.');
    // It has all, and may have died since: as a voter it would be missed.
    return survivable(state, {
      voters: [...voters, learner],
      learners: learners.filter((member) => member !== learner),
    });
  }
  if (!known(change.remove)) return new Fault('NOT_FOUND', `there is no master ${change.remove}`);
  const without = (members: readonly Member[]): Member[] => members.filter(({ id }) => id !== change.remove);
  const left = { voters: without(voters), learners: without(learners) };
  return left.voters.length > 0
    ? survivable(state, left)
    : new Fault('CONFLICT', `${change.remove} is the last master`, 'Add another one first: mesq masters add ID=URL.');
}

/**
 * A change is in force from the moment it is in the log: one after which no majority lives could never be committed, and
 * would stop the cluster. To remove who is dead is always possible; a learner that is added makes no majority larger.
 */
function survivable({ id, progress }: RaftState, changed: Membership): Membership | Fault {
  const ids = changed.voters.map((voter) => voter.id);
  const silent = ids.filter((voter) => voter !== id && progress.get(voter)?.active !== true);
  const [live, needed] = [ids.length - silent.length, majority(ids.length)];
  if (live >= needed) return changed;
  return new Fault(
    'CONFLICT',
    `of the ${ids.length} masters that would be left ${silent.join(', ')} cannot be reached, and ${needed} are needed`,
    'Nothing was changed. Start what is down, or remove that first: mesq masters.',
  );
}

/** A leader sends to whom the membership in force names, and counts them. */
export function adoptMembership(state: RaftState): void {
  if (state.role !== 'leader') return;
  const peers = new Set(peersOf(state));
  for (const peer of state.progress.keys()) if (!peers.has(peer)) state.progress.delete(peer);
  for (const peer of peers) {
    if (state.progress.has(peer)) continue;
    const progress = new Progress(state.log.lastIndex);
    // It has just been added by somebody who knows it: it is not silent yet.
    progress.heard = true;
    state.progress.set(peer, progress);
  }
  if (state.transferee !== undefined && !peers.has(state.transferee)) state.transferee = undefined;
  commitReached(state);
}

/** Thesis §4.2.2: a leader that was removed leads until its removal is committed. */
export function leaveWhenRemoved(state: RaftState): void {
  if (state.role !== 'leader' || isVoter(state) || state.log.membershipIndex > state.commitIndex) return;
  becomeFollower(state, state.hardState.term, undefined);
}
