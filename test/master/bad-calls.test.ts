import test from 'ava';
import { encode, type Outgoing } from '../../protocol/envelope.ts';
import type { CALLS } from '../../protocol/scheduler.ts';
import { MasterWorld, ScriptedFramework, SimulatedAgent, task } from './world.ts';

/** A call that is well-formed but for one field, and how the fault begins. */
const BAD: readonly (readonly [call: object, names: string])[] = [
  [{ type: 'SUBSCRIBE', roles: 'ann' }, 'roles: '],
  [{ type: 'SUBSCRIBE', roles: ['/ann'] }, 'roles.0: '],
  [{ type: 'SUBSCRIBE', roles: ['ann'], capabilities: ['FLYING'] }, 'capabilities.0: '],
  [{ type: 'SUBSCRIBE', roles: ['ann'], wishes: [{ role: 'ann', shape: 'cpus:x' }] }, 'wishes.0.shape: '],
  [
    { type: 'SUBSCRIBE', roles: ['ann'], wishes: [{ role: 'ann', constraints: [['board=pi']] }] },
    'wishes.0.constraints.0.0: ',
  ],
  [{ type: 'UPDATE_FRAMEWORK', roles: ['ann'], suppressed: [7] }, 'suppressed.0: '],
  [{ type: 'UPDATE_FRAMEWORK', roles: ['ann'], mostPerOffer: 'cpus:-1' }, 'mostPerOffer: '],
  [{ type: 'ACCEPT', offers: ['../x'], operations: [] }, 'offers.0: '],
  [{ type: 'ACCEPT', offers: [], operations: {} }, 'operations: '],
  [{ type: 'ACCEPT', offers: [], operations: [], refuseMs: 'long' }, 'refuseMs: '],
  [{ type: 'DECLINE', offers: ['o'], refuseMs: 0.5 }, 'refuseMs: '],
  [{ type: 'DECLINE' }, 'offers: '],
  [{ type: 'REVIVE', roles: [''] }, 'roles.0: '],
  [{ type: 'SUPPRESS', roles: {} }, 'roles: '],
  [{ type: 'REQUEST', requests: [{ resources: 'cpus' }] }, 'requests.0.resources: '],
  [{ type: 'KILL', tasks: [{ task: 't', graceMs: -1 }] }, 'tasks.0.graceMs: '],
  [{ type: 'ACKNOWLEDGE', updates: [{ task: 't' }] }, 'updates.0.uuid: '],
  [{ type: 'RECONCILE', tasks: [{ task: 't', attempt: 1.5 }] }, 'tasks.0.attempt: '],
  [{ type: 'RECONCILE', tasks: Array.from({ length: 101 }, () => ({ task: 't' })) }, 'tasks: '],
  [{ type: 'MESSAGE', agent: 'a', executor: 'e', data: 7 }, 'data: '],
  [{ type: 'MESSAGE', agent: 'a', executor: 'e', data: 'x'.repeat(8_193) }, 'data: '],
  [{ type: 'SHUTDOWN', agent: 'a', executor: '' }, 'executor: '],
  [{ type: 'STORE', request: 'r', key: '/etc', value: '', version: 0 }, 'key: '],
  [{ type: 'STORE', request: 'r', key: 'k', value: '', version: -1 }, 'version: '],
  [{ type: 'LOAD', request: 'r', prefix: 7 }, 'prefix: '],
  [{ type: 'REPLY', request: 'r', client: 'c', session: 's', part: 0, last: 'yes' }, 'last: '],
  [{ type: 'SHOW', things: [{ kind: 'secrets', id: 'x', view: null }] }, 'things.0.kind: '],
];

test('a call that is wrong in one field is refused, the fault names the field, and nothing else happens', async (t) => {
  const world = new MasterWorld({});
  await world.start();
  await new SimulatedAgent(world, 'pi-1').start();
  for (const encoding of ['cbor', 'json'] as const) {
    const framework = new ScriptedFramework(world, `fw-${encoding}`, encoding);
    const say = async (call: object): Promise<void> => {
      const payload = encode({ v: 1, ...call }, encoding);
      framework.bus.publish(`mesq/frameworks/fw-${encoding}/call`, payload, { qos: 1 }).catch(() => {});
      await world.clock.advance(100);
    };
    await world.until(() => framework.bus.connected);
    await say({ type: 'REVIVE' });
    t.is(framework.of('ERROR').at(-1)?.fault.code, 'NOT_REGISTERED', 'in the encoding of the call');
    await framework.subscribe();
    for (const [call, names] of BAD) {
      const before = framework.events.length;
      await say(call);
      const told = framework.events.slice(before);
      t.is(told.filter(({ type }) => type === 'ERROR').length, 1, JSON.stringify(call));
      const fault = framework.of('ERROR').at(-1)?.fault;
      t.is(fault?.code, 'BAD_SHAPE', JSON.stringify(call));
      t.true(fault?.message.startsWith(names), `${names} of ${fault?.message}`);
    }
    t.is(framework.of('RESCIND').length, 0);
    await framework.call({ type: 'TEARDOWN' });
  }
});

