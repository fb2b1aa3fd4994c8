import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

/*
 * npm run mutants [name…]
 * Plants known bugs of consensus and fencing, one at a time, into a copy of the compiled build, and shows which test
 * notices each. Ends with 1 where one goes unnoticed, or does not fit the code any more.
 */

interface Mutant {
  /** The bug, as the field calls it. */
  readonly name: string;
  /** Below build/. */
  readonly file: string;
  readonly from: string;
  readonly to: string;
  /** Where it is to be noticed. Default: the tests of Raft's core, its simulator among them. */
  readonly tests?: readonly string[];
}

const RAFT = ['master/raft.test.js', 'master/raft-voters.test.js', 'sim/raft.test.js'];
const FENCING = ['master/registry.test.js', 'master/tasks.test.js', 'master/master.test.js'];
const AGENT = ['agent/agent.test.js', 'agent/crashes.test.js'];

const MUTANTS: readonly Mutant[] = [
  {
    name: 'entries of older terms are counted',
    file: 'master/raft/replication.js',
    from: '|| state.log.termAt(reached) !== state.hardState.term',
    to: '',
  },
  {
    name: 'the vote is not persisted',
    file: 'master/raft/election.js',
    from: 'state.out.hardState = true;',
    to: '',
  },
  {
    name: 'a vote counts twice',
    file: 'master/raft/election.js',
    from: 'if (!state.votes.has(voter))\n        state.votes.set(voter, granted);',
    to: 'state.votes.set(state.votes.has(voter) ? [...votersOf(state)].find((one) => !state.votes.has(one)) ?? voter : voter, granted);',
  },
  {
    name: 'a vote is given to a shorter log',
    file: 'master/raft/election.js',
    from: 'state.log.isUpToDate(message.index, message.logTerm)',
    to: 'true',
  },
  {
    name: 'replies leave before the write',
    file: 'master/raft/state.js',
    from: 'state.out.afterWrite.push(stamped(state, draft));',
    to: 'state.out.messages.push(stamped(state, draft));',
  },
  {
    name: 'the leader counts its own entry before the write',
    file: 'master/raft/state.js',
    from: 'state.log.append([{ kind, term, index, payload }]);',
    to: 'state.log.append([{ kind, term, index, payload }]); state.durableIndex = index;',
  },
  {
    name: 'the commit index of heartbeats is not clamped',
    file: 'master/raft/heartbeat.js',
    from: 'Math.min(match, state.commitIndex)',
    to: 'state.commitIndex',
  },
  {
    name: 'a follower commits beyond what it was sent',
    file: 'master/raft/following.js',
    from: 'Math.min(commit, last)',
    to: 'commit',
  },
  {
    name: 'the term before the new entries is not compared',
    file: 'master/raft/following.js',
    from: 'log.termAt(index) !== logTerm',
    to: 'log.lastIndex < index',
  },
  {
    name: 'a repeated append truncates what follows it',
    file: 'master/raft/following.js',
    from: 'const conflict = log.conflict(entries);',
    to: 'const conflict = entries[0]?.index > state.commitIndex ? entries[0]?.index : log.conflict(entries);',
  },
  {
    name: 'a lost piece of a snapshot is never sent again',
    file: 'master/raft/replication.js',
    from: '++shipment.silent >= state.settings.electionTicks',
    to: 'false',
  },
  {
    name: 'a read is answered without a majority',
    file: 'master/raft/reads.js',
    from: "!== 'won')\n            return;",
    to: "=== 'lost')\n            return;",
  },
  {
    name: 'a read is taken before the term has committed',
    file: 'master/raft/reads.js',
    from: 'state.log.termAt(state.commitIndex) !== state.hardState.term',
    to: 'false',
  },
  {
    name: 'a blank master votes',
    file: 'master/raft/election.js',
    from: "state.standing !== 'blank' &&",
    to: 'true &&',
  },
  {
    name: 'a master that has lost its log votes',
    file: 'master/raft/election.js',
    from: 'state.hardState.rejoining !== true &&',
    to: 'true &&',
  },
  {
    name: 'who rejoins forgets the founders',
    file: 'master/raft/founding.js',
    from: 'state.out.foundation = true;\n    setHardState',
    to: 'setHardState',
  },
  {
    name: 'a candidate keeps its term',
    file: 'master/raft/state.js',
    from: 'reset(state, state.hardState.term + 1);',
    to: 'reset(state, Math.max(1, state.hardState.term));',
  },
  {
    name: 'a write of replaced entries counts for the new ones',
    file: 'master/raft/raft.js',
    from: 'if (state.log.termAt(done.lastIndex) === done.lastTerm)',
    to: 'if (true)',
  },
  {
    name: 'what a lost log had acknowledged still counts',
    file: 'master/raft/replication.js',
    from: 'message.blank && index <= progress.match',
    to: 'false',
  },
  {
    name: 'the shell reports a write before it is durable',
    file: 'master/log.js',
    from: 'durable\n            .then(() => {',
    to: 'Promise.resolve()\n            .then(() => {',
    tests: FENCING,
  },
  {
    name: 'a launch is applied to another epoch of the agent',
    file: 'master/registry/apply-tasks.js',
    from: "agent.state !== 'active' || agent.epoch !== command.epoch",
    to: "agent.state !== 'active'",
    tests: FENCING,
  },
  {
    name: 'the agent obeys commands of another epoch',
    file: 'agent/session.js',
    from: 'message.epoch !== this.#world.durable.state.epoch || !this.#established',
    to: '!this.#established',
    tests: AGENT,
  },
  {
    name: 'the agent obeys an older leader',
    file: 'agent/session.js',
    from: 'fence.generation < state.generation || (fence.generation === state.generation && fence.term < state.term)',
    to: 'false',
    tests: AGENT,
  },
  {
    name: 'an attempt is launched twice',
    file: 'master/registry/apply-tasks.js',
    from: 'if (known !== undefined || registry.finished.has(taskKey(command.framework, info.task, info.attempt))) {',
    to: 'if (false) {',
    tests: FENCING,
  },
  {
    name: 'a delayed copy of an older registration is taken',
    file: 'master/registry/apply-agents.js',
    from: 'command.counter < known.counter',
    to: 'false',
    tests: FENCING,
  },
  {
    name: 'a request is done as often as it comes',
    file: 'master/operator-requests.js',
    from: 'const before = desk.leader.registry.requests.get(`${asker.principal.name}/${asker.request}`);',
    to: 'const before = undefined;',
    tests: FENCING,
  },
  {
    name: 'free resources are not looked at when a launch is applied',
    file: 'master/registry/apply-tasks.js',
    from: '!contains(free, info.resources)',
    to: 'false',
    tests: FENCING,
  },
];

