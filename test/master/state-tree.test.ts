import test from 'ava';
import { LIMITS } from '../../protocol/limits.ts';
import { resourcesOf } from '../resources-of.ts';
import type { SimulatedBus } from '../sim/bus.ts';
import {
  greeting,
  MasterWorld,
  ScriptedAgent,
  ScriptedClient,
  ScriptedFramework,
  SimulatedAgent,
  task,
} from './world.ts';

const shown = (world: MasterWorld, rest: string): Record<string, unknown> | undefined => {
  const text = world.state.get(rest);
  return text === undefined ? undefined : (JSON.parse(text) as Record<string, unknown>);
};

test('what there is has a topic, what has gone has none', async (t) => {
  const world = new MasterWorld();
  await world.watchState();
  await world.start();
  const agent = new SimulatedAgent(world, 'pi-1');
  await agent.start();
  const framework = new ScriptedFramework(world, 'fw');
  await framework.subscribe();
  t.like(shown(world, 'cluster'), { leader: 'm1', term: 1, agents: 1, frameworks: 1 });
  t.like(shown(world, 'masters/m1'), { role: 'leader' });
  t.like(shown(world, 'agents/pi-1'), { state: 'active', resources: 'cpus:4;mem:1024' });
  t.like(shown(world, 'frameworks/fw'), { state: 'active', roles: ['ann'] });
  const [offer = ''] = framework.offers();
  t.like(shown(world, `offers/${offer}`), { framework: 'fw', agent: 'pi-1', resources: 'cpus:4;mem:1024' });
  await framework.launch([task('t1', { stays: true })]);
  t.false(world.state.has(`offers/${offer}`));
  t.like(shown(world, 'tasks/fw/t1'), { state: 'TASK_RUNNING', agent: 'pi-1' });
  t.deepEqual(shown(world, 'agents/pi-1/load'), { tasks: 1, cpus: 1, mem: 32, disk: 0, gpus: 0 });
  t.deepEqual(shown(world, 'frameworks/fw/load'), { tasks: 1, cpus: 1, mem: 32, disk: 0, gpus: 0 });
  world.network.cut('framework:fw');
  await world.clock.advance(20);
  await world.until(() => shown(world, 'frameworks/fw')?.['state'] === 'disconnected');
  await new ScriptedClient(world, 'ann').ask('r', 'gone', { agent: 'pi-1' });
  t.false(world.state.has('agents/pi-1'));
  t.false(world.state.has('agents/pi-1/load'));
  t.like(shown(world, 'tasks/fw/t1'), { state: 'TASK_GONE_BY_OPERATOR' });
  t.deepEqual(
    [...world.state.keys()].filter((rest) => rest.startsWith('offers/')),
    [],
  );
});

test('an agent under a new name leaves nothing under the old one', async (t) => {
  const world = new MasterWorld();
  await world.start();
  await world.watchState();
  const old = new ScriptedAgent(world, 'old');
  await old.say(greeting('old'));
  t.true(world.state.has('agents/old'));
  old.bus.kill();
  world.master?.connectionLost('agent', 'old');
  const identity = greeting('old').identity;
  await new ScriptedAgent(world, 'new').say(greeting('new', { agent: 'id-old', identity, counter: 2 }));
  t.false(world.state.has('agents/old'));
  t.false(world.state.has('agents/old/load'));
  t.like(shown(world, 'agents/new'), { id: 'id-old' });
});

test('what a framework has shown goes with it', async (t) => {
  const world = new MasterWorld();
  await world.start();
  await world.watchState();
  const framework = new ScriptedFramework(world, 'fw');
  await framework.subscribe();
  await framework.call({
    type: 'SHOW',
    things: [{ kind: 'jobs', id: 'j1', view: { name: 'x' }, progress: { done: 1 } }],
  });
  await world.until(() => world.state.has('jobs/fw/j1/progress'));
  await new ScriptedClient(world, 'ann').ask('r', 'teardown', { framework: 'fw' });
  await world.clock.advance(1_000);
  t.deepEqual(
    [...world.state.keys()].filter((rest) => rest.startsWith('jobs/')),
    [],
  );
});