/** What the offer comes to after an ACCEPT of it: the states told, the faults, and what is offered again. */
async function accepted(operations: readonly object[]) {
  const world = new MasterWorld({});
  await world.start();
  await new SimulatedAgent(world, 'pi-1').start();
  const framework = new ScriptedFramework(world, 'fw');
  await framework.subscribe();
  const [offer = ''] = framework.offers();
  await framework.call({
    ...({ type: 'ACCEPT', offers: [offer], refuseMs: 0, operations } as unknown as Outgoing<typeof CALLS>),
  });
  await world.clock.advance(2_000);
  const updates = framework.of('UPDATE').flatMap((event) => event.updates);
  const offered = framework.of('OFFERS').at(-1)?.offers[0];
  return {
    states: updates.map(({ task, state }) => `${task} ${state}`),
    messages: updates.flatMap(({ message }) => (message === undefined ? [] : [message])),
    faults: framework.of('ERROR').map(({ fault }) => fault.message),
    again: offered?.offer === offer ? undefined : offered?.resources,
  };
}

const GOOD = task('good', { stays: true });
const REST = [
  { name: 'cpus', scalar: 3_000 },
  { name: 'mem', scalar: 992_000 },
];

test('a bad task of a launch spoils only itself, and what it would have used returns', async (t) => {
  const { states, messages, faults, again } = await accepted([
    { type: 'LAUNCH', tasks: [{ ...task('bad'), argv: [], resources: 'cpus:x' }, GOOD, { task: '../x', attempt: 0 }] },
  ]);
  t.deepEqual(states, ['bad TASK_ERROR', 'good TASK_RUNNING']);
  t.true(messages[0]?.startsWith('operations.0.tasks.0.'), messages[0]);
  t.is(faults.length, 1, 'one has no name to answer under');
  t.true(faults[0]?.startsWith('operations.0.tasks.2.task: '), faults[0]);
  t.deepEqual(again, REST);
});

test('a bad operation spoils only itself, whatever it is', async (t) => {
  for (const bad of [7, null, {}, { type: 'DANCE' }, { type: 'LAUNCH' }, { type: 'LAUNCH', tasks: 'all' }]) {
    const { states, faults, again } = await accepted([bad as object, { type: 'LAUNCH', tasks: [GOOD] }]);
    t.deepEqual(states, ['good TASK_RUNNING'], JSON.stringify(bad));
    t.is(faults.length, 1);
    t.true(faults[0]?.startsWith('operations.0'), faults[0]);
    t.deepEqual(again, REST);
  }
});

test('a group with one bad task is refused as a whole, and nothing beside it', async (t) => {
  const group = { type: 'LAUNCH_GROUP', group: 'g', tasks: [task('one'), { ...task('two'), maxCompletionMs: -1 }] };
  const { states, messages, faults, again } = await accepted([group, { type: 'LAUNCH', tasks: [GOOD] }]);
  t.deepEqual(states, ['one TASK_ERROR', 'two TASK_ERROR', 'good TASK_RUNNING']);
  t.true(
    messages.every((message) => message.startsWith('operations.0.tasks.1.maxCompletionMs: ')),
    messages[0],
  );
  t.deepEqual(faults, []);
  t.deepEqual(again, REST);
});

test('an ACCEPT of nothing but bad operations is a decline', async (t) => {
  const { states, again } = await accepted([{ type: 'LAUNCH', tasks: [{ ...task('bad'), killGraceMs: -1 }] }]);
  t.deepEqual(states, ['bad TASK_ERROR']);
  t.deepEqual(again, [
    { name: 'cpus', scalar: 4_000 },
    { name: 'mem', scalar: 1_024_000 },
  ]);
});

test('a reconcile about a task that has ended tells its newest attempt, also where none is named', async (t) => {
  const world = new MasterWorld({});
  await world.start();
  await new SimulatedAgent(world, 'pi-1').start();
  const framework = new ScriptedFramework(world, 'fw');
  await framework.subscribe();
  for (const attempt of [0, 1]) {
    await world.until(() => framework.offers().length > 0);
    await framework.launch([task('t', { runMs: 50 }, { attempt })]);
    await world.clock.advance(2_000);
    await framework.acknowledgeAll();
    await framework.call({ type: 'REVIVE' });
  }
  const before = framework.of('UPDATE').length;
  await framework.call({
    type: 'RECONCILE',
    tasks: [{ task: 't' }, { task: 't', attempt: 0 }, { task: 't', attempt: 2 }],
  });
  const told = framework
    .of('UPDATE')
    .slice(before)
    .flatMap(({ updates }) => updates);
  t.deepEqual(
    told.map(({ attempt, state }) => `${attempt} ${state}`),
    ['1 TASK_FINISHED', '0 TASK_FINISHED', '2 TASK_UNKNOWN'],
  );
  await framework.call({ type: 'KILL', tasks: [{ task: 't' }] });
  t.like(framework.of('UPDATE').at(-1)?.updates[0], { attempt: 1, state: 'TASK_FINISHED' });
});
