import test from 'ava';
import type { RaftMessage } from '../../master/raft/state.ts';
import { all, from, leader, member, sent, voter } from './one-voter.ts';
import { membersOf } from './raft-cases.ts';

test('§5.1 a vote is written with its term before it is given', (t) => {
  const raft = member(3, [3]);
  // The term is known, and written, before.
  raft.step({ from: '3', to: '1', type: 'VOTE', term: 4, index: 0, logTerm: 0, force: false });
  t.like(sent(all(raft))[0], { type: 'VOTE_REPLY', to: '3', reject: true });
  raft.step({ ...from, type: 'VOTE', term: 4, index: 1, logTerm: 3, force: false });
  const [ready, ...more] = all(raft, false);
  t.deepEqual(ready?.hardState, { term: 4, vote: '2', rejoining: undefined });
  t.deepEqual(sent(ready === undefined ? [] : [ready, ...more]), [], 'nothing leaves before it is durable');
  raft.persisted(ready?.write ?? 0);
  t.like(sent(all(raft))[0], { type: 'VOTE_REPLY', to: '2', reject: false });
  raft.step({ from: '3', to: '1', type: 'VOTE', term: 4, index: 9, logTerm: 3, force: false });
  t.like(sent(all(raft))[0], { type: 'VOTE_REPLY', to: '3', reject: true });
});

test('§5.2 a vote that arrives twice counts once', (t) => {
  const raft = voter(
    { hardState: { term: 1, vote: undefined }, membership: membersOf([1, 2, 3, 4, 5]) },
    [1, 2, 3, 4, 5],
  );
  for (let ticks = 0; ticks < 20 && raft.role === 'follower'; ticks++) raft.tick();
  for (const peer of ['2', '3']) raft.step({ from: peer, to: '1', type: 'PRE_VOTE_REPLY', term: 2, reject: false });
  all(raft);
  t.is(raft.role, 'candidate');
  for (let time = 0; time < 4; time++) raft.step({ ...from, type: 'VOTE_REPLY', term: 2, reject: false });
  t.is(raft.role, 'candidate');
  raft.step({ from: '3', to: '1', type: 'VOTE_REPLY', term: 2, reject: false });
  t.is(raft.role, 'leader');
});

test('§5.4.2 an entry of an earlier term is not committed by counting, however many hold it', (t) => {
  const raft = leader(member(2, [1, 2]));
  t.is(raft.role, 'leader');
  raft.step({ ...from, type: 'APPEND_REPLY', term: 3, index: 2, reject: false, hint: 0, hintTerm: 0, blank: false });
  t.is(raft.commitIndex, 0);
  raft.step({ ...from, type: 'APPEND_REPLY', term: 3, index: 3, reject: false, hint: 0, hintTerm: 0, blank: false });
  t.is(raft.commitIndex, 3);
});

test('§5.3 a follower commits no further than the last entry that came with the message', (t) => {
  const raft = member(2, [1, 1, 1]);
  const append = { ...from, type: 'APPEND', term: 2, index: 1, logTerm: 1, commit: 3 } as const;
  raft.step({ ...append, entries: [{ kind: 'command', term: 1, payload: new Uint8Array([1]) }] });
  t.is(raft.commitIndex, 2, 'what follows in its log may not be the leader’s');
});

test('§5.3 an acceptance leaves when it is durable, and says so for a repeated message too', (t) => {
  const raft = member(2);
  const append: RaftMessage = {
    ...from,
    type: 'APPEND',
    term: 2,
    index: 0,
    logTerm: 0,
    commit: 0,
    entries: [{ kind: 'command', term: 2, payload: new Uint8Array([1]) }],
  };
  raft.step(append);
  const [first] = all(raft, false);
  raft.step(append);
  t.deepEqual(sent(all(raft, false)), []);
  raft.persisted(first?.write ?? 0);
  t.deepEqual(
    sent(all(raft)).map(({ type }) => type),
    ['APPEND_REPLY', 'APPEND_REPLY'],
  );
});