test('what somebody clears is written again, and so is who leads', async (t) => {
  const world = new MasterWorld();
  await world.start();
  await world.watchState();
  await new SimulatedAgent(world, 'pi-1').start();
  const before = new Map(world.state);
  const vandal = world.bus('vandal');
  const leader: string[] = [];
  void vandal.subscribe('mesq/leader', 1, ({ payload }) => leader.push(new TextDecoder().decode(payload)));
  await world.until(() => vandal.connected && leader.length > 0);
  for (const topic of [...[...before.keys()].map((rest) => `mesq/state/${rest}`), 'mesq/leader']) {
    void vandal.publish(topic, new Uint8Array(), { retain: true });
  }
  await world.clock.advance(1_000);
  t.is(leader.at(-2), '');
  t.regex(leader.at(-1) ?? '', /"leader":"m1"/);
  for (const [rest, text] of before) if (rest !== 'cluster') t.is(world.state.get(rest), text, rest);
  t.like(shown(world, 'cluster'), { rejected: { 'state topic cleared by somebody': before.size } });
});

test('a restarted master clears what an earlier one had left on a broker that lives on', async (t) => {
  const world = new MasterWorld();
  const other = world.bus('earlier');
  await world.until(() => other.connected);
  for (const rest of ['agents/long-gone', 'offers/o1-1-abcd', 'tasks/x/y']) {
    void other.publish(`mesq/state/${rest}`, new TextEncoder().encode('{}'), { retain: true });
  }
  await world.watchState();
  t.true(world.state.has('offers/o1-1-abcd'));
  await world.start();
  await new SimulatedAgent(world, 'pi-1').start();
  await world.clock.advance(15_000);
  t.deepEqual([...world.state.keys()].sort(), ['agents/pi-1', 'agents/pi-1/load', 'cluster', 'masters/m1']);
});

/** The master is killed; what it had shown is retained on the broker of the next one, which mirrored it. */
async function leave(world: MasterWorld): Promise<{ before: ReadonlyMap<string, string>; mirror: SimulatedBus }> {
  const before = new Map(world.state);
  world.killMaster();
  const mirror = world.bus('mirror');
  await world.until(() => mirror.connected);
  for (const [rest, text] of before)
    void mirror.publish(`mesq/state/${rest}`, new TextEncoder().encode(text), { retain: true });
  await world.clock.advance(1_000);
  return { before, mirror };
}

test('what an earlier leader has shown and reads the same is not written again, but is if somebody clears it', async (t) => {
  const world = new MasterWorld();
  await world.start();
  await world.watchState();
  const agent = new SimulatedAgent(world, 'pi-1');
  await agent.start();
  await world.clock.advance(1_000);
  const { before, mirror } = await leave(world);
  const written: string[] = [];
  void world.bus('counting').subscribe('mesq/state/#', 0, ({ topic, retained }) => {
    if (!retained) written.push(topic.slice('mesq/state/'.length));
  });
  await world.clock.advance(1_000);
  await world.start();
  await world.clock.advance(2_000);
  t.true(written.includes('cluster'), 'it is another term');
  t.deepEqual(
    written.filter((rest) => rest.startsWith('agents/')),
    [],
  );
  void mirror.publish('mesq/state/agents/pi-1', new Uint8Array(), { retain: true });
  await world.clock.advance(20_000);
  t.deepEqual([...world.state.keys()].sort(), [...before.keys()].sort());
});

test('what changes and changes back soon after an election reads as it is', async (t) => {
  const world = new MasterWorld();
  await world.start();
  await world.watchState();
  const agent = new SimulatedAgent(world, 'pi-1');
  await agent.start();
  const framework = new ScriptedFramework(world, 'fw');
  await framework.subscribe();
  await world.clock.advance(1_000);
  const { before } = await leave(world);
  await world.start();
  await world.until(() => world.state.get('cluster') !== before.get('cluster'));
  await framework.subscribe();
  await framework.launch([task('t1', { runMs: 1_000 })]);
  await world.until(() => shown(world, 'tasks/fw/t1')?.['state'] === 'TASK_RUNNING');
  await world.until(() => shown(world, 'agents/pi-1/load')?.['tasks'] === 1);
  await world.clock.advance(30_000);
  t.like(shown(world, 'tasks/fw/t1'), { state: 'TASK_FINISHED' });
  t.like(shown(world, 'agents/pi-1/load'), { tasks: 0, cpus: 0 });
  t.like(shown(world, 'frameworks/fw/load'), { tasks: 0, cpus: 0 });
  t.like(shown(world, 'frameworks/fw'), { state: 'active' });
});

