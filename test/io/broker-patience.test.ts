import test from 'ava';
import { BrokerPatience } from '../../io/broker-patience.ts';
import type { MovableBus } from '../../io/bus.ts';
import type { Random } from '../../io/random.ts';
import { VirtualClock } from '../sim/virtual-clock.ts';

const dice = (chance: number): Random => ({ next: () => chance, bytes: (count) => new Uint8Array(count) });
const URLS = ['mqtt://m1', 'mqtt://m2', 'mqtt://m3'];

/** Somebody at the first of `urls` on virtual time; `chance` is what the dice say each time. */
function patient(urls: readonly string[], chance = 0.999_999) {
  const clock = new VirtualClock();
  const visits: { url: string; atMs: number }[] = [];
  const bus = {
    url: urls[0] ?? '',
    moveTo(url: string): void {
      this.url = url;
      visits.push({ url, atMs: clock.monotonic() });
    },
  } as MovableBus & { url: string };
  const patience = new BrokerPatience({
    bus,
    urls,
    clock,
    random: dice(chance),
    firstMs: 1_000,
    longestMs: 5_000,
  });
  return { clock, visits, patience, bus };
}

test('after each round of brokers that were of no use the wait is twice as long, up to the longest', (t) => {
  const { clock, visits, patience } = patient(URLS);
  for (let at = 0; at < 10; at++) {
    patience.begin();
    clock.step();
  }
  t.deepEqual(
    visits.slice(0, 4).map(({ url }) => url),
    ['mqtt://m2', 'mqtt://m3', 'mqtt://m1', 'mqtt://m2'],
  );
  t.deepEqual(
    visits.map(({ atMs }, at) => atMs - (visits[at - 1]?.atMs ?? 0)),
    [999, 999, 999, 1_999, 1_999, 1_999, 3_999, 3_999, 3_999, 4_999],
  );
});

test('chance takes away up to a half', (t) => {
  t.is(patient(URLS, 0).patience.begin(), 500);
});

test('the first wait can be another', (t) => {
  t.is(patient(URLS).patience.begin(3_000), 2_999);
});

test('one that was of use is waited for as the first', (t) => {
  const { clock, patience } = patient(URLS);
  for (let at = 0; at < URLS.length; at++) {
    patience.begin();
    clock.step();
  }
  t.is(patience.begin(), 1_999);
  patience.rewarded();
  t.is(patience.begin(), 999);
});

test('who waits no more goes nowhere, and begins where it was', (t) => {
  const { clock, visits, patience } = patient(URLS.slice(0, 1));
  patience.begin();
  clock.step();
  patience.begin();
  patience.end();
  t.false(clock.step());
  t.is(visits.length, 0);
  t.is(patience.begin(), 1_999);
});

test('a second beginning replaces the first', (t) => {
  const { clock, visits, patience } = patient(URLS);
  patience.begin();
  patience.begin();
  t.true(clock.step());
  t.false(clock.step());
  t.is(visits.length, 1);
});

test('where there is no other broker nobody moves, nor where the bus cannot', (t) => {
  const alone = patient(['mqtt://m1']);
  alone.patience.leave();
  t.is(alone.visits.length, 0);
  const { clock } = alone;
  const fixed = new BrokerPatience({
    bus: { connected: true } as never,
    urls: URLS,
    clock,
    random: dice(0),
    firstMs: 1,
    longestMs: 1,
  });
  t.notThrows(() => fixed.leave());
});

test('a broker that is not in the list is left for the first of it', (t) => {
  const { bus, visits, patience } = patient(URLS);
  bus.url = 'mqtt://elsewhere';
  patience.leave();
  t.is(visits[0]?.url, 'mqtt://m1');
});
