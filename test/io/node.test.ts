import { spawnSync } from 'node:child_process';
import test from 'ava';
import { systemClock } from '../../io/node/clock.ts';
import { systemDigest } from '../../io/node/digest.ts';
import { createLog } from '../../io/node/log.ts';
import { systemRandom } from '../../io/node/random.ts';
import { VirtualClock } from '../sim/clock.ts';
import { SeededRandom } from '../sim/random.ts';

const YEAR_MS = 31_536_000_000;

test('a timer of a year waits in legs that Node can count', (t) => {
  // Above 2^31 - 1 ms Node warns, and fires at once.
  const { setTimeout } = globalThis;
  const legs: { readonly ms: number; readonly fire: () => void }[] = [];
  let fired = 0;
  try {
    globalThis.setTimeout = ((fire: () => void, ms: number) => {
      legs.push({ ms, fire });
      return { unref: () => {} };
    }) as unknown as typeof setTimeout;
    systemClock.after(YEAR_MS, () => fired++);
    for (const leg of legs) {
      t.is(fired, 0);
      leg.fire();
    }
  } finally {
    globalThis.setTimeout = setTimeout;
  }
  t.is(fired, 1);
  t.true(legs.every(({ ms }) => ms < 2 ** 31));
  t.is(
    legs.reduce((sum, { ms }) => sum + ms, 0),
    YEAR_MS,
  );
});

test('a cancelled timer stays silent, and may be cancelled again', async (t) => {
  const timer = systemClock.after(0, () => t.fail());
  timer.cancel();
  timer.cancel();
  await new Promise<void>((resolve) => systemClock.after(5, resolve));
  t.pass();
});

test('a pending timer keeps no process alive', (t) => {
  const module = JSON.stringify(new URL('../../io/node/clock.js', import.meta.url).href);
  const script = `import(${module}).then(({ systemClock }) => systemClock.after(${YEAR_MS}, () => {}))`;
  t.is(spawnSync(process.execPath, ['-e', script], { timeout: 60_000 }).status, 0);
});

test('the monotonic clock goes on, the wall clock is of this century', (t) => {
  const before = systemClock.monotonic();
  t.true(systemClock.monotonic() >= before);
  t.true(systemClock.wall() > Date.UTC(2024));
});

test('random numbers are in [0, 1), bytes as many as asked for', (t) => {
  for (const random of [systemRandom, new SeededRandom(7)]) {
    const numbers = Array.from({ length: 2_000 }, () => random.next());
    t.true(numbers.every((number) => number >= 0 && number < 1));
    const mean = numbers.reduce((sum, number) => sum + number, 0) / numbers.length;
    t.true(mean > 0.4 && mean < 0.6);
    t.is(random.bytes(33).length, 33);
    t.true(new Set(random.bytes(1_000)).size > 200);
  }
  t.notDeepEqual(systemRandom.bytes(16), systemRandom.bytes(16));
});

test('the same seed gives the same chance', (t) => {
  const draw = (seed: number) => {
    const random = new SeededRandom(seed);
    return [random.next(), random.below(1_000), ...random.bytes(4)];
  };
  t.deepEqual(draw(1), draw(1));
  t.notDeepEqual(draw(1), draw(2));
  t.notDeepEqual(draw(1), draw(1 + 2 ** 32));
});

test('SHA-256 is the one of FIPS 180-4', (t) => {
  t.is(
    systemDigest.sha256(new TextEncoder().encode('abc')),
    'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
  );
});

test('a log line is time, level, event and fields; what is dangerous is quoted', (t) => {
  const lines: string[] = [];
  const log = createLog({ write: (line) => lines.push(line) });
  log.debug('hidden');
  log.info('started', { port: 1883, tls: false, peer: null, absent: undefined });
  log.warn('odd', {
    a: 'plain',
    b: 'two words',
    c: 'x=1',
    d: 'line\nerror forged',
    e: '',
    f: 'say "hi"',
    g: '\u2028',
    h: '\x9b',
  });
  const [first, second] = lines.map((line) => line.replace(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z /, ''));
  t.is(first, 'info  started port=1883 tls=false peer=null\n');
  t.is(
    second,
    String.raw`warn  odd a=plain b="two words" c="x=1" d="line\nerror forged" e="" f="say \"hi\"" g="\u2028" h="\u009b"${'\n'}`,
  );
  t.is(lines.length, 2);
});

test('a log may be JSON, a line an event', (t) => {
  const lines: string[] = [];
  createLog({ json: true, level: 'error', write: (line) => lines.push(line) }).error('broken', {
    code: 'EIO',
    absent: undefined,
  });
  t.is(lines.length, 1);
  const { time, ...rest } = JSON.parse(lines[0] ?? '');
  t.false(Number.isNaN(Date.parse(time)));
  t.deepEqual(rest, { level: 'error', event: 'broken', code: 'EIO' });
});

test('virtual time runs timers in order, and promises between them', async (t) => {
  const clock = new VirtualClock(1_000);
  const order: string[] = [];
  clock.after(20, () => order.push('20'));
  clock.after(10, () => {
    order.push('10');
    void Promise.resolve()
      .then(() => Promise.resolve())
      .then(() => order.push('promise of 10'));
    clock.after(0, () => order.push('made at 10'));
  });
  clock.after(10, () => order.push('10 too'));
  const cancelled = clock.after(15, () => t.fail());
  cancelled.cancel();
  cancelled.cancel();
  await clock.advance(19);
  t.deepEqual(order, ['10', 'promise of 10', '10 too', 'made at 10']);
  t.is(clock.monotonic(), 19);
  t.is(clock.wall(), 1_019);
  await clock.until(() => order.length === 5);
  t.is(clock.monotonic(), 20);
  t.is(clock.timers, 0);
  await t.throwsAsync(clock.until(() => false));
});
