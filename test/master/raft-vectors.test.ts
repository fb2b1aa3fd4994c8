import { readFileSync } from 'node:fs';
import test, { type ExecutionContext } from 'ava';
import { voteResult } from '../../master/raft/quorum.ts';
import { RaftLog } from '../../master/raft/raft-log.ts';
import type { Entry } from '../../master/raft/records.ts';
import type { RaftMessage } from '../../master/raft/state.ts';
import {
  CaseCluster,
  type CaseConfig,
  type CaseMessage,
  type CaseSetup,
  CaseVoter,
  membersOf,
  messageOf,
  typeOf,
} from './raft-cases.ts';

interface NodeExpectation {
  readonly role?: string;
  readonly term?: number;
  readonly vote?: number;
  readonly lead?: number;
  readonly commit?: number;
  readonly lastIndex?: number;
  readonly logTerms?: readonly number[];
  readonly transferee?: number;
  readonly appliedCount?: number;
  readonly sent?: readonly CaseMessage[];
  readonly sentOnly?: readonly CaseMessage[];
  readonly sentTypes?: readonly string[];
  readonly sentCount?: number;
  readonly progress?: Readonly<Record<string, Record<string, number>>>;
}

interface Expectation {
  readonly nodes?: Readonly<Record<string, NodeExpectation>>;
  readonly or?: readonly Readonly<Record<string, NodeExpectation>>[];
  readonly reads?: Readonly<Record<string, readonly { minIndex: number }[]>>;
}

type Step = Readonly<Record<string, unknown>>;

interface RaftCase {
  readonly id: string;
  readonly kind: string;
  readonly setup: CaseSetup;
  readonly steps: readonly Step[];
  readonly expect?: NodeExpectation;
  readonly fn?: string;
  readonly rows?: readonly { readonly in: Record<string, unknown>; readonly out: unknown }[];
}

const path = process.env['MESQ_CASES'];
const all = path === undefined ? [] : (JSON.parse(readFileSync(path, 'utf8')) as { cases?: RaftCase[] }).cases;
const cases = all?.filter(({ id, kind }) => id !== undefined && kind !== 'narrative') ?? [];

function skipped(t: ExecutionContext, kind: string): boolean {
  if (cases.some((candidate) => candidate.kind === kind)) return false;
  t.log('skipped: MESQ_CASES names no file of Raft vectors');
  t.pass();
  return true;
}

const ROLES: Readonly<Record<string, string>> = { preCandidate: 'pre-candidate' };

/** What of the expectation does not hold. */
function differences(voter: CaseVoter, expected: NodeExpectation): string[] {
  const { state } = voter;
  const number = (id: string | undefined): number => Number(id ?? 0);
  const facts: [string, unknown, unknown][] = [
    ['role', state.role, expected.role === undefined ? undefined : (ROLES[expected.role] ?? expected.role)],
    ['term', state.hardState.term, expected.term],
    ['vote', number(state.hardState.vote), expected.vote],
    ['lead', number(state.leader), expected.lead],
    ['commit', state.commitIndex, expected.commit],
    ['lastIndex', state.log.lastIndex, expected.lastIndex],
    ['logTerms', voter.logTerms, expected.logTerms],
    ['transferee', number(state.transferee), expected.transferee],
    ['appliedCount', voter.applied.length, expected.appliedCount],
    ['sentTypes', voter.sent.map(({ type }) => type), expected.sentTypes?.map(typeOf)],
    ['sentCount', voter.sent.length, expected.sentCount],
  ];
  for (const [id, wanted] of Object.entries(expected.progress ?? {})) {
    const progress = state.progress.get(id);
    facts.push([`progress ${id}`, { match: progress?.match, next: progress?.next }, wanted]);
  }
  const wrong = facts
    .filter(([, is, wanted]) => wanted !== undefined && JSON.stringify(is) !== JSON.stringify(wanted))
    .map(([what, is, wanted]) => `${what} is ${JSON.stringify(is)}, not ${JSON.stringify(wanted)}`);
  const lists = [...(expected.sent ?? []), ...(expected.sentOnly ?? [])];
  for (const wanted of lists)
    if (!voter.sent.some((message) => matches(message, wanted)))
      wrong.push(`${JSON.stringify(wanted)} is not among ${JSON.stringify(voter.sent)}`);
  if (expected.sentOnly !== undefined && voter.sent.length !== expected.sentOnly.length)
    wrong.push(`sent ${JSON.stringify(voter.sent)}`);
  return wrong;
}

