import test from 'ava';
import type { TaskInfo } from '../../protocol/task.ts';
import { executorTask, scriptedExecutors } from '../agent/scripted-executor.ts';
import { resourcesOf } from '../resources-of.ts';
import { greeting, MasterWorld, ScriptedAgent, ScriptedFramework, SimulatedAgent, task } from './world.ts';

const KEY = { framework: 'fw', executor: 'e' };

async function connected() {
  const world = new MasterWorld();
  await world.start();
  const framework = new ScriptedFramework(world, 'fw');
  await framework.subscribe();
  const agent = new ScriptedAgent(world, 'pi');
  await agent.say(greeting('pi'));
  return { world, framework, agent };
}

test('a scheduler and its executor speak to each other, and each hears only its own', async (t) => {
  const { world, framework, agent } = await connected();
  const other = new ScriptedFramework(world, 'other');
  await other.subscribe(['bob']);
  await framework.call({ type: 'MESSAGE', agent: 'id-pi', executor: 'e', data: 'do' });
  t.like(agent.last('MESSAGE'), { ...KEY, data: 'do', epoch: agent.epoch });
  await agent.say({ type: 'MESSAGE', epoch: agent.epoch, ...KEY, data: 'done' });
  t.like(framework.of('MESSAGE')[0], { agent: 'id-pi', executor: 'e', data: 'done' });
  t.deepEqual(other.of('MESSAGE'), []);
  // Whoever is not there hears nothing, and nothing breaks.
  await framework.call({ type: 'MESSAGE', agent: 'id-nobody', executor: 'e', data: 'do' });
  await agent.say({ type: 'MESSAGE', epoch: agent.epoch, framework: 'nobody', executor: 'e', data: 'done' });
  await agent.say({ type: 'MESSAGE', epoch: agent.epoch - 1, ...KEY, data: 'of an older session' });
  t.is(framework.of('MESSAGE').length, 1);
});

test('a scheduler ends its executor, and hears of the end', async (t) => {
  const { framework, agent } = await connected();
  await framework.call({ type: 'SHUTDOWN', agent: 'id-pi', executor: 'e' });
  t.deepEqual(agent.last('SHUTDOWN_EXECUTORS')?.executors, [KEY]);
  await agent.say({ type: 'EXECUTOR_ENDED', epoch: agent.epoch, ...KEY, status: 137 });
  t.like(framework.of('FAILURE')[0], { agent: 'id-pi', state: 'executor-ended', executor: 'e', status: 137 });
});

test('executors without a task end with their framework, also those that are heard of later', async (t) => {
  const { framework, agent } = await connected();
  const ended = (): number => agent.heard.filter(({ type }) => type === 'SHUTDOWN_EXECUTORS').length;
  await agent.say({ type: 'IDLE_EXECUTORS', epoch: agent.epoch, executors: [KEY] });
  t.is(ended(), 0);
  await framework.call({ type: 'TEARDOWN' });
  t.is(ended(), 1);
  t.deepEqual(agent.last('SHUTDOWN_EXECUTORS')?.executors, [KEY]);
  // It had a task when its framework was removed, and says so when that has ended.
  await agent.say({ type: 'IDLE_EXECUTORS', epoch: agent.epoch, executors: [KEY, { ...KEY, executor: 'late' }] });
  t.is(ended(), 2);
});

/** An offer of 4 cpus, and what comes of launching a group on it. */
async function grouped(tasks: TaskInfo[]) {
  const world = new MasterWorld();
  await world.start();
  const framework = new ScriptedFramework(world, 'fw');
  await framework.subscribe();
  const agent = new SimulatedAgent(world, 'pi');
  await agent.start();
  await framework.call({
    type: 'ACCEPT',
    offers: framework.offers(),
    operations: [
      { type: 'LAUNCH', tasks: [task('alone', { stays: true })] },
      { type: 'LAUNCH_GROUP', group: 'pod', tasks },
    ],
  });
  await world.clock.advance(2_000);
  return { world, framework, states: tasks.map(({ task: name }) => framework.states(name)) };
}

