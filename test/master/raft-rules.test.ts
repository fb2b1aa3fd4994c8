import test from 'ava';
import { encodeMembership } from '../../master/raft/membership-entry.ts';
import type { Raft } from '../../master/raft/raft.ts';
import { Fault } from '../../protocol/faults.ts';
import { all, from, leader, member, sent, voter } from './one-voter.ts';
import { membersOf } from './raft-cases.ts';

const REPLY = { ...from, type: 'APPEND_REPLY', reject: false, hint: 0, hintTerm: 0, blank: false } as const;
const HEARTBEAT = { ...from, type: 'HEARTBEAT', term: 3, commit: 0, round: 0 } as const;
const FOUR = { id: '4', urls: [] };

function committed(raft: Raft): Raft {
  raft.step({ ...REPLY, term: raft.term, index: raft.lastIndex });
  all(raft);
  return raft;
}

test('§5.1 a term that was heard of is written down before anything is said in it', (t) => {
  const raft = member(3, [3]);
  raft.step({ ...from, type: 'VOTE', term: 4, index: 0, logTerm: 0, force: false });
  const seen = all(raft, false);
  t.like(seen[0]?.hardState, { term: 4, vote: undefined });
  t.deepEqual(sent(seen), []);
  raft.persisted(seen[0]?.write ?? 0);
  t.like(sent(all(raft))[0], { type: 'VOTE_REPLY', term: 4, reject: true });
});

test('§5.4.1 of two logs the one with the later last term is ahead, of the same term the longer one', (t) => {
  const cases = [
    { index: 9, logTerm: 2, reject: true },
    { index: 1, logTerm: 3, reject: true },
    { index: 2, logTerm: 3, reject: false },
    { index: 1, logTerm: 4, reject: false },
  ];
  for (const { index, logTerm, reject } of cases) {
    const raft = member(4, [1, 3]);
    raft.step({ ...from, type: 'VOTE', term: 5, index, logTerm, force: false });
    t.like(sent(all(raft))[0], { type: 'VOTE_REPLY', reject }, `${index} of term ${logTerm}`);
  }
});

test('a leader hands out what is committed, and nothing else', (t) => {
  const raft = leader(member(1));
  raft.propose(new Uint8Array([1]));
  t.deepEqual(
    all(raft).flatMap((ready) => ready.committed),
    [],
  );
  raft.step({ ...REPLY, term: 2, index: 2 });
  t.is(all(raft).flatMap((ready) => ready.committed).length, 2);
});

test('a follower hands out what is durable there, and nothing else', (t) => {
  const raft = member(1);
  const entries = [{ kind: 'command', term: 1, payload: new Uint8Array([1]) }] as const;
  raft.step({ ...from, type: 'APPEND', term: 1, index: 0, logTerm: 0, commit: 1, entries: [...entries] });
  const seen = all(raft, false);
  t.deepEqual(
    seen.flatMap((ready) => ready.committed),
    [],
  );
  raft.persisted(seen[0]?.write ?? 0);
  t.is(all(raft).flatMap((ready) => ready.committed).length, 1);
});

test('thesis §4.1, erratum: the masters are changed only once an entry of the leader’s own term is committed', (t) => {
  const raft = leader(member(2, [1, 2]));
  const early = raft.change({ add: FOUR });
  t.true(early instanceof Fault && early.code === 'CONFLICT');
  committed(raft);
  t.false(raft.change({ add: FOUR }) instanceof Fault);
});

test('thesis §4.1: one change at a time', (t) => {
  const raft = committed(leader(member(1)));
  t.false(raft.change({ add: FOUR }) instanceof Fault);
  all(raft);
  const second = raft.change({ remove: '3' });
  t.true(second instanceof Fault && second.code === 'CONFLICT');
  committed(raft);
  t.false(raft.change({ remove: '3' }) instanceof Fault);
});

test('a change that would leave no majority of those that live is refused, and the removal of a dead one is not', (t) => {
  const raft = committed(leader(member(1)));
  const refused = raft.change({ remove: '2' });
  t.true(
    refused instanceof Fault && refused.code === 'CONFLICT' && /2 masters .* 3 cannot be reached/.test(refused.message),
  );
  t.deepEqual(raft.membership, membersOf([1, 2, 3]));
  t.false(raft.change({ remove: '3' }) instanceof Fault);
});

