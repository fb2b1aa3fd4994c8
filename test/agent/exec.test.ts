import test from 'ava';
import { ExecSessions } from '../../agent/exec-sessions.ts';
import { ShellError } from '../../io/sandbox-shells.ts';
import { BULK } from '../../protocol/agent-link.ts';
import { read } from '../../protocol/envelope.ts';
import type { Exec, ExecOutput } from '../../protocol/exec.ts';
import { Fault } from '../../protocol/faults.ts';
import { LIMITS, TIMES } from '../../protocol/limits.ts';
import { VirtualClock } from '../sim/clock.ts';
import { SimulatedShells } from '../sim/sandbox-shells.ts';

const INCARNATION = 'life1';
const START = { argv: ['sh', '-c', 'a secret'] };
const bytes = (text: string) => new TextEncoder().encode(text);

/** The sessions of an agent beside its task `a`, and what they send. */
function scene() {
  const clock = new VirtualClock();
  const shells = new SimulatedShells();
  const sent: ExecOutput[] = [];
  const log: string[] = [];
  const link = { up: true };
  const spent = { bytes: 0 };
  const note = (message: string, fields?: object) => void log.push(`${message} ${JSON.stringify(fields)}`);
  const sessions = new ExecSessions({
    ...{ shells, clock, agentName: 'pi-1', incarnation: INCARNATION },
    log: { debug: note, info: note, warn: note, error: note },
    find: (_framework, task) => (task === 'a' ? { folder: 'batch/a.0/0', environment: { A: '1' } } : undefined),
    send: (payload) => {
      if (!link.up) return Promise.reject(new Error('no connection'));
      const taken = read(BULK, payload);
      if (!(taken instanceof Fault) && taken.message.type === 'EXEC_OUTPUT') sent.push(taken.message);
      return Promise.resolve();
    },
    budget: {
      spent: (count) => {
        spent.bytes += count;
      },
    },
  });
  let turn = 0;
  const say = async (word: Partial<Exec['word']>, request = 's1', task = 'a'): Promise<void> => {
    const to = {
      v: 1,
      type: 'EXEC',
      request,
      client: 'ann',
      session: 'x',
      framework: 'batch',
      task,
      attempt: 0,
    } as const;
    const used = { stdout: 0, stderr: 0 };
    sessions.word({ ...to, word: { incarnation: INCARNATION, turn: ++turn, used, ...word } });
    await clock.advance(10);
  };
  const output = (): string =>
    sent.map(({ piece }) => new TextDecoder().decode(piece?.data ?? new Uint8Array())).join('');
  return { clock, shells, sent, log, link, spent, sessions, say, output };
}

test('a start is bound to the process of the agent, happens once however often it is asked for, and is told without its arguments', async (t) => {
  const { say, sent, shells, log } = scene();
  await say({ incarnation: undefined, start: START });
  t.like(sent.at(-1), { incarnation: INCARNATION, running: false });
  t.is(shells.opened.length, 0);
  await say({ incarnation: 'an earlier life', start: START }, 's0');
  t.is(sent.at(-1)?.fault?.code, 'UNREACHABLE');
  await say({ start: START });
  await say({ start: START });
  t.is(shells.opened.length, 1);
  t.like(shells.opened[0]?.start, { argv: START.argv, folder: 'batch/a.0/0', environment: { A: '1' } });
  t.true(sent.at(-1)?.running);
  await say({ hangUp: true });
  await say({ start: START });
  t.is(shells.opened.length, 1, 'a word that comes late');
  t.is(sent.at(-1)?.fault?.code, 'NOT_FOUND');
  t.false(log.join().includes('secret'));
  t.true(log.join().includes('"program":"sh"'));
});

test('what a program writes is counted with all that is bulky, once it was sent', async (t) => {
  const { say, shells, link, spent } = scene();
  await say({ start: START });
  const before = spent.bytes;
  void shells.opened[0]?.says('x'.repeat(5_000));
  await say({});
  t.true(spent.bytes >= before + 5_000);
  const sent = spent.bytes;
  link.up = false;
  void shells.opened[0]?.says('x'.repeat(5_000));
  await say({});
  t.is(spent.bytes, sent);
});

