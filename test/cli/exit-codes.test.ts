import test from 'ava';
import { exitCodeOf, exitCodeOfAll } from '../../cli/exit-codes.ts';
import { runCommandLine } from '../../cli/program.ts';
import type { Sink, Terminal } from '../../cli/terminal.ts';
import type { VerbEntry } from '../../cli/verb.ts';
import { VERBS, type VerbName } from '../../cli/verbs.ts';
import { Fault } from '../../protocol/faults.ts';

test('what a task ended with is what is passed on, but for ends that say more', (t) => {
  const rows = [
    ['TASK_FINISHED', null, 0, 0],
    ['TASK_FAILED', 'COMMAND_FAILED', 3, 3],
    ['TASK_FAILED', 'MAX_COMPLETION_TIME_REACHED', 137, 124],
    ['TASK_FAILED', 'HEALTH_CHECK_FAILED', 143, 143],
    ['TASK_FAILED', 'HEALTH_CHECK_FAILED', 0, 125],
    ['TASK_DROPPED', 'LAUNCH_TIMED_OUT', null, 125],
  ] as const;
  for (const [state, reason, exitCode, code] of rows)
    t.is(exitCodeOf({ state, reason, exitCode }), code, `${state} ${reason} ${exitCode}`);
  t.is(exitCodeOfAll(rows.map(([state, reason, exitCode]) => ({ state, reason, exitCode }))), 143);
});

/** A command line where nothing answers; what it exits with, and what it says. */
async function alone(argv: readonly string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const written = { stdout: '', stderr: '' };
  const sink = (stream: 'stdout' | 'stderr'): Sink => ({
    ...{ isTerminal: false, columns: undefined, colours: false },
    write: (data) => {
      written[stream] += String(data);
      return Promise.resolve(true);
    },
  });
  const terminal: Pick<Terminal, keyof Terminal> = {
    ...{ version: '0.0.0', environment: {}, user: 'ann', out: sink('stdout'), error: sink('stderr') },
    input: {
      isTerminal: false,
      size: () => undefined,
      raw: () => {},
      onResize: () => () => {},
      read: async function* () {},
    },
    clock: { wall: () => 0, monotonic: () => 0, after: () => ({ cancel: () => {} }) },
    randomWord: (length) => 'x'.repeat(length),
    connect: () => Promise.resolve(new Fault('UNREACHABLE', 'nothing listens there')),
    readText: () => Promise.resolve('command: [x]'),
    readUpload: () => Promise.resolve(new Fault('BAD_USAGE', 'no uploads here')),
    writeSecret: () => Promise.resolve(),
    newFile: () => Promise.resolve(new Fault('DISK', 'no files here')),
    onSignal: () => () => {},
  };
  const code = await runCommandLine(argv, terminal);
  return { code, ...written };
}

/** Enough for each verb to go and ask the cluster; undefined for those that run part of it, or ask this machine. */
const ASKS: Readonly<Record<VerbName, readonly string[] | undefined>> = {
  up: undefined,
  master: undefined,
  agent: undefined,
  run: ['--', 'true'],
  submit: ['file'],
  jobs: [],
  job: ['j'],
  ps: [],
  wait: ['j'],
  logs: ['j'],
  attach: ['j'],
  exec: ['j'],
  fetch: ['j', 'file'],
  why: ['j'],
  cancel: ['j'],
  kill: ['j'],
  agents: [],
  masters: [],
  frameworks: [],
  offers: [],
  roles: [],
  events: [],
  quota: ['remove', 'r'],
  weight: ['set', 'r', '1'],
  reserve: ['a', 'cpus(r):1'],
  unreserve: ['a', 'cpus(r):1'],
  drain: ['a'],
  resume: ['a'],
  teardown: ['f'],
  gone: ['a'],
  backup: ['file'],
  restore: undefined,
  token: ['list'],
  doctor: undefined,
};

for (const [word, entry] of Object.entries<VerbEntry>(VERBS)) {
  test(`mesq ${word}: a slip, and a cluster out of reach, have the numbers of docs/cli.md, also as JSON`, async (t) => {
    const verb = await entry.load();
    const below = Object.keys(verb.verbs ?? {}).map((one) => [word, one]);
    for (const words of [[word], ...below]) {
      const { code, stdout, stderr } = await alone([...words, '--json', '--no-such-option']);
      t.is(code, verb.faultExit ?? 2, words.join(' '));
      t.is(stdout, '');
      t.like(JSON.parse(stderr), { error: { code: 'BAD_USAGE', message: "unknown option '--no-such-option'" } });
    }
    const asks = ASKS[word as VerbName];
    if (asks === undefined) return;
    const { code, stdout, stderr } = await alone([word, '--json', ...asks]);
    t.is(code, verb.faultExit ?? 6, stderr);
    t.is(stdout, '');
    t.like(JSON.parse(stderr), { error: { code: 'UNREACHABLE', message: 'nothing listens there' } });
  });
}
