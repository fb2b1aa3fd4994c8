import test from 'ava';
import { AgentWorld } from './world.ts';

const SPREAD_MS = 10_000;
const URLS = ['mqtt://m1:1883', 'mqtt://m2:1883'];

/** An agent that is at m1, where `spreadMs` is said with the word that m2 leads: how long until it has gone there. */
async function moveAfter(seed: number, spreadMs: number): Promise<number> {
  const world = new AgentWorld(seed, URLS);
  const second = world.masterAt(URLS[1] ?? '');
  await world.start();
  await world.until(() => world.master.epoch > 0 || second.epoch > 0);
  const atFirst = world.master.epoch > 0;
  const [here, there] = atFirst ? [world.master, second] : [second, world.master];
  here.term = 2;
  const before = world.clock.monotonic();
  here.lead('m2', [URLS[atFirst ? 1 : 0] ?? ''], spreadMs);
  await world.until(() => there.heard.length > 0);
  return world.clock.monotonic() - before;
}

test('the word of a new leader moves agents over the time that it names, not all at once', async (t) => {
  const waits: number[] = [];
  for (let seed = 1; seed <= 20; seed++) waits.push(await moveAfter(seed, SPREAD_MS));
  t.true(Math.min(...waits) < SPREAD_MS / 4, waits.join());
  t.true(Math.max(...waits) > (3 * SPREAD_MS) / 4, waits.join());
  t.true(Math.max(...waits) < SPREAD_MS + 2_000, waits.join());
});

test('a few agents go soon, but not in the moment in which a person is sent away too', async (t) => {
  const waits: number[] = [];
  for (let seed = 1; seed <= 20; seed++) waits.push(await moveAfter(seed, 0));
  t.true(Math.max(...waits) < 2_000, waits.join());
  t.true(Math.max(...waits) - Math.min(...waits) > 100, waits.join());
});
