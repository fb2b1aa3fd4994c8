import { createState } from '../../master/raft/create-state.ts';
import { type Raft, type Ready, raftOf } from '../../master/raft/raft.ts';
import type { Entry } from '../../master/raft/records.ts';
import type { Remembered } from '../../master/raft/recover.ts';
import type { RaftMessage } from '../../master/raft/state.ts';
import { membersOf } from './raft-cases.ts';

/** One of three voters, by hand: what it hands out is looked at, what it writes is durable when the test says so. */
export function voter(remembered: Partial<Remembered>, voters = [1, 2, 3]): Raft {
  const founders = membersOf(voters);
  const blank: Remembered = {
    hardState: { term: 0, vote: undefined },
    start: { index: 0, term: 0 },
    membership: undefined,
    entries: [],
    ordinals: [],
  };
  return raftOf(createState({ id: '1', founders, remembered: { ...blank, ...remembered } }));
}

/** A voter that has been there before. */
export function member(term: number, logTerms: readonly number[] = []): Raft {
  const entries = logTerms.map(
    (each, place): Entry => ({ kind: 'command', term: each, index: place + 1, payload: new Uint8Array([place]) }),
  );
  return voter({ hardState: { term, vote: undefined }, membership: membersOf([1, 2, 3]), entries });
}

export function all(raft: Raft, durable = true): Ready[] {
  const seen: Ready[] = [];
  for (let ready = raft.ready(); ready !== undefined; ready = raft.ready()) {
    seen.push(ready);
    if (durable && ready.write !== undefined) raft.persisted(ready.write);
  }
  return seen;
}

export const sent = (seen: readonly Ready[]): RaftMessage[] => seen.flatMap(({ messages }) => [...messages]);
export const from = { from: '2', to: '1' };

/** Elected in `term`, its no-op durable and sent, acknowledged by nobody. */
export function leader(raft: Raft): Raft {
  for (let ticks = 0; ticks < 20 && raft.role === 'follower'; ticks++) raft.tick();
  raft.step({ ...from, type: 'PRE_VOTE_REPLY', term: raft.term + 1, reject: false });
  all(raft);
  raft.step({ ...from, type: 'VOTE_REPLY', term: raft.term, reject: false });
  all(raft);
  return raft;
}
