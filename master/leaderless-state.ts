import type { ShownMaster } from '../protocol/operator.ts';
import type { Membership } from '../protocol/raft.ts';
import { topicOf } from '../protocol/topics.ts';
import type { World } from './leader.ts';

/**
 * While no leader is known, nobody but this master can say on its broker who is there: what the last leader has left
 * under `state/masters/` may name a dead one as the leader for ever. The next leader's word takes the place of this.
 */
export function showLeaderless(
  { bus, prefix, counters, id: own, version, quorum }: World,
  { voters, learners }: Membership,
  { term, unreachable }: { readonly term: number; readonly unreachable: readonly string[] },
): void {
  for (const member of [...voters, ...learners]) {
    const { id } = member;
    const shown: ShownMaster = {
      id,
      role: unreachable.includes(id) ? 'unreachable' : 'follower',
      version: id === own ? version : quorum.versionOf(id),
      url: quorum.urlsOf(member)[0] ?? '',
      term,
    };
    bus
      .publish(
        topicOf(prefix, { kind: 'state', rest: `masters/${id}` }),
        new TextEncoder().encode(JSON.stringify(shown)),
        { retain: true },
      )
      .catch(() => counters.count('state not published'));
  }
}
