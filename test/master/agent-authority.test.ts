import test from 'ava';
import { Fault } from '../../protocol/faults.ts';
import {
  greeting,
  MasterWorld,
  ScriptedAgent,
  ScriptedClient,
  ScriptedFramework,
  SimulatedAgent,
  task,
} from './world.ts';

/** Two agents by hand, and a framework with a launch on its way to the first, which has not answered it. */
async function launching() {
  const world = new MasterWorld();
  await world.start();
  const framework = new ScriptedFramework(world, 'fw');
  await framework.subscribe();
  const [victim, other] = [new ScriptedAgent(world, 'victim'), new ScriptedAgent(world, 'other')];
  await victim.say(greeting('victim'));
  await framework.launch([task('t', {})]);
  await other.say(greeting('other'));
  const runs = (): number => victim.heard.filter(({ type }) => type === 'RUN').length;
  return { world, framework, victim, other, runs };
}

const KEY = { framework: 'fw', task: 't', attempt: 0 };

test("an agent's refusal ends no launch of another agent", async (t) => {
  const { framework, victim, other } = await launching();
  await other.say({
    type: 'ACCEPTED',
    epoch: other.epoch,
    tasks: [],
    refused: [{ ...KEY, fault: new Fault('DISK', 'full') }],
  });
  t.deepEqual(framework.states('t'), []);
  await victim.say({
    type: 'ACCEPTED',
    epoch: victim.epoch,
    tasks: [],
    refused: [{ ...KEY, fault: new Fault('DISK', 'full') }],
  });
  t.deepEqual(framework.states('t'), ['TASK_DROPPED']);
});

test("an agent's acceptance stops no launch on its way to another agent", async (t) => {
  const { world, victim, other, runs } = await launching();
  t.is(runs(), 1);
  await other.say({ type: 'ACCEPTED', epoch: other.epoch, tasks: [KEY], refused: [] });
  await world.clock.advance(20_000);
  t.true(runs() > 1, 'it is sent until its own agent answers');
  await victim.say({ type: 'ACCEPTED', epoch: victim.epoch, tasks: [KEY], refused: [] });
  const sent = runs();
  await world.clock.advance(20_000);
  t.is(runs(), sent);
});

/** Registers as the first agent, under a name of its own. */
async function steal(world: MasterWorld, name: string, machine: string): Promise<ScriptedAgent> {
  const thief = new ScriptedAgent(world, name);
  await thief.say(greeting(name, { agent: 'id-victim', counter: 9, identity: { machine, serial: '' } }));
  return thief;
}

test('nobody registers as an agent that is connected under another name, whatever they know of its machine', async (t) => {
  const { world, framework, victim } = await launching();
  await victim.say({ type: 'ACCEPTED', epoch: victim.epoch, tasks: [KEY], refused: [] });
  const { epoch } = victim;
  const thief = await steal(world, 'thief', 'machine-victim');
  t.is(thief.last('REFUSED')?.fault.code, 'CLONED');
  await world.clock.advance(5_000);
  t.is(victim.epoch, epoch);
  t.deepEqual(framework.states('t'), []);
});

test('whoever is refused again and again has nothing written', async (t) => {
  const { world, other } = await launching();
  await other.say(greeting('other', { counter: 2 }));
  const { epoch } = other;
  const second = new ScriptedAgent(world, 'victim');
  for (let counter = 1; counter <= 10; counter++)
    await second.say(greeting('victim', { agent: 'id-second', counter, identity: { machine: '', serial: '' } }));
  t.is(second.last('REFUSED')?.fault.code, 'NAME_TAKEN');
  await other.say(greeting('other', { counter: 3 }));
  t.is(other.epoch, epoch + 1, 'the entry after the one before');
});

test('an agent that was away takes another name only on a machine that shows to be the same', async (t) => {
  const { world, victim } = await launching();
  victim.bus.kill();
  world.master?.connectionLost('agent', 'victim');
  await world.clock.advance(1_000);
  t.is((await steal(world, 'thief', '')).last('REFUSED')?.fault.code, 'CLONED');
  t.is((await steal(world, 'renamed', 'machine-victim')).last('REGISTERED')?.agent, 'id-victim');
});

test('a task that an agent claims to have, and another one has, stays where it is', async (t) => {
  const { world, framework, victim, other } = await launching();
  await victim.say({ type: 'ACCEPTED', epoch: victim.epoch, tasks: [KEY], refused: [] });
  const claimed = { ...KEY, restart: 0, state: 'TASK_RUNNING' as const, sequence: 5, resources: [] };
  await other.say({ type: 'TASKS', epoch: other.epoch, request: 'r', tasks: [claimed], part: 0, last: true });
  await other.say(greeting('other', { counter: 2, tasks: [claimed] }));
  t.true(
    (other.last('KILL')?.tasks ?? []).some(({ task }) => task === 't'),
    'it is told to stop it',
  );
  const at = { boot: 'boot-1', monotonicMs: 1, wallMs: null };
  const end = { ...KEY, restart: 0, uuid: 'u1', sequence: 1, state: 'TASK_FINISHED' as const, exitCode: 0, at };
  await other.say({ type: 'UPDATE', epoch: other.epoch, updates: [{ ...end, sequence: 6 }] });
  t.deepEqual(framework.states('t'), []);
  await victim.say({ type: 'UPDATE', epoch: victim.epoch, updates: [end] });
  t.deepEqual(framework.states('t'), ['TASK_FINISHED']);
  t.deepEqual(world.fatal, []);
});

for (const away of ['its link is cut', 'its process is down', 'its machine was rebooted'] as const) {
  test(`an agent that is declared gone while ${away} stops its tasks and ends when it is back`, async (t) => {
    const world = new MasterWorld();
    await world.start();
    const agent = new SimulatedAgent(world, 'pi-1');
    await agent.start();
    const framework = new ScriptedFramework(world, 'fw');
    await framework.subscribe();
    await framework.launch([task('long', { stays: true })]);
    t.is(agent.machine.processes('fw/long.0/0'), 1);
    if (away === 'its link is cut') agent.unplug();
    else if (away === 'its process is down') agent.kill();
    else agent.reboot();
    const client = new ScriptedClient(world, 'ann');
    await client.ask('r1', 'gone', { agent: 'pi-1' });
    t.is(agent.machine.processes('fw/long.0/0'), away === 'its machine was rebooted' ? 0 : 1);
    if (away === 'its link is cut') world.network.heal();
    else await agent.start();
    await world.until(() => agent.faults.length > 0, 600_000);
    t.is(agent.faults[0]?.code, 'GONE');
    t.is(agent.machine.processes('fw/long.0/0'), 0);
    t.deepEqual(framework.states('long').at(-1), 'TASK_GONE_BY_OPERATOR');
  });
}

test('an agent that was given up without noticing it is told to register anew', async (t) => {
  const world = new MasterWorld({ times: { leaseMs: 90_000, unreachableMs: 60_000 } });
  await world.start();
  const agent = new ScriptedAgent(world, 'pi');
  await agent.say(greeting('pi'));
  await world.clock.advance(151_000);
  t.like(agent.last('REFUSED'), { register: true, fault: { code: 'NOT_REGISTERED' } });
});