test('§5.3 a heartbeat says no more of what is committed than the follower is known to hold', (t) => {
  const raft = leader(member(1));
  raft.step({
    from: '3',
    to: '1',
    type: 'APPEND_REPLY',
    term: 2,
    index: 1,
    reject: false,
    hint: 0,
    hintTerm: 0,
    blank: false,
  });
  all(raft);
  raft.tick();
  const commits = new Map(sent(all(raft)).flatMap((m) => (m.type === 'HEARTBEAT' ? [[m.to, m.commit] as const] : [])));
  t.deepEqual([commits.get('2'), commits.get('3')], [0, 1]);
});

test('a master with an empty log neither votes nor stands before it knows that it is new', (t) => {
  const raft = voter({});
  for (let ticks = 0; ticks < 50; ticks++) raft.tick();
  t.is(raft.role, 'follower');
  t.deepEqual([...new Set(sent(all(raft)).map(({ type }) => type))], ['PROBE']);
  raft.step({ ...from, type: 'VOTE', term: 5, index: 9, logTerm: 4, force: true });
  t.like(sent(all(raft))[0], { type: 'VOTE_REPLY', reject: true });
});

test('a cluster is founded when all have said that they are new, and that they know the founders', (t) => {
  const raft = voter({});
  for (const peer of ['2', '3']) raft.step({ from: peer, to: '1', type: 'PROBE_REPLY', term: 0, standing: 'blank' });
  t.deepEqual(all(raft)[0]?.foundation, membersOf([1, 2, 3]));
  for (let ticks = 0; ticks < 50; ticks++) raft.tick();
  t.is(raft.role, 'follower');
  for (const peer of ['2', '3']) raft.step({ from: peer, to: '1', type: 'PROBE_REPLY', term: 0, standing: 'founding' });
  for (let ticks = 0; ticks < 50; ticks++) raft.tick();
  t.not(raft.role, 'follower');
});

test('who has lost its log writes down the founders, and votes when a leader has brought it up to date', (t) => {
  const raft = voter({});
  raft.step({ ...from, type: 'PROBE_REPLY', term: 4, standing: 'member' });
  const [ready] = all(raft);
  t.deepEqual(ready?.foundation, membersOf([1, 2, 3]), 'or its next start would found a cluster of its own');
  t.true(ready?.hardState?.rejoining);
  raft.step({ from: '3', to: '1', type: 'VOTE', term: 5, index: 9, logTerm: 4, force: true });
  t.like(sent(all(raft)).at(-1), { type: 'VOTE_REPLY', reject: true });
  raft.step({ from: '3', to: '1', type: 'PROBE_REPLY', term: 4, standing: 'member' });
  const entries = [{ kind: 'noop' as const, term: 6, payload: new Uint8Array() }];
  raft.step({ ...from, type: 'APPEND', term: 6, index: 0, logTerm: 0, commit: 1, entries });
  all(raft);
  t.is(raft.hardState.rejoining, false);
  t.is(raft.hardState.vote, '2', 'no second leader of that term');
});

test('who has lost its log, and is given all again, does not vote yet where the next leader has replaced some of it', (t) => {
  const raft = voter({});
  for (const peer of ['2', '3']) raft.step({ from: peer, to: '1', type: 'PROBE_REPLY', term: 2, standing: 'member' });
  all(raft);
  const entry = (term: number) => ({ kind: 'command' as const, term, payload: new Uint8Array([term]) });
  const entries = [entry(2), entry(2), entry(2)];
  raft.step({ ...from, type: 'APPEND', term: 2, index: 0, logTerm: 0, commit: 2, entries });
  const [first] = all(raft, false);
  raft.step({ from: '3', to: '1', type: 'APPEND', term: 3, index: 2, logTerm: 2, commit: 4, entries: [entry(3)] });
  raft.persisted(first?.write ?? 0);
  all(raft);
  t.true(raft.hardState.rejoining, 'entry 4 is committed, and not here');
  raft.step({ from: '3', to: '1', type: 'APPEND', term: 3, index: 3, logTerm: 3, commit: 4, entries: [entry(3)] });
  all(raft);
  t.false(raft.hardState.rejoining);
});

