import test from 'ava';
import { systemPacking } from '../../io/node/message-packing.ts';
import { AGENT_DOWN, AGENT_UP } from '../../protocol/agent-link.ts';
import { type MessageOf, type Outgoing, read, write } from '../../protocol/envelope.ts';
import { assert, Fault } from '../../protocol/faults.ts';
import { isPacked, PACKING, packed, unpacked } from '../../protocol/packing.ts';
import { greeting, MasterWorld, ScriptedAgent, ScriptedFramework, task } from './world.ts';

type Down = MessageOf<typeof AGENT_DOWN>;

/** A metered agent in CBOR, packed or not; what it hears, and whether that was packed. */
async function metered(world: MasterWorld) {
  const heard: { message: Down; short: boolean }[] = [];
  const bus = world.bus('agent:pi~by-hand');
  const facts = { cluster: '', agent: 'id-pi', boot: 'boot-1' };
  void bus.subscribe('mesq/agents/pi/down', 1, ({ payload }) => {
    const short = isPacked(payload);
    const taken = read(AGENT_DOWN, (short ? unpacked(payload, facts, systemPacking) : payload) ?? payload);
    assert(!(taken instanceof Fault), 'what a master says can be read');
    heard.push({ message: taken.message, short });
  });
  await world.until(() => bus.connected);
  const raw = async (payload: Uint8Array, advanceMs: number): Promise<void> => {
    void bus.publish('mesq/agents/pi/up', payload, { qos: 1 });
    await world.clock.advance(advanceMs);
  };
  const say = (message: Outgoing<typeof AGENT_UP>, short = false, advanceMs = 500): Promise<void> => {
    const plain = write(AGENT_UP, message);
    return raw(short ? packed(plain, facts, systemPacking) : plain, advanceMs);
  };
  const of = <Type extends Down['type']>(type: Type) =>
    heard.flatMap(({ message }) => (message.type === type ? [message as Extract<Down, { type: Type }>] : []));
  await say(greeting('pi', { metered: true }));
  const [registered] = of('REGISTERED');
  assert(registered !== undefined, 'it is registered');
  const { cluster, generation, epoch, packs } = registered;
  facts.cluster = cluster;
  return { heard, facts, say, raw, of, cluster, generation, epoch, packs };
}

test('who packs what it says is answered likewise, until it does not; nobody else is told of it', async (t) => {
  const world = new MasterWorld();
  world.more = { packing: systemPacking };
  world.seesPackets = true;
  await world.start();
  const plain = new ScriptedAgent(world, 'cable');
  await plain.say(greeting('cable'));
  t.is(plain.last('REGISTERED')?.packs, undefined);
  const { heard, say, raw, packs, epoch, cluster, generation } = await metered(world);
  t.is(packs, PACKING);
  const resume = {
    ...{ type: 'RESUME' as const, agent: 'id-pi', epoch, incarnation: 'i1' },
    ...{ cluster: { uuid: cluster, generation }, reported: '', digest: '0-0-0' },
  };
  await say(resume, true);
  t.like(heard.at(-1), { message: { type: 'RESUMED', packs: PACKING }, short: true });
  await say(resume);
  t.like(heard.at(-1), { message: { type: 'RESUMED' }, short: false });
  await say(resume, true);
  // What is no message of these two is refused in plain words, as whatever cannot be read.
  await raw(Uint8Array.of(1, 0xff, 0xff), 500);
  t.like(heard.at(-1), { message: { type: 'REFUSED', register: false }, short: false });
});

test('a master that packs nothing tells nobody that it would', async (t) => {
  const world = new MasterWorld();
  world.seesPackets = true;
  await world.start();
  t.is((await metered(world)).packs, undefined);
});

test('a launch on a metered link is not repeated while its answer may wait, and two reports are acknowledged at once', async (t) => {
  const world = new MasterWorld();
  await world.start();
  const { say, of, epoch } = await metered(world);
  const framework = new ScriptedFramework(world, 'fw');
  await framework.subscribe();
  const runsOf = (name: string) => of('RUN').filter(({ tasks }) => tasks.some(({ info }) => info.task === name)).length;
  await framework.operate({ type: 'LAUNCH', tasks: [task('a')] });
  t.is(runsOf('a'), 1);
  // The timer that repeats launches was wound up for the first of them.
  await world.clock.advance(3_500);
  await framework.operate({ type: 'LAUNCH', tasks: [task('b')] });
  await world.until(() => runsOf('a') === 2);
  t.is(runsOf('b'), 1);
  await world.until(() => runsOf('b') === 2);
  t.is(runsOf('a'), 3);
  const status = (sequence: number, state: 'TASK_RUNNING' | 'TASK_FINISHED') => ({
    ...{ framework: 'fw', task: 'a', attempt: 0, restart: 0, uuid: `u${sequence}`, sequence, state },
    at: { boot: 'boot-1', monotonicMs: 1, wallMs: null },
  });
  await say({ type: 'UPDATE', epoch, updates: [status(1, 'TASK_RUNNING')] }, false, 300);
  await say({ type: 'UPDATE', epoch, updates: [status(2, 'TASK_FINISHED')] }, false, 2_000);
  t.deepEqual(
    of('ACKNOWLEDGE').map(({ updates }) => [...updates]),
    [['u1', 'u2']],
  );
});
