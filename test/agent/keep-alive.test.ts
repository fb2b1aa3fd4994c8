import test from 'ava';
import fc from 'fast-check';
import { KeepAlive } from '../../agent/keep-alive.ts';
import { KeepAlivePace } from '../../agent/pace/keep-alive.ts';
import { Pulse } from '../../io/node/pulse.ts';
import { TIMES } from '../../protocol/limits.ts';
import { VirtualClock } from '../sim/clock.ts';
import { AgentWorld } from './world.ts';

const FIRST = 60;
const LONGEST = 1_000;

/** A network that forgets a connection which is silent for longer than `borneMs`. */
function asks(pace: KeepAlivePace, borneMs: number, times: number): number {
  let unanswered = 0;
  for (let at = 0; at < times; at++) {
    if (pace.ms <= borneMs) pace.answered();
    else {
      unanswered++;
      pace.unanswered();
    }
  }
  return unanswered;
}

test('property: whatever is answered, the keep-alive stays within its bounds, never more than doubles, and falls with every silence', (t) => {
  fc.assert(
    fc.property(fc.array(fc.boolean(), { maxLength: 200 }), fc.integer({ min: 60, max: 2_000 }), (answers, longest) => {
      const pace = new KeepAlivePace(FIRST, longest);
      for (const answered of answers) {
        const before = pace.ms;
        if (answered) pace.answered();
        else pace.unanswered();
        if (pace.ms < FIRST || pace.ms > longest || pace.ms > before * 2) return false;
        if (!answered && pace.ms > Math.max(FIRST, before / 2)) return false;
        if (answered && pace.ms < before) return false;
      }
      return true;
    }),
  );
  t.pass();
});

test('property: a network that forgets is found out, and lost to fewer and fewer times', (t) => {
  fc.assert(
    fc.property(fc.integer({ min: FIRST, max: LONGEST - 1 }), (borneMs) => {
      const pace = new KeepAlivePace(FIRST, LONGEST);
      const early = asks(pace, borneMs, 50);
      const late = asks(pace, borneMs, 1_000);
      // It is at what is borne, or just tries more.
      return early >= 1 && early <= 4 && late <= 8 && pace.ms <= borneMs * 2 && pace.ms * 4 > borneMs;
    }),
  );
  t.pass();
});

test('property: a link that bears everything gets the longest, soon and for good; a silence by chance costs little', (t) => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 40 }), (chanceAt) => {
      const pace = new KeepAlivePace(FIRST, LONGEST);
      asks(pace, LONGEST, 5);
      if (pace.ms !== LONGEST) return false;
      asks(pace, LONGEST, chanceAt);
      pace.unanswered();
      if (pace.ms !== LONGEST / 2) return false;
      return asks(pace, LONGEST, 20) === 0 && pace.ms === LONGEST;
    }),
  );
  t.pass();
});

test('it asks only after a silence of its own, as long as it was told, and gives up where nothing answers', (t) => {
  const clock = new VirtualClock();
  const pings: number[] = [];
  const outcomes: boolean[] = [];
  const world = {
    clock,
    answerMs: 30,
    ping: () => pings.push(clock.monotonic()),
    outcome: (ok: boolean) => outcomes.push(ok),
  };
  const began = clock.monotonic();
  const pulse = new Pulse(world, 60);
  const after = (): number[] => pings.map((ms) => ms - began);
  return (async () => {
    await clock.advance(50);
    pulse.spoke();
    await clock.advance(59);
    t.deepEqual(after(), []);
    await clock.advance(1);
    t.deepEqual(after(), [110]);
    await clock.advance(29);
    pulse.answered();
    t.deepEqual(outcomes, [true]);
    pulse.every(120);
    await clock.advance(90);
    t.deepEqual(after(), [110]);
    await clock.advance(1);
    t.deepEqual(after(), [110, 230]);
    await clock.advance(30);
    t.deepEqual(outcomes, [true, false]);
    pulse.answered();
    pulse.end();
    await clock.advance(1_000);
    t.deepEqual(outcomes, [true, false], 'said once');
    t.is(pings.length, 2);
  })();
});

test('an idle agent goes over to a longer keep-alive once its leader was told, and says it when it comes back', async (t) => {
  const world = new AgentWorld();
  world.master.keepAliveMs = TIMES.longestKeepAliveMs;
  await world.up();
  t.deepEqual(world.master.of('RENEW'), []);
  await world.clock.advance(TIMES.keepAliveMs * 10);
  const told = new Set(world.master.of('RENEW').map(({ keepAliveMs }) => keepAliveMs));
  t.deepEqual([...told], [TIMES.longestKeepAliveMs], 'and no more');
  world.network.cut(`pi-1~${world.agent?.agent}`, 'test');
  await world.until(() => world.master.of('RESUME').length > 0);
  t.is(world.master.of('RESUME').at(-1)?.keepAliveMs, TIMES.longestKeepAliveMs);
});

test('with a master that names no longest keep-alive an agent keeps the first, and speaks of none', async (t) => {
  const world = new AgentWorld();
  await world.up();
  await world.clock.advance(TIMES.keepAliveMs * 10);
  world.network.cut(`pi-1~${world.agent?.agent}`, 'test');
  await world.until(() => world.master.of('RESUME').length > 0);
  t.deepEqual(world.master.of('RENEW'), []);
  t.is(world.master.of('RESUME').at(-1)?.keepAliveMs, undefined);
});

test('where what a leader bears lies between two lengths and goes unanswered, the next connection begins with less', async (t) => {
  let outcome: (answered: boolean) => void = () => undefined;
  const every: number[] = [];
  const keepAlive = new KeepAlive({
    bus: { pulse: { every: (ms) => every.push(ms), onOutcome: (listener) => (outcome = listener) } },
    metered: true,
    renew: () => Promise.resolve(),
  });
  keepAlive.established(undefined, 400_000);
  outcome(true);
  await Promise.resolve();
  t.deepEqual([every.at(-1), keepAlive.wishMs], [400_000, 480_000]);
  outcome(false);
  keepAlive.lost();
  keepAlive.established(keepAlive.wishMs, 400_000);
  t.deepEqual([every.at(-1), keepAlive.wishMs], [240_000, undefined]);
});

test('the pulse becomes slower only when the leader has it, stays within what the leader bears, and quickens after a silence', async (t) => {
  let outcome: (answered: boolean) => void = () => undefined;
  const every: number[] = [];
  const renewed: number[] = [];
  let taken: () => void = () => undefined;
  const keepAlive = new KeepAlive({
    bus: { pulse: { every: (ms) => every.push(ms), onOutcome: (listener) => (outcome = listener) } },
    metered: true,
    renew: (ms) => {
      renewed.push(ms);
      return new Promise((resolve) => (taken = resolve));
    },
  });
  keepAlive.established(undefined, 400_000);
  t.deepEqual(every, [240_000]);
  outcome(true);
  t.deepEqual([renewed, every.length], [[400_000], 1], 'it waits for the acknowledgement');
  outcome(true);
  t.is(keepAlive.wishMs, 480_000, 'what was answered before the leader had it says nothing about it');
  taken();
  await Promise.resolve();
  t.deepEqual(every, [240_000, 400_000]);
  keepAlive.lost();
  keepAlive.established(keepAlive.wishMs, 1_800_000);
  t.is(every.at(-1), 480_000);
  outcome(false);
  t.is(keepAlive.wishMs, undefined, 'the first again');
});