test('who has lost its log, and hears of a term before it is told so, writes down that it rejoins with the term', (t) => {
  const late = { ...from, term: 4, index: 91, reject: false, hint: 0, hintTerm: 0, blank: false } as const;
  const vote = { from: '3', to: '1', type: 'VOTE', term: 4, index: 9, logTerm: 4, force: true } as const;
  const heard: RaftMessage[] = [{ ...late, type: 'APPEND_REPLY' }, vote, { ...from, type: 'PROBE', term: 4 }];
  for (const message of heard) {
    const raft = voter({});
    raft.step(message);
    const [ready] = all(raft);
    t.deepEqual(ready?.foundation, membersOf([1, 2, 3]), message.type);
    t.true(ready?.hardState?.rejoining, message.type);
    const again = voter({ hardState: raft.hardState, membership: membersOf([1, 2, 3]) });
    again.step(vote);
    t.like(sent(all(again)).at(-1), { type: 'VOTE_REPLY', reject: true }, message.type);
  }
});

/** Its disk is empty, and the master 2 leads term 5 as far as that knows. */
function lost() {
  const raft = voter({});
  const probed = { to: '1', type: 'PROBE_REPLY', standing: 'member' } as const;
  raft.step({ ...probed, from: '2', term: 5, index: 1, membership: membersOf([1, 2, 3]) });
  all(raft);
  const noop = { kind: 'noop' as const, term: 5, payload: new Uint8Array() };
  const append = { ...from, type: 'APPEND', term: 5, index: 0, logTerm: 0, entries: [noop], commit: 1 } as const;
  return { raft, probed, append, heartbeat: { ...from, type: 'HEARTBEAT', term: 5, commit: 0, round: 7 } as const };
}

test('who is started before it is added, and told of some others only, goes on asking until it learns of all', (t) => {
  const raft = voter({});
  const probed = { to: '1', type: 'PROBE_REPLY', standing: 'member', term: 5, index: 7 } as const;
  for (const peer of ['2', '3']) raft.step({ ...probed, from: peer, membership: membersOf([2, 3, 4]) });
  all(raft);
  for (let ticks = 0; ticks < 50; ticks++) raft.tick();
  t.true(sent(all(raft)).some(({ type, to }) => type === 'PROBE' && to === '2'));
  raft.step({
    ...probed,
    from: '2',
    index: 8,
    membership: { ...membersOf([2, 3, 4]), learners: membersOf([1]).voters },
  });
  t.deepEqual(
    raft.membership.voters.map(({ id }) => id),
    ['2', '3', '4'],
  );
  all(raft);
  for (let ticks = 0; ticks < 50; ticks++) raft.tick();
  t.false(sent(all(raft)).some(({ type }) => type === 'PROBE'));
});

test('who rejoins takes nothing of a leader that it cannot answer before it knows where that is', (t) => {
  const raft = voter({});
  const probed = { to: '1', type: 'PROBE_REPLY', standing: 'member', term: 5, index: 7 } as const;
  for (const peer of ['2', '3']) raft.step({ ...probed, from: peer, membership: membersOf([2, 3, 4]) });
  const entries = [{ kind: 'command' as const, term: 5, payload: new Uint8Array([1]) }];
  const append = { from: '4', to: '1', type: 'APPEND', term: 5, index: 0, logTerm: 0, commit: 0, entries } as const;
  raft.step(append);
  t.false(sent(all(raft)).some(({ type }) => type === 'APPEND_REPLY'));
  raft.step({
    ...probed,
    from: '2',
    index: 8,
    membership: { ...membersOf([2, 3, 4]), learners: membersOf([1]).voters },
  });
  raft.step(append);
  t.like(
    sent(all(raft)).find(({ type }) => type === 'APPEND_REPLY'),
    { to: '4', reject: false },
  );
});

test('who has lost its log believes no leader that it may have helped to replace', (t) => {
  const { raft, probed, append, heartbeat } = lost();
  const spoken = (): unknown[] => sent(all(raft)).filter(({ type }) => type !== 'PROBE');
  raft.step({ ...append, entries: [...append.entries] });
  raft.step(heartbeat);
  t.deepEqual(spoken(), [], 'an answer would commit its entry, or confirm its read');
  raft.step({ ...probed, from: '3', term: 0, standing: 'blank' });
  raft.step({ ...probed, from: '3', term: 0, rejoining: true });
  raft.step(heartbeat);
  t.deepEqual(spoken(), [], 'who has lost its own cannot tell');
  raft.tick();
  t.deepEqual(
    sent(all(raft)).map(({ type, to }) => [type, to]),
    [['PROBE', '3']],
  );
  raft.step({ ...probed, from: '3', term: 6 });
  raft.step({ ...append, entries: [...append.entries] });
  t.like(spoken()[0], { type: 'APPEND_REPLY', to: '2', term: 6, index: 0 }, 'it learns that it does not lead any more');
  t.is(raft.lastIndex, 0);
  raft.step({ ...append, from: '3', term: 6, entries: [{ ...append.entries[0], kind: 'noop', term: 6 } as never] });
  all(raft);
  t.is(raft.hardState.rejoining, false);
});

