import test from 'ava';
import { createState } from '../../master/raft/create-state.ts';
import { recover } from '../../master/raft/recover.ts';
import type { RaftState } from '../../master/raft/state.ts';
import { assert, Fault } from '../../protocol/faults.ts';
import { RaftAudit } from './raft-audit.ts';

const VOTERS = ['m1', 'm2', 'm3'].map((id) => ({ id, urls: [] }));

/** A master with entries of these terms, from index 1. */
function master(id: string, terms: readonly number[], more: Partial<RaftState> = {}): RaftState {
  const remembered = recover(undefined, []);
  assert(!(remembered instanceof Fault), 'an empty log is read');
  const founders = { voters: VOTERS, learners: [] };
  const state = createState({ id, remembered, founders, heartbeatTicks: 2, chance: () => 0 });
  for (const term of terms) append(state, term);
  return Object.assign(state, more);
}

function append({ log }: RaftState, term: number, payload = new Uint8Array()): void {
  log.append([{ kind: 'command', term, index: log.lastIndex + 1, payload }]);
}

function leading(term: number): Partial<RaftState> {
  return { role: 'leader', hardState: { term, vote: undefined, rejoining: false } };
}

function audited() {
  const violations: string[] = [];
  const audit = new RaftAudit((what) => violations.push(what));
  const look = (...states: readonly RaftState[]): string[] => {
    for (const state of states) audit.look(state.id, state);
    return violations.splice(0);
  };
  return { audit, look };
}

test('logs that agree are found well, step by step', (t) => {
  const { audit, look } = audited();
  const [m1, m2] = [master('m1', [1], leading(1)), master('m2', [1])];
  t.deepEqual(look(m1, m2), []);
  append(m1, 1);
  m1.commitIndex = 2;
  append(m2, 1);
  t.deepEqual(look(m1, m2), []);
  t.is(audit.elections, 1);
});

test('election safety: two leaders of one term are seen', (t) => {
  const { look } = audited();
  t.regex(look(master('m1', [], leading(1)), master('m2', [], leading(1))).join(), /election safety: m1 and m2/);
});

test('append-only: a leader that drops or replaces what is in its log is seen', (t) => {
  const { look } = audited();
  const [m1, m2] = [master('m1', [1, 2], leading(2)), master('m2', [1, 2, 2], leading(3))];
  t.deepEqual(look(m1, m2), []);
  m1.log.truncate(2);
  t.regex(look(m1).join(), /append-only: leader m1 replaces its entry 2/);
  m2.log.truncate(3);
  append(m2, 2);
  t.regex(look(m2).join(), /append-only: leader m2 replaces its entry 3/);
});

test('log matching: another entry of one index and term, or another one before it, is seen when it is appended', (t) => {
  const { look } = audited();
  t.deepEqual(look(master('m1', [1, 2, 4])), []);
  const m2 = master('m2', [1, 3]);
  t.deepEqual(look(m2), []);
  append(m2, 4);
  t.regex(look(m2).join(), /log matching: m2 has another entry 3/);
  const m3 = master('m3', [1]);
  append(m3, 2, Uint8Array.of(1));
  t.regex(look(m3).join(), /log matching: m3 has another entry 2/);
});

test('leader completeness: what is committed while a later leader lacks it is seen, and what one lacks that is elected', (t) => {
  const { look } = audited();
  const old = master('m1', [1, 1], leading(1));
  t.deepEqual(look(old, master('m2', [1], leading(2))), []);
  old.commitIndex = 2;
  t.regex(look(old).join(), /leader completeness: m2 leads term 2 without entry 2/);
  t.regex(look(master('m3', [1, 2], leading(3))).join(), /leader completeness: m3 leads term 3 without entry 2/);
});

test('a snapshot of what is not committed is seen', (t) => {
  const { look } = audited();
  const m1 = master('m1', [1, 1], { ...leading(1), commitIndex: 1 });
  const m2 = master('m2', []);
  m2.log.restore({ index: 1, term: 1 }, { voters: VOTERS, learners: [] });
  t.deepEqual(look(m1, m2), []);
  m2.log.restore({ index: 2, term: 1 }, { voters: VOTERS, learners: [] });
  t.regex(look(m2).join(), /m2 has a snapshot of entry 2 in term 1/);
});