test('every topic is small, plots small numbers, has no dots in its keys and its time last', async (t) => {
  const world = new MasterWorld();
  await world.start();
  await world.watchState();
  const long = 'x'.repeat(64);
  const attributes = Array.from({ length: 100 }, (_, at) => ({
    name: `a.${at}.${long.slice(0, 50)}`,
    text: 'y'.repeat(256),
  }));
  const huge = Array.from({ length: 40 }, (_, at) => ({
    name: `r${at}`,
    ranges: Array.from({ length: 10 }, (__, n) => [n * 10, n * 10 + 5] as [number, number]),
  }));
  await new ScriptedAgent(world, long).say(
    greeting(long, {
      agent: long,
      attributes,
      resources: [...resourcesOf('cpus:4000000;mem:99999999.999;disk:99999999.999'), ...huge],
    }),
  );
  const framework = new ScriptedFramework(world, 'fw');
  await framework.subscribe();
  const needs = resourcesOf('cpus:3999999.999;mem:99999999.999;disk:99999999.999');
  await framework.launch([task('t', {}, { resources: needs })]);
  await framework.call({
    type: 'SHOW',
    things: [
      { kind: 'jobs', id: 'small', view: { state: 'ä'.repeat(100) } },
      { kind: 'jobs', id: 'big', view: { state: 'ä'.repeat(15_000) } },
    ],
  });
  t.true(world.state.has('jobs/fw/small'), 'a framework shows under its own name');
  const running = { pending: 1, running: 2 };
  await framework.call({
    type: 'SHOW',
    things: [{ kind: 'jobs', id: 'plotted', view: { state: 'running' }, progress: running }],
  });
  t.deepEqual(shown(world, 'jobs/fw/plotted/progress'), running);
  await framework.call({ type: 'SHOW', things: [{ kind: 'jobs', id: 'plotted', view: null }] });
  t.deepEqual(
    [...world.state.keys()].filter((rest) => rest.startsWith('jobs/fw/plotted')),
    [],
  );
  t.deepEqual(Object.keys(shown(world, 'jobs/fw/big') ?? {}), ['omitted']);
  t.true(world.state.has(`agents/${long}`));
  for (const [rest, text] of world.state) {
    t.true(new TextEncoder().encode(text).length < LIMITS.stateBytes, rest);
    if (rest.endsWith('/load')) t.true(text.length < LIMITS.plottedBytes, `${rest} ${text}`);
    const keys = Object.keys(JSON.parse(text) as object);
    t.false(
      keys.some((key) => /[./]/.test(key)),
      rest,
    );
    const times = keys.findIndex((key) => ['registered', 'created', 'started', 'finished'].includes(key));
    if (times >= 0)
      t.true(
        keys.slice(times).every((key) => ['registered', 'created', 'started', 'finished'].includes(key)),
        rest,
      );
  }
});

test('a later attempt is not hidden by the end of an earlier one', async (t) => {
  const world = new MasterWorld();
  await world.start();
  await world.watchState();
  await new SimulatedAgent(world, 'pi-1').start();
  const framework = new ScriptedFramework(world, 'fw');
  await framework.subscribe();
  await framework.launch([task('t', { code: 3 })]);
  t.like(shown(world, 'tasks/fw/t'), { state: 'TASK_FAILED', attempt: 0 });
  await framework.launch([task('t', { stays: true }, { attempt: 1 })]);
  await framework.acknowledgeAll();
  t.like(shown(world, 'tasks/fw/t'), { state: 'TASK_RUNNING', attempt: 1 });
});

test('events say what happened, under their kind', async (t) => {
  const world = new MasterWorld();
  await world.start();
  const heard: string[] = [];
  void world.bus('viewer').subscribe('mesq/events/#', 0, ({ topic, payload, retained }) => {
    const event = JSON.parse(new TextDecoder().decode(payload)) as Record<string, unknown>;
    t.false(retained);
    t.is(Object.keys(event).at(-1), 'at');
    heard.push(topic);
  });
  await world.clock.advance(100);
  await new SimulatedAgent(world, 'pi-1').start();
  const framework = new ScriptedFramework(world, 'fw');
  await framework.subscribe();
  await framework.launch([task('t')]);
  for (const topic of ['agent-registered/pi-1', 'framework-subscribed/fw', 'task-ended/t'])
    t.true(heard.includes(`mesq/events/${topic}`), topic);
});