test('who has lost its log has all when it has the first entry of a leader: a new one does not know what is committed', (t) => {
  const { raft, probed, append } = lost();
  raft.step({ ...probed, from: '3', term: 5 });
  const old = { kind: 'command' as const, term: 4, payload: new Uint8Array() };
  raft.step({ ...append, entries: [old, old], commit: 0 });
  all(raft);
  t.true(raft.hardState.rejoining, 'the third may be committed, and by its own word');
  raft.step({ ...append, index: 2, logTerm: 4, entries: [old, { ...old, kind: 'noop', term: 5 }], commit: 0 });
  all(raft);
  t.is(raft.hardState.rejoining, false);
});

test('who was told of some of the others only learns of all from those, and asks them too', (t) => {
  const raft = voter({}, [1, 2]);
  const members = membersOf([1, 2, 3]);
  raft.step({ ...from, type: 'PROBE_REPLY', term: 5, standing: 'member', index: 9, membership: members });
  t.deepEqual(all(raft).find(({ foundation }) => foundation !== undefined)?.foundation, members);
  raft.tick();
  t.true(sent(all(raft)).some(({ type, to }) => type === 'PROBE' && to === '3'));
  raft.step({ ...from, type: 'PROBE_REPLY', term: 5, standing: 'member', index: 3, membership: membersOf([1, 2, 4]) });
  raft.step({ ...from, type: 'PROBE_REPLY', term: 5, standing: 'member', index: 99, membership: membersOf([2, 3, 4]) });
  t.deepEqual(raft.membership, members, 'an older one, and one that this master is not of, are not taken');
});

test('a leader counts nothing any more that a follower had acknowledged and lost', (t) => {
  const raft = leader(member(1));
  const reply = { ...from, type: 'APPEND_REPLY', term: 2, reject: false, hint: 0, hintTerm: 0, blank: false } as const;
  raft.step({ ...reply, index: 1 });
  t.is(raft.followers.get('2')?.match, 1);
  raft.step({ ...reply, index: 1, reject: true, blank: true });
  t.is(raft.followers.get('2')?.match, 0);
  t.like(sent(all(raft)).at(-1), { type: 'APPEND', to: '2', index: 0 });
});

test('a follower that lacks what it had acknowledged is not asked again at once, and gets all again when it says so', (t) => {
  const raft = leader(member(1));
  const reply = { ...from, type: 'APPEND_REPLY', term: 2, hint: 0, hintTerm: 0, blank: false } as const;
  raft.step({ ...reply, index: 1, reject: false });
  raft.step({ ...from, type: 'HEARTBEAT_REPLY', term: 2, round: 1 });
  all(raft);
  for (let round = 0; round < 3; round++) raft.step({ ...reply, index: 1, reject: true });
  t.deepEqual(sent(all(raft)), []);
});

