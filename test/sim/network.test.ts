import test from 'ava';
import { connectSimulatedBus, type SimulatedBus } from './bus.ts';
import { VirtualClock } from './clock.ts';
import { type NetworkOptions, SimulatedNetwork } from './network.ts';
import { SeededRandom } from './random.ts';

const A = 'sim://a';
const B = 'sim://b';

function simulate(options: Partial<NetworkOptions> & { seed?: number } = {}) {
  const clock = new VirtualClock();
  const network = new SimulatedNetwork({ clock, random: new SeededRandom(options.seed ?? 1), ...options });
  const inbox: string[] = [];
  const connect = (clientId: string, urls = [A], local = false): SimulatedBus => {
    const will = () => ({ topic: 'will', payload: bytes(`${clientId} is gone`), qos: 1 as const });
    return connectSimulatedBus(network, { clientId, urls, will, local });
  };
  const listen = (bus: SimulatedBus, filter: string) =>
    bus.subscribe(filter, 1, ({ payload }) => inbox.push(new TextDecoder().decode(payload)));
  return { clock, network, inbox, connect, listen };
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** A busy minute, with everything going wrong, as one string. */
async function busyMinute(seed: number): Promise<string> {
  const { clock, network, inbox, connect, listen } = simulate({ seed, loss: 0.2, duplicates: 0.2 });
  const buses = ['one', 'two', 'three'].map((id) => connect(id, [A, B]));
  for (const bus of buses) {
    void listen(bus, '#');
    bus.onConnected(() => inbox.push(`connected at ${clock.monotonic()}`));
  }
  for (let second = 0; second < 60; second++) {
    await clock.advance(1_000);
    for (const [index, bus] of buses.entries()) {
      for (const qos of [0, 1] as const) bus.publish(`${index}/${qos}`, bytes(String(second)), { qos }).catch(() => {});
    }
    if (second % 9 === 0) network.cut('two');
    if (second === 20) network.broker(A).stop();
    if (second === 40) network.broker(A).start();
  }
  return inbox.join();
}

test('one seed is one history', async (t) => {
  const history = await busyMinute(3);
  t.true(history.length > 1_000);
  t.is(await busyMinute(3), history);
  t.not(await busyMinute(4), history);
});

test('messages overtake each other across topics, not within one', async (t) => {
  const { clock, inbox, connect, listen } = simulate();
  const bus = connect('c');
  await clock.until(() => bus.connected);
  void listen(bus, '#');
  await clock.advance(100);
  const sent = Array.from({ length: 100 }, (_, index) => `${index % 2}/${index}`);
  for (const each of sent) void bus.publish(each.slice(0, 1), bytes(each));
  await clock.advance(100);
  t.notDeepEqual(inbox, sent);
  for (const topic of ['0', '1']) {
    const ofTopic = (list: string[]) => list.filter((each) => each.startsWith(topic));
    t.deepEqual(ofTopic(inbox), ofTopic(sent));
  }
});

test('QoS 0 is lost and QoS 1 comes twice as often as asked for', async (t) => {
  const { clock, inbox, connect, listen } = simulate({ loss: 0.5, duplicates: 0.5 });
  const bus = connect('c');
  await clock.until(() => bus.connected);
  void listen(bus, '#');
  await clock.advance(100);
  for (let count = 0; count < 400; count++) {
    void bus.publish('a', bytes('zero'));
    void bus.publish('b', bytes('one'), { qos: 1 });
  }
  await clock.advance(1_000);
  const count = (text: string) => inbox.filter((each) => each === text).length;
  // Lost on the way there, or back.
  t.true(count('zero') > 50 && count('zero') < 150);
  t.true(count('one') > 500 && count('one') < 700);
});

test('a short partition delays, a long one ends the connection on both sides', async (t) => {
  const { clock, network, inbox, connect, listen } = simulate();
  const [bus, observer] = [connect('c'), connect('o')];
  await clock.until(() => bus.connected && observer.connected);
  void listen(observer, '#');
  await clock.advance(100);
  network.partition((clientId) => clientId === 'c');
  void bus.publish('a', bytes('held'));
  await clock.advance(30_000);
  t.deepEqual(inbox, []);
  t.true(bus.connected);
  network.heal();
  await clock.advance(100);
  t.deepEqual(inbox, ['held']);
  network.partition((clientId) => clientId === 'c');
  const outcome = t.throwsAsync(bus.publish('a', bytes('never'), { qos: 1 }), { code: 'DISCONNECTED' });
  await clock.advance(91_000);
  await outcome;
  t.false(bus.connected);
  t.deepEqual(inbox, ['held', 'c is gone']);
  network.heal();
  await clock.until(() => bus.connected);
});

test('a dead broker takes what it retained, and clients go to another', async (t) => {
  const { clock, network, inbox, connect, listen } = simulate();
  const bus = connect('c', [A, B]);
  const local = connect('master', [A], true);
  await clock.until(() => bus.connected && local.connected);
  bus.moveTo(A);
  await clock.until(() => bus.connected);
  t.is(bus.url, A);
  void listen(bus, '#');
  await bus.publish('kept', bytes('x'), { retain: true });
  await clock.advance(100);
  network.broker(A).stop();
  t.false(local.connected);
  await clock.until(() => bus.connected);
  t.is(bus.url, B);
  network.broker(A).start();
  bus.moveTo(A);
  await clock.until(() => bus.connected && local.connected);
  await clock.advance(100);
  t.deepEqual(inbox, ['x']);
});

test('a second client of the name takes over, and the will of the first is sent', async (t) => {
  const { clock, inbox, connect, listen } = simulate();
  const [observer, first] = [connect('o'), connect('c')];
  await clock.until(() => observer.connected && first.connected);
  void listen(observer, 'will');
  await clock.advance(100);
  const lost: string[] = [];
  first.onDisconnected((reason) => {
    lost.push(reason);
    void first.close();
  });
  const second = connect('c');
  await clock.until(() => second.connected && lost.length > 0);
  await clock.advance(100);
  t.deepEqual(lost, ['taken over']);
  t.deepEqual(inbox, ['c is gone']);
  second.kill();
  await clock.advance(100);
  t.deepEqual(inbox, ['c is gone', 'c is gone']);
});