const root = resolve(import.meta.dirname, '../..');

function noticedBy({ file, from, to, tests = RAFT }: Mutant, folder: string): readonly string[] | undefined {
  const path = join(folder, 'build', file);
  const healthy = readFileSync(path, 'utf8');
  if (!healthy.includes(from)) return undefined;
  writeFileSync(
    path,
    healthy.replace(from, () => to),
  );
  const files = tests.map((test) => join('build/test', test));
  const run = spawnSync(
    process.execPath,
    ['node_modules/ava/entrypoints/cli.mjs', '--tap', '--timeout=40s', ...files],
    {
      cwd: folder,
      encoding: 'utf8',
      timeout: 180_000,
    },
  );
  writeFileSync(path, healthy);
  const failed = [...run.stdout.matchAll(/^not ok \d+ - (.*)$/gm)].map(([, title = '']) => title);
  return failed.length === 0 && run.status !== 0 ? ['the tests do not end'] : failed;
}

const wanted = process.argv.slice(2);
const folder = mkdtempSync(join(tmpdir(), 'mesq-mutants-'));
cpSync(join(root, 'build'), join(folder, 'build'), { recursive: true });
cpSync(join(root, 'package.json'), join(folder, 'package.json'));
symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
let unnoticed = 0;
for (const mutant of MUTANTS) {
  if (wanted.length > 0 && !wanted.some((word) => mutant.name.includes(word))) continue;
  const tests = noticedBy(mutant, folder);
  const [first] = tests ?? [];
  if (first === undefined) unnoticed++;
  const more = tests !== undefined && tests.length > 1 ? ` (and ${tests.length - 1} more)` : '';
  const answer = tests === undefined ? 'DOES NOT FIT THE CODE' : (first ?? 'UNNOTICED');
  console.log(`${mutant.name}: ${answer}${more}`);
}
rmSync(folder, { recursive: true, force: true });
if (unnoticed > 0) process.exitCode = 1;
