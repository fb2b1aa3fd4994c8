import test from 'ava';
import { Counters } from '../../master/counters.ts';
import { StateMirror } from '../../master/state-mirror.ts';
import { connectSimulatedBus } from '../sim/bus.ts';
import { VirtualClock } from '../sim/clock.ts';
import { SimulatedNetwork } from '../sim/network.ts';
import { SeededRandom } from '../sim/random.ts';

const [LEADER, FOLLOWER] = ['mqtt://m1:1883', 'mqtt://m2:1883'];
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

async function world() {
  const clock = new VirtualClock();
  const network = new SimulatedNetwork({ clock, random: new SeededRandom(1) });
  const connect = (clientId: string, url: string, local = false) =>
    connectSimulatedBus(network, { clientId, urls: [url], local });
  const leader = connect('m1', LEADER, true);
  const own = connect('m2', FOLLOWER, true);
  const link = connect('m2~raft', LEADER);
  await clock.advance(1_000);
  const mirror = new StateMirror({ bus: own, prefix: 'mesq', clock, counters: new Counters() });
  const show = (topic: string, text: string): void =>
    void leader.publish(`mesq/state/${topic}`, bytes(text), { retain: true });
  /** What a viewer of the follower sees now. */
  const shown = async (): Promise<string[]> => {
    const seen = new Set<string>();
    const viewer = connect(`viewer-${clock.monotonic()}`, FOLLOWER);
    void viewer.subscribe('mesq/state/#', 0, ({ topic, payload }) => {
      if (payload.length > 0) seen.add(topic.slice('mesq/state/'.length));
    });
    await clock.advance(1_000);
    viewer.kill();
    return [...seen].sort();
  };
  return { clock, network, own, link, mirror, show, shown };
}

test('a follower shows what the leader shows, and clears what an earlier leader had left', async (t) => {
  const { clock, own, link, mirror, show, shown } = await world();
  void own.publish('mesq/state/agents/old', bytes('1'), { retain: true });
  show('agents/a1', '1');
  mirror.follow(link);
  await clock.advance(20_000);
  t.deepEqual(await shown(), ['agents/a1']);
  show('agents/a2', '1');
  show('agents/a1', '');
  await clock.advance(1_000);
  t.deepEqual(await shown(), ['agents/a2']);
});

test('what the leader cleared while the link was down is cleared when it is back, and nothing else', async (t) => {
  const { clock, network, link, mirror, show, shown } = await world();
  mirror.follow(link);
  for (const topic of ['a', 'b', 'c']) show(topic, '1');
  await clock.advance(20_000);
  for (const round of ['b', 'c']) {
    network.partition((clientId) => clientId === 'm2~raft');
    await clock.advance(1_000);
    show(round, '');
    await clock.advance(200_000);
    network.heal();
    await clock.advance(60_000);
    t.false((await shown()).includes(round));
  }
  t.deepEqual(await shown(), ['a']);
});

test('while nobody is followed, what was so last stays, and nothing is mirrored', async (t) => {
  const { clock, link, mirror, show, shown } = await world();
  mirror.follow(link);
  show('a', '1');
  await clock.advance(20_000);
  mirror.follow(undefined);
  show('b', '1');
  await clock.advance(20_000);
  t.deepEqual(await shown(), ['a']);
  mirror.follow(link);
  await clock.advance(20_000);
  t.deepEqual(await shown(), ['a', 'b']);
});