test('a learner that has all and has died since does not vote: its death would be the majority’s', (t) => {
  const raft = committed(leader(member(1)));
  raft.change({ add: FOUR });
  committed(raft);
  raft.step({ ...REPLY, from: '4', term: 2, index: raft.lastIndex });
  t.true(raft.followers.get('4')?.active);
  for (let ticks = 0; ticks < 30; ticks++) {
    raft.tick();
    all(raft);
    t.true(raft.followers.get('2')?.active, 'also between a check of the quorum and the next answer');
    raft.step({ ...from, type: 'HEARTBEAT_REPLY', term: 2, round: 0 });
  }
  const refused = raft.change({ promote: '4' });
  t.true(refused instanceof Fault && refused.code === 'CONFLICT' && /3, 4 cannot be reached/.test(refused.message));
  raft.step({ ...from, from: '4', type: 'HEARTBEAT_REPLY', term: 2, round: 0 });
  t.false(raft.change({ promote: '4' }) instanceof Fault);
});

test('a learner that has all, and says that it may not vote yet, is not made a voter', (t) => {
  const raft = committed(leader(member(1)));
  raft.change({ add: FOUR });
  committed(raft);
  raft.step({ ...REPLY, from: '4', term: 2, index: raft.lastIndex });
  t.is(raft.followers.get('4')?.rejoining, undefined, 'it has not said');
  raft.step({ ...from, from: '4', type: 'HEARTBEAT_REPLY', term: 2, round: 0, rejoining: true });
  t.like(raft.change({ promote: '4' }), { code: 'CONFLICT' });
  raft.step({ ...from, from: '4', type: 'HEARTBEAT_REPLY', term: 2, round: 0 });
  t.false(raft.change({ promote: '4' }) instanceof Fault);
});

test('with a snapshot comes the membership: what had changed it here and was not committed is gone', (t) => {
  const raft = member(2);
  const payload = encodeMembership(membersOf([1, 2, 3, 4, 5]));
  const entries = [{ kind: 'membership' as const, term: 2, payload }];
  raft.step({ ...from, type: 'APPEND', term: 2, index: 0, logTerm: 0, commit: 0, entries });
  all(raft);
  t.is(raft.membership.voters.length, 5);
  const snapshot = {
    ...from,
    type: 'SNAPSHOT',
    term: 3,
    index: 9,
    logTerm: 3,
    part: 0,
    last: true,
    ends: true,
  } as const;
  raft.step({ ...snapshot, membership: membersOf([1, 2, 3]), bytes: new Uint8Array([1]) });
  t.deepEqual(raft.membership, membersOf([1, 2, 3]));
});

test('thesis §3.10: who is handed leadership asks at once, and gets votes although the leader lives', (t) => {
  const heir = member(3, [3]);
  heir.step(HEARTBEAT);
  all(heir);
  heir.step({ ...from, type: 'TIMEOUT_NOW', term: 3 });
  const votes = sent(all(heir)).filter(({ type }) => type === 'VOTE' || type === 'PRE_VOTE');
  t.deepEqual(
    votes.map(({ type, term }) => [type, term]),
    [
      ['VOTE', 4],
      ['VOTE', 4],
    ],
  );
  const follower = member(3, [3]);
  follower.step(HEARTBEAT);
  all(follower);
  follower.step({ from: '3', to: '1', type: 'VOTE', term: 4, index: 1, logTerm: 3, force: true });
  t.like(sent(all(follower)).at(-1), { type: 'VOTE_REPLY', to: '3', reject: false });
});

test('thesis §4.2.3: who hears a leader listens to no candidate, and keeps its term', (t) => {
  const raft = member(3, [3]);
  raft.step(HEARTBEAT);
  all(raft);
  raft.step({ from: '3', to: '1', type: 'VOTE', term: 4, index: 1, logTerm: 3, force: false });
  t.deepEqual(sent(all(raft)), []);
  t.is(raft.term, 3);
});

test('thesis §9.6: a pre-vote is given by who has voted in its own term, for that of a later one', (t) => {
  const raft = voter({ hardState: { term: 3, vote: '2' }, membership: membersOf([1, 2, 3]) });
  raft.step({ from: '3', to: '1', type: 'PRE_VOTE', term: 4, index: 1, logTerm: 3 });
  t.like(sent(all(raft))[0], { type: 'PRE_VOTE_REPLY', to: '3', term: 4, reject: false });
  t.is(raft.term, 3);
});

test('thesis §6.2: a leader that hears of no majority steps down', (t) => {
  const heard = committed(leader(member(1)));
  const alone = committed(leader(member(1)));
  for (let ticks = 0; ticks < 30; ticks++) {
    for (const raft of [heard, alone]) {
      raft.tick();
      all(raft);
    }
    heard.step({ ...from, type: 'HEARTBEAT_REPLY', term: 2, round: 0 });
  }
  t.is(heard.role, 'leader');
  t.not(alone.role, 'leader');
});