test('input reaches the program once and in order, whatever is repeated, late or missing', async (t) => {
  const { say, sent, shells } = scene();
  await say({ start: START });
  const [shell] = shells.opened;
  await say({ input: { offset: 0, data: bytes('one '), end: false } });
  await say({ input: { offset: 0, data: bytes('one two '), end: false } });
  await say({ input: { offset: 20, data: bytes('lost'), end: false } });
  await say({ input: { offset: 4, data: bytes('two '), end: false } });
  t.is(shell?.input, 'one two ');
  t.is(sent.at(-1)?.taken, 8);
  t.false(shell?.inputEnded);
  await say({ input: { offset: 8, data: bytes('three'), end: true } });
  await say({ input: { offset: 8, data: bytes('three'), end: true } });
  t.is(shell?.input, 'one two three');
  t.true(shell?.inputEnded);
  t.is(sent.at(-1)?.taken, 14, 'the end counts as one more');
});

test('a size that is older than one before changes nothing', async (t) => {
  const { say, shells } = scene();
  await say({ start: START });
  await say({ size: { rows: 30, columns: 90 } });
  await say({ size: { rows: 20, columns: 80 }, turn: 1 });
  t.deepEqual(shells.opened[0]?.sizes, [[30, 90]]);
});

test('output is kept until it was used, sent again after a break, and holds the program up when there is too much', async (t) => {
  const { say, sent, shells, link, sessions, clock, output } = scene();
  await say({ start: START });
  const [shell] = shells.opened;
  await shell?.says('hello ');
  await clock.advance(10);
  t.is(output(), 'hello ');
  link.up = false;
  await shell?.says('world');
  await clock.advance(10);
  link.up = true;
  sent.length = 0;
  await say({ used: { stdout: 6, stderr: 0 } });
  sessions.established();
  await clock.advance(10);
  t.is(output(), 'world');
  let took = false;
  void shell?.says('x'.repeat(LIMITS.execWindowBytes)).then(() => {
    took = true;
  });
  await clock.advance(10);
  t.false(took, 'nobody has used anything');
  await say({ used: { stdout: 20, stderr: 0 } });
  t.true(took);
  shell?.end(3);
  await clock.advance(10);
  t.deepEqual(sent.at(-1)?.ended, { code: 3, stdout: 11 + LIMITS.execWindowBytes, stderr: 0 });
});

test('without a word for the time of its lease it is hung up on, by force if need be; a task that ends takes it along', async (t) => {
  const { say, shells, clock, sessions } = scene();
  await say({ start: START });
  await clock.advance(TIMES.execLeaseMs - 1_000);
  await say({});
  await clock.advance(TIMES.execLeaseMs - 1_000);
  t.deepEqual(shells.opened[0]?.hangUps, []);
  await clock.advance(2_000);
  t.deepEqual(shells.opened[0]?.hangUps, ['politely']);
  await clock.advance(TIMES.execHangUpMs);
  t.deepEqual(shells.opened[0]?.hangUps, ['politely', 'by force']);
  await say({ start: START }, 's2');
  sessions.taskEnded('batch', 'other', 0);
  await clock.advance(10);
  t.deepEqual(shells.opened[1]?.hangUps, []);
  sessions.taskEnded('batch', 'a', 0);
  await clock.advance(10);
  t.deepEqual(shells.opened[1]?.hangUps, ['politely']);
});

test('only beside a task that runs, only so many at once, and what the machine lacks is said', async (t) => {
  const { say, sent, shells } = scene();
  await say({ start: START }, 's1', 'b');
  t.is(sent.at(-1)?.fault?.code, 'NOT_FOUND');
  shells.trouble = new ShellError('UNSUPPORTED', 'no script(1) here');
  await say({ start: START }, 's2');
  t.like(sent.at(-1)?.fault, { code: 'UNSUPPORTED', message: 'no script(1) here' });
  shells.trouble = undefined;
  for (let at = 0; at < LIMITS.execSessions; at++) await say({ start: START }, `t${at}`);
  t.is(shells.opened.length, LIMITS.execSessions);
  await say({ start: START }, 'more');
  t.is(sent.at(-1)?.fault?.code, 'LIMIT');
});