test('a follower whose disk has lost what it had acknowledged writes down that it rejoins, and says so', (t) => {
  const raft = member(2, [1, 2]);
  raft.step({ ...from, type: 'HEARTBEAT', term: 2, commit: 3, round: 1 });
  const seen = all(raft);
  t.like(seen.find(({ hardState }) => hardState !== undefined)?.hardState, { term: 2, rejoining: true });
  t.like(sent(seen)[0], { type: 'APPEND_REPLY', index: 3, reject: true, hint: 2, blank: true });
  raft.step({ ...from, type: 'VOTE', term: 3, index: 9, logTerm: 2, force: true });
  t.false(sent(all(raft)).some((message) => message.type === 'VOTE_REPLY' && !message.reject));
  for (const peer of ['2', '3']) raft.step({ from: peer, to: '1', type: 'PROBE_REPLY', term: 3, standing: 'member' });
  all(raft);
  const entry = { kind: 'command', term: 2, payload: new Uint8Array([1]) } as const;
  raft.step({ ...from, type: 'APPEND', term: 3, index: 2, logTerm: 2, entries: [{ ...entry, term: 3 }], commit: 3 });
  const caught = all(raft, false);
  t.deepEqual(
    caught.flatMap(({ hardState, entries }) => [hardState?.rejoining, entries.length]),
    [true, 1],
    'in one write with the entries, a power cut could leave the promise alone',
  );
  raft.persisted(caught[0]?.write ?? 0);
  t.like(all(raft).find(({ hardState }) => hardState !== undefined)?.hardState, { rejoining: false });
});

test('§6.4 a read is answered when a majority has confirmed the leader after it was asked', (t) => {
  const raft = leader(member(1));
  raft.read(1);
  t.deepEqual(
    all(raft).flatMap(({ reads }) => reads),
    [],
    'nothing of its own term is committed yet',
  );
  raft.step({ ...from, type: 'APPEND_REPLY', term: 2, index: 1, reject: false, hint: 0, hintTerm: 0, blank: false });
  t.deepEqual(
    all(raft).flatMap(({ reads }) => reads),
    [],
    'and nobody has confirmed it since',
  );
  raft.step({ ...from, type: 'HEARTBEAT_REPLY', term: 2, round: 0 });
  t.deepEqual(
    all(raft).flatMap(({ reads }) => reads),
    [],
    'an answer to an earlier heartbeat proves nothing',
  );
  raft.step({ ...from, type: 'HEARTBEAT_REPLY', term: 2, round: 1 });
  t.like(all(raft).flatMap(({ reads }) => reads)[0], { context: 1, index: 1 });
});

test('a write that becomes durable after another leader’s entry took its place says nothing of that one', (t) => {
  const raft = member(1);
  const append = { ...from, type: 'APPEND', index: 0, logTerm: 0, commit: 0 } as const;
  raft.step({ ...append, term: 1, entries: [{ kind: 'command', term: 1, payload: new Uint8Array([1]) }] });
  const [first] = all(raft, false);
  raft.step({
    ...append,
    term: 2,
    from: '3',
    commit: 1,
    entries: [{ kind: 'command', term: 2, payload: new Uint8Array([2]) }],
  });
  const [second] = all(raft, false);
  raft.persisted(first?.write ?? 0);
  t.deepEqual(
    all(raft, false).flatMap(({ committed }) => committed),
    [],
  );
  raft.persisted(second?.write ?? 0);
  t.is(all(raft).flatMap(({ committed }) => committed)[0]?.term, 2);
});

test('a follower whose connection to the leader ends stands soon, and refuses no one else who does', (t) => {
  const raft = member(3, [3]);
  const heartbeat = { ...from, type: 'HEARTBEAT', term: 3, commit: 1, round: 1 } as const;
  const preVote = { from: '3', to: '1', type: 'PRE_VOTE', term: 4, index: 1, logTerm: 3 } as const;
  raft.step(heartbeat);
  all(raft);
  raft.step(preVote);
  t.deepEqual(
    sent(all(raft)).filter(({ type }) => type === 'PRE_VOTE_REPLY'),
    [],
    'the leader lives',
  );
  raft.missed('3');
  raft.step(preVote);
  t.deepEqual(
    sent(all(raft)).filter(({ type }) => type === 'PRE_VOTE_REPLY'),
    [],
    'another one was missed',
  );
  raft.missed('2');
  raft.step(preVote);
  t.like(sent(all(raft))[0], { type: 'PRE_VOTE_REPLY', to: '3', reject: false });
  t.is(raft.term, 3);
  raft.tick();
  t.true(sent(all(raft)).some(({ type }) => type === 'PRE_VOTE'));
  const calm = member(3, [3]);
  calm.step(heartbeat);
  calm.missed('2');
  calm.step(heartbeat);
  all(calm);
  for (let ticks = 0; ticks < 9; ticks++) calm.tick();
  t.deepEqual(sent(all(calm)), [], 'it has spoken again');
});