function matches(message: RaftMessage, wanted: CaseMessage): boolean {
  const fields = message as unknown as Record<string, unknown>;
  const hinted = message.type === 'APPEND_REPLY' ? { logTerm: message.hintTerm } : {};
  const is: Record<string, unknown> = { ...fields, ...hinted, to: Number(message.to), from: Number(message.from) };
  return Object.entries({ ...wanted, type: typeOf(wanted.type) }).every(
    ([field, value]) => JSON.stringify(is[field]) === JSON.stringify(value),
  );
}

/** Where this core differs on purpose. */
const DECLARED: Readonly<Record<string, NodeExpectation>> = {
  // A change of the masters is an entry, in force from the moment it is in the log (docs/decisions/0018).
  'removal-lowers-quorum-and-commits': { commit: 4 },
  // A new leader's no-op leaves with the next `ready`: to the third voter one is on its way already.
  'append-reply-progress-1': { sentCount: 1 },
};

test('the vectors of one voter hold, but for what is declared', (t) => {
  if (skipped(t, 'node')) return;
  const wrong: string[] = [];
  for (const { id, setup, steps, expect } of cases.filter(({ kind }) => kind === 'node')) {
    const voter = new CaseVoter(setup.id ?? 1, membersOf(setup.voters ?? [], setup.learners), setup);
    for (const step of steps) runNodeStep(t, voter, step, id);
    for (const difference of differences(voter, { ...expect, ...DECLARED[id] })) wrong.push(`${id}: ${difference}`);
  }
  t.deepEqual(wrong, []);
});

function runNodeStep(t: ExecutionContext, voter: CaseVoter, step: Step, id: string): void {
  if ('recv' in step) return voter.step(messageOf(step['recv'] as CaseMessage, voter.state.id));
  if ('tick' in step) for (let count = step['tick'] as number; count > 0; count--) voter.tick();
  else if ('drain' in step) voter.drain();
  else if ('campaign' in step) voter.campaign();
  else if ('propose' in step) {
    for (let count = step['propose'] as number; count > 0; count--) voter.raft.propose(new Uint8Array([1]));
    voter.settle();
  } else if ('holdSelf' in step) voter.holdWrites = true;
  // The first that is held there is the vote of the pre-candidacy, which is no write here.
  else if ('releaseSelf' in step) return step['releaseSelf'] === 'first' ? undefined : voter.releaseWrites();
  else if ('conf' in step) voter.adopt((step['conf'] as { voters: number[] }).voters);
  else if ('setProgress' in step) {
    const { id: peer, active, ...fields } = step['setProgress'] as { id: number; next: number; active?: boolean };
    const progress = voter.state.progress.get(String(peer));
    if (progress !== undefined) Object.assign(progress, fields, active === undefined ? {} : { heard: active });
  } else if ('expect' in step) t.deepEqual(differences(voter, step['expect'] as NodeExpectation), [], id);
  // Writes are durable at once, unless they are held.
  else if (!('persist' in step || 'persistOff' in step)) t.fail(`${id}: ${JSON.stringify(step)}`);
}

test('the vectors of clusters hold', (t) => {
  if (skipped(t, 'cluster')) return;
  for (const { id, setup, steps } of cases.filter(({ kind }) => kind === 'cluster')) {
    const cluster = new CaseCluster(setup);
    for (const [place, step] of steps.entries()) runClusterStep(t, cluster, step, `${id}, step ${place}`);
  }
});

