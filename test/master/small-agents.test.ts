import test, { type ExecutionContext } from 'ava';
import { resourcesOf } from '../resources-of.ts';
import { MasterWorld, ScriptedClient, ScriptedFramework, task } from './world.ts';

type Said = Readonly<Record<string, unknown>> & { readonly type: string };

/** An agent that says as little as it may, in JSON. */
async function smallAgent(
  t: ExecutionContext,
): Promise<{ world: MasterWorld; say: (message: object) => Promise<Said[]> }> {
  const world = new MasterWorld();
  t.is(await world.start(), undefined);
  const bus = world.bus('agent:mcu');
  await world.clock.until(() => bus.connected);
  const heard: Said[] = [];
  void bus.subscribe('mesq/agents/mcu/down', 1, ({ payload }) => {
    heard.push(JSON.parse(new TextDecoder().decode(payload)) as Said);
  });
  return {
    world,
    say: async (message) => {
      heard.length = 0;
      const payload = new TextEncoder().encode(JSON.stringify({ v: 1, ...message }));
      bus.publish('mesq/agents/mcu/up', payload, { qos: 1 }).catch(() => undefined);
      await world.clock.until(() => heard.length > 0);
      await world.clock.advance(100);
      return [...heard];
    },
  };
}

const REGISTER = {
  type: 'REGISTER',
  agent: 'mcu-1',
  name: 'mcu',
  incarnation: 'boot-1',
  counter: 1,
  resources: 'cpus:1;mem:128',
};

test('a registration needs an id, a name, a number and resources', async (t) => {
  const { world, say } = await smallAgent(t);
  const [registered] = await say(REGISTER);
  t.like(registered, { type: 'REGISTERED', agent: 'mcu-1', version: 1, incarnation: 'boot-1', counter: 1 });
  const listed = await new ScriptedClient(world, 'op').ask('r1', 'agents', {});
  t.like(listed?.body, { agents: [{ name: 'mcu', state: 'active', hostname: '', attributes: {}, tasks: 0 }] });
});

test('one that keeps no digest is asked what it has, and an answer without news commits nothing', async (t) => {
  const { world, say } = await smallAgent(t);
  const [registered] = await say(REGISTER);
  const { cluster, generation, epoch } = registered as Said;
  const resume = { agent: 'mcu-1', incarnation: 'boot-1', epoch, cluster: { uuid: cluster, generation } };
  const [resumed, reconcile] = await say({ type: 'RESUME', ...resume, resources: 'cpus:1;mem:128' });
  t.like(resumed, { type: 'RESUMED', epoch });
  t.is(reconcile?.type, 'RECONCILE');
  // One part says neither its number nor that it is the last. What it lists is new, and that it was taken is heard.
  const forgotten = { framework: 'batch', task: 'forgotten', attempt: 0, state: 'TASK_RUNNING' };
  const [kill] = await say({ type: 'TASKS', epoch, request: reconcile?.['request'], tasks: [forgotten] });
  t.like(kill, { type: 'KILL', tasks: [{ framework: 'batch', task: 'forgotten', attempt: 0 }] });
  const [again] = await say({ type: 'RESUME', ...resume, resources: 'cpus:1;mem:128' });
  void say({ type: 'TASKS', epoch, request: 'again', tasks: [] });
  await world.clock.advance(100);
  const [last] = await say({ type: 'RESUME', ...resume, resources: 'cpus:1;mem:128' });
  t.is(last?.['index'], again?.['index'], 'what is known already is not written down again');
});

test('whoever writes a firmware is told which field is wrong, and keeps the session', async (t) => {
  const { say } = await smallAgent(t);
  const [registered] = await say(REGISTER);
  const { epoch } = registered as Said;
  const [refused] = await say({ type: 'UPDATE', epoch, updates: [{ framework: 'batch', task: 't', attempt: '0' }] });
  t.like(refused, { type: 'REFUSED', register: false, fault: { code: 'BAD_SHAPE' } });
  t.regex(JSON.stringify(refused), /"message":"updates\.0\.attempt: /);
  const update = { framework: 'batch', task: 't', attempt: 0, uuid: '1-1', sequence: 1, state: 'TASK_RUNNING' };
  const [acknowledged] = await say({ type: 'UPDATE', epoch, updates: [update] });
  t.like(acknowledged, { type: 'ACKNOWLEDGE', updates: ['1-1'] });
});

test('a report with a wrong number beside it counts without that, and those that ride with it count whole', async (t) => {
  const { world, say } = await smallAgent(t);
  const [registered] = await say(REGISTER);
  const { epoch } = registered as Said;
  const framework = new ScriptedFramework(world, 'fw');
  await framework.subscribe();
  await framework.launch(['a', 'b', 'c'].map((name) => task(name, {}, { resources: resourcesOf('cpus:0.1;mem:8') })));
  const ended = (task: string, more: object): object => ({
    ...{ framework: 'fw', task, attempt: 0, uuid: `${task}-1`, sequence: 1, state: 'TASK_FINISHED', exitCode: 0 },
    ...more,
  });
  const updates = [
    ended('a', { output: { stdout: 1, stderr: 2 } }),
    ended('b', { output: { stdout: 2 ** 53, stderr: 0 }, unknown: 1 }),
    ended('c', { sequence: 'one' }),
  ];
  const [refused, acknowledged] = await say({ type: 'UPDATE', epoch, updates });
  t.like(refused, { type: 'REFUSED', register: false, fault: { code: 'BAD_SHAPE' } });
  t.regex(JSON.stringify(refused), /"message":"updates\.1\.output\.stdout: /);
  t.like(acknowledged, { type: 'ACKNOWLEDGE', updates: ['a-1', 'b-1'] });
  const listed = await new ScriptedClient(world, 'op').ask('r1', 'tasks', {});
  const { tasks: states } = (listed?.body ?? { tasks: [] }) as { tasks: { id: string; state: string }[] };
  const stateOf = (name: string): string | undefined => states.find(({ id }) => id === name)?.state;
  t.deepEqual(['a', 'b', 'c'].map(stateOf), ['TASK_FINISHED', 'TASK_FINISHED', 'TASK_STAGING']);
});
