import test from 'ava';
import { MasterWorld, ScriptedFramework, SimulatedAgent, task } from '../master/world.ts';

test('a task that asked for it ends when its agent has been alone for so long, and not before', async (t) => {
  const world = new MasterWorld();
  await world.start();
  const agent = new SimulatedAgent(world, 'pi');
  await agent.start();
  const framework = new ScriptedFramework(world, 'fw');
  await framework.subscribe();
  const stays = { stays: true };
  await framework.launch([
    task('leaves', stays, { disconnect: { stopOnClientAfterMs: 120_000 } }),
    task('keeps', stays, { disconnect: {} }),
  ]);
  t.deepEqual(framework.states('leaves'), ['TASK_RUNNING']);
  agent.cut();
  await world.clock.advance(119_000);
  t.deepEqual(framework.states('leaves').at(-1), 'TASK_RUNNING', 'a short break ends nothing');
  agent.unplug();
  // The agent notices after 1.5 keep-alives, and connects again within 30 s.
  await world.clock.advance(90_000 + 85_000);
  world.network.heal();
  await world.clock.advance(60_000);
  t.is(framework.states('leaves').at(-1), 'TASK_RUNNING');
  agent.unplug();
  await world.clock.advance(90_000 + 125_000);
  world.network.heal();
  await world.clock.advance(60_000);
  const end = framework.of('UPDATE').flatMap(({ updates }) => updates.filter(({ task }) => task === 'leaves'));
  t.like(
    end.at(-1),
    { state: 'TASK_KILLED', reason: 'AGENT_DISCONNECTED' },
    'not as if its framework had asked for it',
  );
  t.is(framework.states('keeps').at(-1), 'TASK_RUNNING');
});

test('a restarted agent that finds no master ends it too', async (t) => {
  const world = new MasterWorld();
  await world.start();
  const agent = new SimulatedAgent(world, 'pi');
  await agent.start();
  const framework = new ScriptedFramework(world, 'fw');
  await framework.subscribe();
  await framework.launch([task('leaves', { stays: true }, { disconnect: { stopOnClientAfterMs: 30_000 } })]);
  agent.kill();
  world.killMaster();
  await agent.start();
  await world.clock.advance(40_000);
  await world.start();
  await framework.subscribe();
  await world.clock.advance(60_000);
  await framework.call({ type: 'RECONCILE', tasks: [{ task: 'leaves' }] });
  t.is(framework.states('leaves').at(-1), 'TASK_KILLED');
});