function runClusterStep(t: ExecutionContext, cluster: CaseCluster, step: Step, id: string): void {
  const word = (field: string): string => String(step[field]);
  if ('expect' in step) return expectCluster(t, cluster, step['expect'] as Expectation, id);
  if ('inject' in step || 'injectOnly' in step) {
    const message = messageOf((step['inject'] ?? step['injectOnly']) as CaseMessage, '');
    cluster.at(message.to).step(message);
    if ('injectOnly' in step) {
      const { from, types } = step['thenDeliver'] as { from: number; types: string[] };
      return cluster.deliverOnly(String(from), new Set(types.map(typeOf)));
    }
  } else if ('campaign' in step) cluster.at(word('campaign')).campaign();
  else if ('campaignTogether' in step)
    for (const voter of step['campaignTogether'] as number[]) cluster.at(voter).campaign();
  else if ('propose' in step) {
    cluster.at(word('propose')).raft.propose(new Uint8Array([1]));
    cluster.at(word('propose')).settle();
  } else if ('cut' in step) {
    const [one, other] = step['cut'] as [number, number];
    return cluster.cut(String(one), String(other));
  } else if ('isolate' in step) return cluster.isolate(word('isolate'));
  else if ('drop' in step) return cluster.drop(typeOf(word('drop')));
  else if ('hold' in step) return cluster.hold(word('hold'));
  else if ('release' in step) return cluster.release(word('release'));
  else if ('heal' in step) return cluster.heal();
  else if ('setTimeout' in step) cluster.at(word('setTimeout')).timeout = step['ticks'] as number;
  else if ('config' in step) cluster.at(word('node')).configure(step['config'] as CaseConfig);
  else if ('transfer' in step) {
    cluster.at(word('at')).raft.transfer(word('transfer'));
    cluster.at(word('at')).settle();
  } else if ('readIndex' in step) {
    cluster.at(word('readIndex')).raft.read(1);
    cluster.at(word('readIndex')).settle();
  } else if ('tick' in step || 'tickSilent' in step) {
    const voter = cluster.at(word('tick' in step ? 'tick' : 'tickSilent'));
    for (let count = (step['n'] as number | undefined) ?? 1; count > 0; count--) {
      voter.tick();
      if ('tick' in step) cluster.deliver();
    }
    if ('tickSilent' in step) voter.outgoing = [];
  } else t.fail(`${id}: ${JSON.stringify(step)}`);
  cluster.deliver();
}

function expectCluster(t: ExecutionContext, cluster: CaseCluster, { nodes, or, reads }: Expectation, id: string): void {
  const wrong = (expected: Readonly<Record<string, NodeExpectation>>): string[] =>
    Object.entries(expected).flatMap(([voter, facts]) =>
      differences(cluster.at(voter), facts).map((difference) => `${voter}: ${difference}`),
    );
  t.deepEqual(wrong(nodes ?? {}), [], id);
  if (or !== undefined)
    t.true(
      or.some((one) => wrong(one).length === 0),
      id,
    );
  for (const [voter, expected] of Object.entries(reads ?? {})) {
    const { reads: confirmed } = cluster.at(voter);
    t.is(confirmed.length, expected.length, id);
    for (const [place, { minIndex }] of expected.entries()) t.true((confirmed[place]?.index ?? 0) >= minIndex, id);
  }
}

const ids = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];
const logOf = (terms: readonly number[]): RaftLog => {
  const entries = terms.map(
    (term, place): Entry => ({ kind: 'command', term, index: place + 1, payload: new Uint8Array() }),
  );
  return new RaftLog({ index: 0, term: 0 }, entries, membersOf([1]));
};
const numbers = (value: unknown): number[] => value as number[];

/** The tables' functions in ours. */
const FUNCTIONS: Readonly<Record<string, (given: Record<string, unknown>) => unknown>> = {
  rejectHint: ({ leaderLog, followerLog }) => {
    const leader = logOf(numbers(leaderLog));
    const { index: hintIndex, term: hintTerm } = logOf(numbers(followerLog)).agreementBefore(
      leader.lastIndex,
      leader.lastTerm,
    );
    const { index: nextIndex, term: nextTerm } = leader.agreementBefore(hintIndex, hintTerm);
    return { hintIndex, hintTerm, nextIndex, nextTerm };
  },
  findConflict: ({ log, at, entries }) =>
    logOf(numbers(log)).conflict(numbers(entries).map((term, place) => ({ term, index: (at as number) + place }))) ?? 0,
  isUpToDate: ({ log, index, term }) => logOf(numbers(log)).isUpToDate(index as number, term as number),
  voteResult: ({ votes }) => {
    const cast = votes as string[];
    const known = cast.flatMap((vote, place): [string, boolean][] =>
      vote === '_' ? [] : [[ids[place] ?? '', vote === 'y']],
    );
    return voteResult(ids.slice(0, cast.length), new Map(known));
  },
};

test('the vectors of functions hold, but for joint majorities', (t) => {
  if (skipped(t, 'table')) return;
  for (const { id, fn = '', rows = [] } of cases.filter(({ kind }) => kind === 'table')) {
    const played = FUNCTIONS[fn];
    if (played === undefined) {
      // Masters change one at a time (docs/decisions/0018): there are no joint majorities.
      t.is(fn, 'jointVote');
      continue;
    }
    for (const [place, row] of rows.entries()) t.deepEqual(played(row.in), row.out, `${id}, row ${place}`);
  }
});
