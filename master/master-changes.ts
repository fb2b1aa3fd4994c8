import { Fault } from '../protocol/faults.ts';
import type { Asker, ClientSessions } from './client-sessions.ts';
import type { Leader } from './leader.ts';
import type { MembershipChange } from './raft/membership.ts';

/** What a change of the masters needs. */
export interface ChangeDesk {
  readonly leader: Leader;
  readonly clients: ClientSessions;
  /** Changes of the masters that are in the log, and answered once they are committed. */
  readonly changes: MasterChange[];
}

/** At `index` of this leader's log; by request, so that a repeated one is not taken for another. */
export interface MasterChange {
  readonly key: string;
  readonly master: string;
  readonly index: number;
  committed: boolean;
  session: string;
}

/** A change that is made already is no fault: a request may be repeated. */
export function handOver({ leader }: ChangeDesk, master: string): { master: string }[] | Fault {
  const { quorum, id } = leader.world;
  const { membership, followers } = quorum.standing();
  if (membership.learners.some((learner) => learner.id === master))
    return new Fault('CONFLICT', `${master} does not vote yet`, 'Wait until mesq masters shows it as a follower.');
  if (!membership.voters.some((voter) => voter.id === master)) return noMaster(master);
  if (master !== id && followers.get(master)?.active !== true)
    return new Fault('CONFLICT', `${master} is not reached`, 'Start it, or hand over to another: mesq masters.');
  return quorum.transfer(master) ?? [{ master }];
}

function noMaster(master: string): Fault {
  return new Fault('NOT_FOUND', `there is no master ${master}`, 'List what there is with mesq masters.');
}

/** Changes that are remembered with their requests, until the term ends. */
const MOST_CHANGES = 100;

/** Answers at once where nothing is to be changed; undefined where the change is in the log, and {@link answerCommitted} will. */
export function changeMasters(
  desk: ChangeDesk,
  { principal, request, session }: Asker,
  master: string,
  change: MembershipChange,
): { master: string }[] | Fault | undefined {
  const key = `${principal.name}/${request}`;
  const before = desk.changes.find((each) => each.key === key);
  if (before !== undefined) {
    before.session = session;
    return before.committed ? [{ master }] : undefined;
  }
  const { quorum } = desk.leader.world;
  const { voters, learners } = quorum.standing().membership;
  const member = [...voters, ...learners].find(({ id }) => id === master);
  const other = [...voters, ...learners].find(
    ({ id, urls }) =>
      'add' in change &&
      id !== master &&
      change.add.urls.some((url) => [...urls, ...quorum.urlsOf({ id, urls })].includes(url)),
  );
  if (other !== undefined)
    return new Fault(
      'CONFLICT',
      `${other.id} is reached at that URL: ${master} would be the same master once more`,
      `Add ${master} with the URL that it listens on itself.`,
    );
  if ('add' in change && member !== undefined) {
    const urls = [...member.urls, ...quorum.urlsOf(member)];
    if (!change.add.urls.every((url) => urls.includes(url)))
      return new Fault(
        'CONFLICT',
        `${master} is a master already, at ${quorum.urlsOf(member).join(', ')}`,
        `To move it: mesq masters remove ${master}, then add it under another id, with an empty data folder.`,
      );
  }
  const known = member !== undefined;
  const pending = desk.changes.some((each) => each.master === master && !each.committed);
  // Every request may be repeated, also at the next leader: what is as it was to be is done.
  if ('add' in change === known && !pending) return [{ master }];
  const outcome = quorum.change(change);
  if (outcome instanceof Fault) return outcome;
  desk.changes.push({ key, master, index: outcome.index, committed: false, session });
  if (desk.changes.length > MOST_CHANGES) desk.changes.shift();
  return undefined;
}

/** Commit, then answer: a leader that is cut off has the change in its log, and may lose it. */
export function answerCommitted({ changes, clients, leader }: ChangeDesk): void {
  for (const change of changes) {
    if (change.committed || change.index > leader.registry.index) continue;
    change.committed = true;
    const { key, session, master } = change;
    const at = key.lastIndexOf('/');
    clients.reply(key.slice(0, at), session, { request: key.slice(at + 1), part: 0, last: true, body: { master } });
  }
}
