import test from 'ava';
import { StorageError } from '../../io/storage.ts';
import { AgentWorld, program } from './world.ts';

test('launcher and supervisors are killed: tasks go on, and their end is found out although nobody tells it', async (t) => {
  const world = new AgentWorld(11);
  await world.up();
  world.master.place('short', { argv: program({ runMs: 30_000 }) });
  world.master.place('long', { argv: program({ stays: true }) });
  await world.until(() => world.master.states('long').length > 0 && world.master.states('short').length > 0);
  world.machine.killSupervisors();
  await world.clock.advance(20_000);
  t.deepEqual(world.master.states('short'), ['TASK_RUNNING']);
  await world.until(() => world.master.ended('short'), 15_000);
  // Its exit status went with the supervisor.
  t.like(world.master.last('short'), { state: 'TASK_FAILED', reason: 'LAUNCHER_LOST' });
  world.master.kill('long');
  await world.until(() => world.master.ended('long'), 15_000);
  t.is(world.master.last('long')?.state, 'TASK_KILLED');
  t.is(world.started.length, 2, 'nothing starts twice');
});

test('one supervisor is killed: its task is asked after within the minute', async (t) => {
  const world = new AgentWorld(12);
  await world.up();
  world.master.place('a', { argv: program({ runMs: 30_000 }) });
  await world.until(() => world.master.states('a').length > 0);
  world.machine.killSupervisor('batch/a.0/0');
  await world.until(() => world.master.ended('a'), 100_000);
  t.like(world.master.last('a'), { state: 'TASK_FAILED', reason: 'LAUNCHER_LOST' });
});

test('the outputs of what runs are looked at again and again, and of nothing else', async (t) => {
  const world = new AgentWorld(17);
  await world.up();
  world.master.place('a', { argv: program({ stays: true }) });
  await world.until(() => world.master.states('a').length > 0);
  await world.clock.advance(5_000);
  t.true(world.cuts.length >= 8, 'both streams, each second');
  t.deepEqual([...new Set(world.cuts)], ['batch/a.0/0']);
  world.master.kill('a');
  await world.until(() => world.master.ended('a'));
  await world.clock.advance(2_000);
  const { length } = world.cuts;
  await world.clock.advance(5_000);
  t.is(world.cuts.length, length);
});

test('an agent that runs tasks by the thousand keeps the folders of few', async (t) => {
  const world = new AgentWorld(13);
  await world.up();
  let most = 0;
  for (let second = 0; second < 40; second++) {
    for (let at = 0; at < 100; at++) world.master.place(`t${second}-${at}`, { argv: program() });
    await world.clock.advance(1_000);
    most = Math.max(most, world.machine.folders.length);
  }
  await world.until(() =>
    [...world.master.placed.keys()].every((name) => world.master.ended(name.replace(/\.0$/, ''))),
  );
  t.true([...world.master.placed.values()].every(({ refused }) => refused === undefined));
  t.true(most <= 2_500, `${most} folders`);
  await world.clock.advance(300_000);
  const young = world.machine.folders.length;
  t.true(young > 1_000 && young <= 2_000, `${young} folders: whoever reads an array comes later than its tasks end`);
  await world.clock.advance(600_000);
  t.true(world.machine.folders.length <= 200, `${world.machine.folders.length} folders`);
});

test('the output of an array that ends slowly is there for whoever reads it behind', async (t) => {
  const world = new AgentWorld(16);
  await world.up();
  for (let second = 0; second < 60; second++) {
    for (let at = 0; at < 8; at++) world.master.place(`t${second}-${at}`, { argv: program() });
    await world.clock.advance(1_000);
  }
  t.true(world.machine.folders.includes('batch/t0-0.0/0'), 'the first of 480');
});

test('a service that cannot be started for lack of disk is tried ever more seldom, and goes on when there is room', async (t) => {
  const world = new AgentWorld(14);
  await world.up();
  world.master.place('web', { argv: program({ runMs: 1_000 }), restart: 'always' });
  await world.until(() => world.master.states('web').length > 0);
  world.machine.refusal = new StorageError('ENOSPC', '/data/tasks');
  const before = world.master.states('web').length;
  await world.clock.advance(3_600_000);
  const tries = world.master.states('web').length - before;
  t.true(tries > 5 && tries < 60, `${tries} reports in an hour`);
  world.machine.refusal = undefined;
  const { length } = world.started;
  await world.until(() => world.started.length > length, 600_000);
  t.pass();
});

test('the time a task may take goes on while its agent is away, and begins anew with the machine', async (t) => {
  const world = new AgentWorld(15);
  await world.up();
  world.master.place('a', { argv: program({ stays: true }), maxCompletionMs: 100_000 });
  await world.until(() => world.master.states('a').length > 0);
  await world.clock.advance(60_000);
  world.kill();
  await world.start();
  await world.clock.advance(35_000);
  t.false(world.master.ended('a'));
  await world.until(() => world.master.ended('a'), 10_000);
  t.like(world.master.last('a'), { state: 'TASK_FAILED', reason: 'MAX_COMPLETION_TIME_REACHED' });
  world.master.place('b', { argv: program({ stays: true }), maxCompletionMs: 100_000, restart: 'always' });
  await world.until(() => world.master.states('b').length > 0);
  await world.clock.advance(90_000);
  world.cutPower();
  await world.start();
  await world.clock.advance(60_000);
  t.is(world.machine.processes('batch/b.0/1'), 1);
});
