import test from 'ava';
import { systemPacking } from '../../io/node/message-packing.ts';
import { PACKING } from '../../protocol/packing.ts';
import { AgentWorld, program } from './world.ts';

async function metered(world = new AgentWorld()): Promise<AgentWorld> {
  world.more = { metered: true, packing: systemPacking };
  await world.up();
  return world;
}

test('on a metered link a short task is told in one message, which says that it was accepted, too', async (t) => {
  const world = await metered();
  for (const task of ['a', 'b']) {
    world.master.place(task, { argv: program() });
    await world.until(() => world.master.ended(task));
  }
  // Not from when the first was launched: the second has its full time as well.
  t.deepEqual(world.master.of('ACCEPTED'), []);
  t.deepEqual(
    world.master.of('UPDATE').map(({ updates }) => updates.map(({ state }) => state)),
    [
      ['TASK_RUNNING', 'TASK_FINISHED'],
      ['TASK_RUNNING', 'TASK_FINISHED'],
    ],
  );
});

test('what is not acknowledged goes out again, and the broker is to say that it has it', async (t) => {
  const world = await metered();
  // Whatever goes at QoS 0 is lost.
  world.network.loss = 1;
  const sinceMs = world.clock.monotonic();
  world.master.place('a', { argv: program() });
  await world.until(() => world.master.ended('a'));
  const tookMs = world.clock.monotonic() - sinceMs;
  // The launch that was not answered in time comes again, and with it the report.
  t.true(tookMs > 4_000 && tookMs < 15_000, String(tookMs));
});

test('messages are packed once the leader has said that it takes that, and are plain again for the next one', async (t) => {
  const world = new AgentWorld();
  Object.assign(world.master, { brief: true, opens: true, packs: PACKING });
  await metered(world);
  t.is(world.master.packedHeard, 0, 'it registers in plain words');
  world.master.place('a', { argv: program() });
  await world.until(() => world.master.ended('a'));
  t.true(world.master.packing);
  world.cut();
  await world.until(() => world.master.of('RESUME').length > 0);
  t.true(world.master.packing, 'an opening as well');
  world.master.place('b', { argv: program() });
  await world.until(() => world.master.ended('b'));
  const before = world.master.packedHeard;
  t.true(before >= 3);
  // The next leader is of a version that packs nothing.
  Object.assign(world.master, { term: 2, brief: false, opens: false, packs: undefined });
  world.master.lead();
  world.master.place('c', { argv: program() });
  await world.until(() => world.master.ended('c'));
  t.is(world.master.packedHeard, before);
});

test('a master of before, put in the place of the one that packed, is told everything in plain words', async (t) => {
  const world = new AgentWorld();
  Object.assign(world.master, { brief: true, opens: true, packs: PACKING });
  await metered(world);
  Object.assign(world.master, { term: 2, brief: false, opens: false, packs: undefined });
  world.cut();
  await world.until(() => world.master.of('RESUME').length > 0);
  t.is(world.master.packedHeard, 1, 'the opening, which it refused');
  t.true((world.master.of('RESUME')[0]?.resources?.length ?? 0) > 0);
  world.master.place('a', { argv: program() });
  await world.until(() => world.master.ended('a'));
});

test('another dictionary is none', async (t) => {
  const world = new AgentWorld();
  world.master.packs = PACKING + 1;
  await metered(world);
  world.master.place('a', { argv: program() });
  await world.until(() => world.master.ended('a'));
  t.is(world.master.packedHeard, 0);
});