const executor = { executor: 'e', argv: ['true'], shutdownGraceMs: 5_000 };

test('a group is launched whole', async (t) => {
  const { framework, states } = await grouped([task('a', { stays: true }), task('b', { stays: true })]);
  t.deepEqual(states, [['TASK_RUNNING'], ['TASK_RUNNING']]);
  t.deepEqual(framework.states('alone'), ['TASK_RUNNING']);
});

const REFUSED: Readonly<Record<string, readonly [TaskInfo[], string]>> = {
  'one of it does not fit': [[task('a'), task('b', {}, { resources: resourcesOf('cpus:9') })], 'TASK_DROPPED'],
  'it is named twice': [[task('a'), task('a')], 'TASK_DROPPED'],
  'a task of that name is in the same call': [[task('a'), task('alone')], 'TASK_DROPPED'],
  'its tasks are of several attempts': [[task('a'), task('b', {}, { attempt: 1 })], 'TASK_ERROR'],
  'its tasks are of several executors': [[task('a'), task('b', {}, { executor })], 'TASK_ERROR'],
  'it does not fit into one command': [
    ['a', 'b', 'c', 'd'].map((name) =>
      task(name, {}, { argv: ['true', 'x'.repeat(15_000)], resources: resourcesOf('cpus:0.1') }),
    ),
    'TASK_ERROR',
  ],
};

for (const [name, [tasks, state]] of Object.entries(REFUSED)) {
  test(`a group is refused whole where ${name}, and its resources come back`, async (t) => {
    const { world, framework, states } = await grouped(tasks);
    t.true(states.every((heard) => heard.includes(state)));
    t.true(states.flat().every((heard) => heard === state || heard === 'TASK_RUNNING'));
    t.deepEqual(
      framework.states('alone').filter((heard) => heard !== state),
      ['TASK_RUNNING'],
    );
    await framework.call({ type: 'REVIVE' });
    await world.until(() => framework.offers().length > 0, 60_000);
    const offered = framework
      .of('OFFERS')
      .at(-1)
      ?.offers[0]?.resources.find((each) => each.name === 'cpus');
    t.like(offered, { scalar: 3_000 });
  });
}

test('what an executor is to run is checked: a program or an executor, and no restarts beside it', async (t) => {
  const world = new MasterWorld();
  await world.start();
  const framework = new ScriptedFramework(world, 'fw');
  await framework.subscribe();
  await new SimulatedAgent(world, 'pi').start();
  await framework.launch([
    task('neither', {}, { argv: [] }),
    task('restarts', {}, { argv: [], executor, restart: 'always' }),
  ]);
  t.deepEqual(framework.states('neither'), ['TASK_ERROR']);
  t.deepEqual(framework.states('restarts'), ['TASK_ERROR']);
});

test('what an executor attaches to a status reaches its scheduler, also across a crash of the agent and the master', async (t) => {
  const world = new MasterWorld();
  await world.start();
  const agent = new SimulatedAgent(world, 'pi');
  scriptedExecutors({
    clock: world.clock,
    random: world.random,
    machine: agent.machine,
    socket: agent.socket,
    made: agent.made,
  });
  await agent.start();
  const framework = new ScriptedFramework(world, 'fw');
  await framework.subscribe();
  const data = 'loss 0.03';
  await framework.launch([task('a', {}, executorTask('e', { runMs: 2_000, data }))]);
  agent.unplug();
  await world.clock.advance(5_000);
  agent.kill();
  world.killMaster();
  world.network.heal();
  await world.start();
  await agent.start();
  await framework.subscribe();
  await world.until(() => framework.states('a').includes('TASK_FINISHED'));
  const ends = framework
    .of('UPDATE')
    .flatMap(({ updates }) => updates.filter(({ state }) => state === 'TASK_FINISHED'));
  t.is(ends[0]?.data, data);
});
