import test, { type ExecutionContext } from 'ava';
import { EngineError } from '../../io/containers.ts';
import { Fault } from '../../protocol/faults.ts';
import { AgentWorld, program } from './world.ts';

/** A world whose agent runs a task and is killed then, with its state damaged in the middle. */
async function damaged(t: ExecutionContext, spoil: (bytes: Uint8Array) => void, lost = true): Promise<AgentWorld> {
  const world = new AgentWorld();
  await world.up();
  world.master.place('service', { argv: program({ stays: true }), restart: 'always' });
  for (let each = 0; each < 5; each++) world.master.place(`t${each}`, { argv: program() });
  await world.clock.advance(20_000);
  t.is(world.machine.processes('batch/service.0/0'), 1);
  world.kill();
  const path = world.disk.paths().find((name) => name.startsWith('checkpoint/') && name.endsWith('.segment'));
  const bytes = world.disk.peek(path ?? '');
  if (path === undefined || bytes === undefined) throw new Error('there is no checkpoint');
  spoil(bytes);
  // As masters do: a task that its agent comes back without is gone.
  if (lost) world.master.placed.clear();
  world.master.epoch = 0;
  world.disk.poke(path, bytes);
  return world;
}

/** One byte of the third record and later ones, after what says who the agent is. */
function inTheMiddle(bytes: Uint8Array): void {
  bytes[700] = (bytes[700] ?? 0) ^ 0xff;
}

test('a damaged state is set aside: the agent goes on as who it was, and what it cannot account for has ended', async (t) => {
  const world = await damaged(t, inTheMiddle);
  const [before] = world.master.of('REGISTER');
  await world.up();
  t.deepEqual(world.faults, []);
  t.true(world.disk.paths().some((path) => path.startsWith('checkpoint.corrupt-1/')));
  const again = world.master.of('REGISTER').at(-1);
  t.is(again?.agent, before?.agent);
  t.deepEqual(again?.tasks, [], 'the masters place its tasks anew');
  t.true((again?.counter ?? 0) > (before?.counter ?? 0), 'newer than any registration before');
  t.is(world.machine.processes('batch/service.0/0'), 0, 'nothing runs beside its next attempt');
  world.master.place('next', { argv: program() });
  await world.until(() => world.master.ended('next'));
  world.kill();
  await world.up();
  t.is(world.master.of('REGISTER').at(-1)?.agent, before?.agent, 'and so on');
  t.false(world.disk.paths().some((path) => path.startsWith('checkpoint.corrupt-2/')));
});

test('of tasks that a damaged state has lost, one that cannot be ended keeps neither the others nor the agent', async (t) => {
  const world = await damaged(t, inTheMiddle);
  const attach = world.machine.attach.bind(world.machine);
  const removed: string[] = [];
  world.machine.attach = () => {
    const launcher = attach();
    const { claim, remove } = launcher;
    // A container's, whose engine is not there.
    launcher.claim = (folder) =>
      folder.startsWith('batch/t')
        ? Promise.reject(new EngineError('UNAVAILABLE', 'none'))
        : claim.call(launcher, folder);
    launcher.remove = (...folders) => {
      removed.push(...folders);
      return folders.includes('batch/t1.0/0') ? Promise.reject(new Error('no')) : remove.apply(launcher, [...folders]);
    };
    return launcher;
  };
  await world.up();
  t.is(world.machine.processes('batch/service.0/0'), 0);
  t.deepEqual(
    removed.sort(),
    [0, 1, 2, 3, 4].map((each) => `batch/t${each}.0/0`),
  );
});

test('an agent whose every record is damaged is who the file beside it says; without that too it is a new one', async (t) => {
  for (const alone of [false, true]) {
    const world = await damaged(t, (bytes) => {
      for (let at = 40; at < bytes.length; at += 16) bytes[at] = (bytes[at] ?? 0) ^ 0xff;
    });
    const [before] = world.master.of('REGISTER');
    if (alone) world.disk.poke('cluster.json', new Uint8Array(20));
    t.false((await world.start()) instanceof Fault);
    await world.until(() => world.master.epoch > 0);
    t.is(world.master.of('REGISTER').at(-1)?.agent === before?.agent, !alone);
  }
});

test('whenever it dies while it sets a damaged state aside, the next start ends in the same', async (t) => {
  for (let step = 1; step <= 12; step++) {
    for (const power of [false, true]) {
      const world = await damaged(t, inTheMiddle);
      const [before] = world.master.of('REGISTER');
      world.disk.crashAt = world.disk.steps + step;
      world.onDeath = () => {
        world.disk.crashAt = Number.POSITIVE_INFINITY;
        world.clock.after(0, () => (power ? world.cutPower() : world.kill()));
      };
      await world.start();
      await world.clock.advance(1_000);
      world.onDeath = () => undefined;
      world.disk.crashAt = Number.POSITIVE_INFINITY;
      if (world.agent === undefined) await world.start();
      await world.until(() => world.master.epoch > 0);
      t.is(world.master.of('REGISTER').at(-1)?.agent, before?.agent, `step ${step}`);
      t.is(world.machine.processes('batch/service.0/0'), 0, `step ${step}`);
      t.deepEqual(world.faults, []);
    }
  }
});

test('a medium that spoils one state after the other is refused aloud', async (t) => {
  const world = await damaged(t, inTheMiddle);
  for (const number of [1, 2, 3]) world.disk.poke(`checkpoint.corrupt-${number}/0.segment`, new Uint8Array(1));
  t.like(await world.start(), { code: 'CORRUPT', hint: 'Replace the medium: it does not keep what is written.' });
});

test('a damaged name of the cluster is set aside, and the agent registers anew with all it runs', async (t) => {
  const world = await damaged(t, () => undefined, false);
  world.disk.poke('cluster.json', new Uint8Array([0xff, 0x00, 0x13]));
  await world.up();
  t.deepEqual(world.faults, []);
  t.true(world.disk.paths().includes('cluster.json.corrupt-1'));
  t.true(
    world.master
      .of('REGISTER')
      .at(-1)
      ?.tasks.some(({ task }) => task === 'service'),
  );
  t.is(world.machine.processes('batch/service.0/0'), 1);
});
