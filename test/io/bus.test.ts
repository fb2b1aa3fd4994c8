import test from 'ava';
import type { Will } from '../../io/bus.ts';
import { BUS_CHECKS, type BusHarness } from '../conformance/bus.ts';
import { tcpHarness } from '../conformance/tcp-harness.ts';
import { connectSimulatedBus } from '../sim/bus.ts';
import { VirtualClock } from '../sim/clock.ts';
import { SimulatedNetwork } from '../sim/network.ts';
import { SeededRandom } from '../sim/random.ts';
import { startMosquitto, wantsMosquitto } from './mosquitto.ts';

const SEEDS = Array.from({ length: 5 }, (_, index) => index + 1);

/** A simulated broker whose time runs by itself while `check` waits. */
async function simulated(seed: number, check: (harness: BusHarness) => Promise<void>): Promise<void> {
  const clock = new VirtualClock();
  const network = new SimulatedNetwork({ clock, random: new SeededRandom(seed), duplicates: 0.2 });
  const offline = new Set<string>();
  const block = () => network.partition((clientId) => offline.has(clientId));
  const harness: BusHarness = {
    connect: (clientId: string, will?: () => Will | undefined) => {
      const bus = connectSimulatedBus(network, { urls: ['sim://broker'], clientId, ...(will && { will }) });
      return new Promise((resolve) => bus.onConnected(() => resolve(bus)));
    },
    cut: (clientId) => network.cut(clientId),
    offline: (clientId) => {
      network.cut(clientId);
      offline.add(clientId);
      block();
    },
    online: (clientId) => {
      offline.delete(clientId);
      block();
    },
  };
  let running = true;
  const done = check(harness).finally(() => {
    running = false;
  });
  while (running) await clock.advance(5);
  await done;
}

let checks = 0;

for (const [title, check] of Object.entries(BUS_CHECKS)) {
  test(`simulated: ${title}`, async (t) => {
    for (const seed of SEEDS) await simulated(seed, (harness) => check(t, harness, `seed${seed}`));
  });
}

if (wantsMosquitto()) {
  const broker = startMosquitto();
  const harness = broker.then(({ port }) => tcpHarness(port));
  test.after.always(async () => {
    await (await harness).close();
    await (await broker).stop();
  });
  for (const [title, check] of Object.entries(BUS_CHECKS)) {
    test(`mosquitto: ${title}`, async (t) => check(t, await harness, `check${++checks}`));
  }
} else {
  test('mosquitto: skipped', (t) => {
    t.log('mosquitto is not installed: the bus was checked on the simulated broker only');
    t.pass();
  });
}
