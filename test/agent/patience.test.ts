import test from 'ava';
import { reportPatience } from '../../agent/reporting/patience.ts';
import { AgentWorld, program } from './world.ts';

test('an end waits for nobody where little runs, up to 20 ms where much runs, and up to 200 ms behind starts that queue', (t) => {
  t.is(reportPatience(true, 1, 0), 0);
  t.is(reportPatience(true, 80, 0), 10);
  t.is(reportPatience(true, 1_000, 0), 20);
  t.is(reportPatience(true, 101, 100), 100);
  t.is(reportPatience(true, 1_000, 900), 200);
});

test('a beginning waits 20 ms for its end, and as long as one where starts queue', (t) => {
  t.is(reportPatience(false, 1, 0), 20);
  t.is(reportPatience(false, 101, 100), 100);
});

test('while a hundred starts wait for the launcher, ends are told together; once they have begun, at once', async (t) => {
  const world = new AgentWorld();
  await world.up();
  for (const [task, runMs] of [
    ['early', 100],
    ['late', 140],
    ['last', 60_000],
  ] as const)
    world.master.place(task, { argv: program({ runMs }) });
  await world.until(() => world.master.states('last').length > 0);
  t.true(world.machine.folders.includes('batch/early.0/0'));
  world.machine.freeze();
  for (let index = 0; index < 100; index++) world.master.place(`t${index}`, { argv: program({ runMs: 600_000 }) });
  await world.until(() => world.machine.processes('batch/early.0/0') + world.machine.processes('batch/late.0/0') === 0);
  t.deepEqual([world.master.ended('early'), world.master.ended('late')], [false, false]);
  await world.until(() => world.master.ended('early'));
  t.true(world.master.ended('late'), 'told with the one before');
  world.machine.thaw();
  await world.until(() => world.master.ended('last'));
  t.is(world.master.states('t99').at(-1), 'TASK_RUNNING');
});
