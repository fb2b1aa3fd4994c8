import test from 'ava';
import fc from 'fast-check';
import type { Outgoing } from '../../protocol/envelope.ts';
import { add, contains, equals, toUnreserved } from '../../protocol/resource-arithmetic.ts';
import { formatResources, type Resources } from '../../protocol/resources.ts';
import type { CALLS } from '../../protocol/scheduler.ts';
import { resourcesOf } from '../resources-of.ts';
import { MasterWorld, ScriptedClient, ScriptedFramework, SimulatedAgent, task } from './world.ts';

async function cluster(resources = 'cpus:4;mem:1024;disk:1000', ...agents: string[]) {
  const world = new MasterWorld();
  await world.start();
  const started = (agents.length > 0 ? agents : ['a']).map((name) => new SimulatedAgent(world, name));
  for (const agent of started) {
    agent.resources = resources;
    await agent.start();
  }
  const framework = new ScriptedFramework(world, 'fw');
  await framework.subscribe();
  return { world, agents: started, framework, operator: new ScriptedClient(world, 'op') };
}

function told(framework: ScriptedFramework): [string, string][] {
  return framework
    .of('UPDATE_OPERATION_STATUS')
    .flatMap(({ updates }) => updates.map(({ operation, state }): [string, string] => [operation, state]));
}

/** What it is offered, taken together. */
function offered(framework: ScriptedFramework): string {
  const open = framework.offers();
  const offers = framework.of('OFFERS').flatMap((event) => event.offers.filter(({ offer }) => open.includes(offer)));
  return formatResources(offers.reduce<Resources>((sum, { resources }) => add(sum, resources), []));
}

/** Until what was declined comes back. */
const REFUSED_MS = 6_000;

test('reserve, make a volume and launch on it in one ACCEPT; the volume outlives its task', async (t) => {
  const { world, agents, framework } = await cluster();
  const [agent] = agents;
  const data = { task: 'writer', resources: resourcesOf('cpus(ann):1;mem:32;disk(ann)[data]:100') };
  await framework.call({
    type: 'ACCEPT',
    offers: framework.offers(),
    operations: [
      { type: 'RESERVE', id: 'r1', resources: resourcesOf('cpus(ann):1;disk(ann):200') },
      { type: 'CREATE', id: 'c1', resources: resourcesOf('disk(ann)[data]:100') },
      { type: 'LAUNCH', tasks: [{ ...task('writer', { runMs: 1_000 }), ...data }] },
    ],
    refuseMs: 0,
  });
  t.deepEqual(told(framework).slice(0, 2), [
    ['r1', 'OPERATION_FINISHED'],
    ['c1', 'OPERATION_FINISHED'],
  ]);
  const [made] = [...(agent?.made.values() ?? [])];
  t.is(made?.environment['MESQ_VOLUME_DATA'], '/data/volumes/ann/-data');
  t.deepEqual([...(agent?.volumes.folders.keys() ?? [])], ['ann/-data']);
  t.is(offered(framework), 'cpus:3;mem:992;disk:800;disk(ann):100', 'what is left of it is offered as it is now');
  await world.clock.advance(REFUSED_MS);
  t.is(framework.states('writer').at(-1), 'TASK_FINISHED');
  t.true(offered(framework).includes('disk(ann)[data]:100'));
  t.deepEqual([...(agent?.volumes.folders.keys() ?? [])], ['ann/-data']);
});

test('an operation that may not be spoils only itself, and says why', async (t) => {
  const { framework } = await cluster();
  await framework.call({
    type: 'ACCEPT',
    offers: framework.offers(),
    operations: [
      { type: 'RESERVE', id: 'foreign', resources: resourcesOf('cpus(bob):1') },
      { type: 'RESERVE', id: 'much', resources: resourcesOf('cpus(ann):9') },
      { type: 'UNRESERVE', id: 'none', resources: resourcesOf('cpus(ann):1') },
      { type: 'CREATE', id: 'plain', resources: resourcesOf('disk(ann)[data]:1') },
      { type: 'DESTROY', id: 'unknown', resources: resourcesOf('disk(ann)[data]:1') },
      { type: 'RESERVE', id: 'good', resources: resourcesOf('cpus(ann):1') },
      { type: 'LAUNCH', tasks: [task('t1')] },
    ],
  });
  const updates = framework.of('UPDATE_OPERATION_STATUS').flatMap((event) => event.updates);
  const of = (id: string) => updates.find(({ operation }) => operation === id);
  for (const id of ['foreign', 'much', 'none', 'plain', 'unknown']) {
    t.is(of(id)?.state, 'OPERATION_ERROR', id);
    t.is(of(id)?.acknowledge, false);
    t.true(of(id)?.message?.startsWith('resources: '), of(id)?.message);
  }
  t.is(of('good')?.state, 'OPERATION_FINISHED');
  t.true(framework.states('t1').includes('TASK_RUNNING'));
});

test('what cannot be read is answered by its id', async (t) => {
  const { framework } = await cluster();
  await framework.call({
    type: 'ACCEPT',
    offers: framework.offers(),
    operations: [
      { type: 'CREATE', id: 'bad', resources: 'cpus(ann)[x]:1' },
      { type: 'RESERVE', id: 'good', resources: resourcesOf('cpus(ann):1') },
    ],
  } as never);
  t.deepEqual(told(framework), [
    ['bad', 'OPERATION_ERROR'],
    ['good', 'OPERATION_FINISHED'],
  ]);
});

test('an end is told again until it is acknowledged, and an operation is done once however often it is asked', async (t) => {
  const { world, framework } = await cluster();
  const reserve = { type: 'RESERVE' as const, id: 'r1', resources: resourcesOf('cpus(ann):1') };
  await framework.call({ type: 'ACCEPT', offers: framework.offers(), operations: [reserve], refuseMs: 0 });
  await framework.call({ type: 'ACCEPT', offers: framework.offers(), operations: [reserve], refuseMs: 0 });
  t.is(offered(framework), 'cpus:3;mem:1024;disk:1000;cpus(ann):1');
  await world.clock.advance(30_000);
  t.true(told(framework).length > 2);
  const [{ uuid } = { uuid: '' }] = framework.of('UPDATE_OPERATION_STATUS').flatMap((event) => event.updates);
  await framework.call({ type: 'ACKNOWLEDGE_OPERATION_STATUS', updates: [{ operation: 'r1', uuid }] });
  const before = told(framework).length;
  await world.clock.advance(60_000);
  t.is(told(framework).length, before);
  await framework.call({ type: 'RECONCILE_OPERATIONS', operations: [{ operation: 'r1' }] });
  t.deepEqual(told(framework).at(-1), ['r1', 'OPERATION_UNKNOWN'], 'acknowledged is forgotten');
});

test('operations on an offer that is gone are dropped', async (t) => {
  const { framework } = await cluster();
  const operations = [{ type: 'RESERVE' as const, id: 'r1', resources: resourcesOf('cpus(ann):1') }];
  await framework.call({ type: 'ACCEPT', offers: ['o1-1-x'], operations });
  t.deepEqual(told(framework), [['r1', 'OPERATION_DROPPED']]);
});

test('a refinement goes back to the role it was taken from, and what an agent was started with stays reserved', async (t) => {
  const { framework } = await cluster('cpus(eng):2;mem:1024');
  await framework.call({ type: 'UPDATE_FRAMEWORK', roles: ['eng/ml'] }, 2_000);
  await framework.call({
    type: 'ACCEPT',
    offers: framework.offers(),
    operations: [
      { type: 'RESERVE', id: 'r1', resources: resourcesOf('cpus(eng/ml):1'), from: 'eng' },
      { type: 'RESERVE', id: 'r2', resources: resourcesOf('cpus(eng/ml):1'), from: 'ops' },
      { type: 'UNRESERVE', id: 'static', resources: resourcesOf('cpus(eng):1') },
    ],
    refuseMs: 0,
  });
  t.deepEqual(Object.fromEntries(told(framework)), {
    r1: 'OPERATION_FINISHED',
    r2: 'OPERATION_ERROR',
    static: 'OPERATION_ERROR',
  });
  t.is(offered(framework), 'cpus(eng):1;mem:1024;cpus(eng/ml):1');
  await framework.call({
    type: 'ACCEPT',
    offers: framework.offers(),
    operations: [{ type: 'UNRESERVE', id: 'u1', resources: resourcesOf('cpus(eng/ml):1') }],
    refuseMs: 0,
  });
  t.is(offered(framework), 'cpus(eng):2;mem:1024');
});

test('nobody gives back what another framework reserved; an operator may, and destroys its volumes with it', async (t) => {
  const { world, agents, framework, operator } = await cluster();
  await framework.call({
    type: 'ACCEPT',
    offers: framework.offers(),
    operations: [
      { type: 'RESERVE', resources: resourcesOf('disk(ann):100') },
      { type: 'CREATE', resources: resourcesOf('disk(ann)[data]:100') },
      { type: 'LAUNCH', tasks: [{ ...task('t1'), resources: resourcesOf('cpus:1;disk(ann)[data]:100') }] },
    ],
  });
  await world.clock.advance(REFUSED_MS);
  await framework.call({ type: 'SUPPRESS', roles: [] });
  await framework.call({ type: 'DECLINE', offers: framework.offers() });
  const other = new ScriptedFramework(world, 'other');
  await other.subscribe();
  await world.clock.advance(REFUSED_MS);
  await other.call({
    type: 'ACCEPT',
    offers: other.offers(),
    operations: [{ type: 'DESTROY', id: 'd1', resources: resourcesOf('disk(ann)[data]:100') }],
  });
  t.deepEqual(told(other), [['d1', 'OPERATION_ERROR']]);
  t.deepEqual([...(agents[0]?.volumes.folders.keys() ?? [])], ['ann/-data']);
  const answer = await operator.ask('q1', 'unreserve', { agent: 'a', resources: 'disk(ann)[data]:100' });
  t.is(answer?.fault, undefined);
  await world.clock.advance(REFUSED_MS);
  t.deepEqual([...(agents[0]?.volumes.folders.keys() ?? [])], []);
  const view = await operator.ask('q2', 'agents');
  t.true(JSON.stringify(view?.body).includes('disk:1000'), JSON.stringify(view?.body));
});

async function withVolume() {
  const all = await cluster();
  await all.framework.call({
    type: 'ACCEPT',
    offers: all.framework.offers(),
    operations: [
      { type: 'RESERVE', resources: resourcesOf('disk(ann):200') },
      { type: 'CREATE', resources: resourcesOf('disk(ann)[data]:100') },
      { type: 'LAUNCH', tasks: [{ ...task('t1'), resources: resourcesOf('cpus:1;disk(ann)[data]:100') }] },
    ],
    refuseMs: 0,
  });
  await all.world.clock.advance(REFUSED_MS);
  return all;
}

const DESTROY = { type: 'DESTROY' as const, id: 'd1', resources: resourcesOf('disk(ann)[data]:100') };
const CREATE = { type: 'CREATE' as const, id: 'c2', resources: resourcesOf('disk(ann)[data]:50') };

test('a volume is destroyed when its agent has removed it, and its name is free again then', async (t) => {
  const { agents, framework, world } = await withVolume();
  agents[0]?.unplug();
  await framework.call({ type: 'ACCEPT', offers: framework.offers(), operations: [DESTROY], refuseMs: 0 });
  await framework.call({ type: 'RECONCILE_OPERATIONS', operations: [] });
  t.deepEqual(told(framework).at(-1), ['d1', 'OPERATION_PENDING']);
  await framework.call({ type: 'ACCEPT', offers: framework.offers(), operations: [CREATE], refuseMs: 0 });
  t.deepEqual(told(framework).at(-1), ['c2', 'OPERATION_ERROR'], 'what was in it is still there');
  world.network.heal();
  await world.until(() => told(framework).some(([, state]) => state === 'OPERATION_FINISHED'));
  t.deepEqual([...(agents[0]?.volumes.folders.keys() ?? [])], []);
  t.deepEqual(told(framework).at(-1), ['d1', 'OPERATION_FINISHED']);
  await framework.call({ type: 'REVIVE' });
  await framework.call({ type: 'ACCEPT', offers: framework.offers(), operations: [CREATE], refuseMs: 0 });
  t.deepEqual(
    told(framework).findLast(([id]) => id === 'c2'),
    ['c2', 'OPERATION_FINISHED'],
  );
});

test('a volume that its agent cannot remove fails its operation, and goes with the next registration', async (t) => {
  const { agents, framework, world } = await withVolume();
  const [agent] = agents;
  agent?.volumes.broken.add('ann/-data');
  await framework.call({ type: 'ACCEPT', offers: framework.offers(), operations: [DESTROY] });
  await world.clock.advance(5_000);
  t.deepEqual(told(framework)[0], ['d1', 'OPERATION_FAILED']);
  agent?.volumes.broken.clear();
  agent?.kill();
  await agent?.start();
  await world.clock.advance(10_000);
  t.deepEqual([...(agent?.volumes.folders.keys() ?? [])], []);
});

test('a volume grows and shrinks', async (t) => {
  const { framework } = await withVolume();
  const data = (size: number) => resourcesOf(`disk(ann)[data]:${size}`);
  await framework.call({
    type: 'ACCEPT',
    offers: framework.offers(),
    operations: [
      { type: 'GROW_VOLUME', id: 'g1', resources: data(100), by: 50_000 },
      { type: 'SHRINK_VOLUME', id: 's1', resources: data(150), by: 100_000 },
      { type: 'SHRINK_VOLUME', id: 's2', resources: data(50), by: 50_000 },
    ],
    refuseMs: 0,
  });
  t.deepEqual(Object.fromEntries(told(framework)), {
    g1: 'OPERATION_FINISHED',
    s1: 'OPERATION_FINISHED',
    s2: 'OPERATION_ERROR',
  });
  t.true(offered(framework).includes('disk(ann)[data]:50'), offered(framework));
  t.true(offered(framework).includes('disk(ann):150'), offered(framework));
});

test('reservations, volumes and operations outlive the master', async (t) => {
  const { world, framework } = await cluster();
  await framework.call({
    type: 'ACCEPT',
    offers: framework.offers(),
    operations: [
      { type: 'RESERVE', id: 'r1', resources: resourcesOf('cpus(ann):1;disk(ann):200') },
      { type: 'CREATE', id: 'c1', resources: resourcesOf('disk(ann)[data]:100') },
    ],
  });
  world.killMaster();
  await world.start();
  await framework.subscribe();
  await world.clock.advance(10_000);
  t.deepEqual(
    [
      ...new Set(
        told(framework)
          .slice(-2)
          .map(([id]) => id),
      ),
    ].sort(),
    ['c1', 'r1'],
    'they are told again',
  );
  t.is(offered(framework), 'cpus:3;mem:1024;disk:800;cpus(ann):1;disk(ann):100;disk(ann)[data]:100');
});

test('an operation whose agent begins a new session before its commit is dropped, and nothing is left of it', async (t) => {
  const { world, agents, framework } = await cluster();
  const [agent] = agents;
  agent?.reboot();
  await framework.call({
    type: 'ACCEPT',
    offers: framework.offers(),
    operations: [{ type: 'RESERVE', id: 'r1', resources: resourcesOf('cpus(ann):1') }],
  });
  await agent?.start();
  await world.clock.advance(10_000);
  t.true(['r1,OPERATION_DROPPED', 'r1,OPERATION_FINISHED'].includes(String(told(framework)[0])));
  const reserved = told(framework)[0]?.[1] === 'OPERATION_FINISHED';
  t.is(offered(framework), reserved ? 'cpus:3;mem:1024;disk:1000;cpus(ann):1' : 'cpus:4;mem:1024;disk:1000');
});

test('the tenants of a drained agent are asked by an inverse offer, and the operator sees their answers', async (t) => {
  const { world, framework, operator } = await cluster();
  await framework.launch([task('t1', { runMs: 60_000 })]);
  const idle = new ScriptedFramework(world, 'idle');
  await idle.subscribe();
  await operator.ask('q1', 'drain', { agent: 'a', deadlineMs: 300_000 });
  const [asked] = framework.of('INVERSE_OFFERS').flatMap((event) => event.offers);
  t.is(asked?.name, 'a');
  const startMs = asked?.unavailability.startMs ?? 0;
  t.true(startMs <= world.clock.wall() + 300_000 && startMs > world.clock.wall() + 299_000);
  t.is(idle.of('INVERSE_OFFERS').length, 0, 'who has nothing there has nothing to say');
  await idle.call({ type: 'DECLINE_INVERSE_OFFERS', offers: [asked?.offer ?? ''] });
  await framework.call({ type: 'ACCEPT_INVERSE_OFFERS', offers: [asked?.offer ?? ''] });
  const view = await operator.ask('q2', 'agents');
  t.true(JSON.stringify(view?.body).includes('"accepted":["fw"]'), JSON.stringify(view?.body));
  await framework.subscribe();
  const again = framework.of('INVERSE_OFFERS').flatMap((event) => event.offers);
  t.is(again.length, 2, 'a new session is asked anew');
  await operator.ask('q3', 'resume', { agent: 'a' });
  t.deepEqual(framework.of('RESCIND_INVERSE_OFFERS').at(-1)?.offers, [again[1]?.offer]);
});

test('an inverse offer ends with the last task there', async (t) => {
  const { world, framework, operator } = await cluster();
  await framework.launch([task('t1', { runMs: 5_000 })]);
  await operator.ask('q1', 'drain', { agent: 'a', deadlineMs: 300_000 });
  await world.clock.advance(10_000);
  t.is(framework.states('t1').at(-1), 'TASK_FINISHED');
  t.is(framework.of('RESCIND_INVERSE_OFFERS').length, 1);
});

test('a maintenance window is known before it begins, then drains, and ends by itself', async (t) => {
  const { world, framework, operator } = await cluster('cpus:4;mem:1024;disk:1000', 'a', 'b');
  await framework.launch([task('t1', { stays: true })], framework.offers().slice(0, 1));
  const cautious = new ScriptedFramework(world, 'cautious');
  await operator.ask('q1', 'drain', { agent: 'a', inMs: 3_600_000, forMs: 600_000, deadlineMs: 60_000 });
  const beginMs = world.clock.wall() + 3_600_000;
  const wished = framework.of('OFFERS').flatMap((event) => event.offers);
  const shown = wished.findLast(({ name }) => name === 'a')?.unavailability;
  t.is(shown?.durationMs, 600_000);
  t.true(Math.abs((shown?.startMs ?? 0) - beginMs) < 1_000);
  t.is(wished.findLast(({ name }) => name === 'b')?.unavailability, undefined);
  await framework.call({ type: 'DECLINE', offers: framework.offers(), refuseMs: 7_200_000 });
  await cautious.call({ type: 'SUBSCRIBE', roles: ['bob'], wishes: [{ role: 'bob', availableMs: 7_200_000 }] });
  await world.clock.advance(10_000);
  const names = new Set(cautious.of('OFFERS').flatMap((event) => event.offers.map(({ name }) => name)));
  t.deepEqual([...names], ['b'], 'who needs an agent for two hours is not shown one that has but one');
  const [asked] = framework.of('INVERSE_OFFERS').flatMap((event) => event.offers);
  t.deepEqual(asked?.unavailability, shown);
  await world.clock.advance(3_600_000);
  const state = async (): Promise<string> =>
    /"name":"a","state":"(\w+)"/.exec(
      JSON.stringify((await operator.ask(world.random.next().toString(36).slice(2), 'agents'))?.body),
    )?.[1] ?? '';
  t.is(await state(), 'draining');
  t.not(framework.states('t1').at(-1), 'TASK_KILLED', 'it has its grace');
  await world.clock.advance(70_000);
  t.is(framework.states('t1').at(-1), 'TASK_KILLED');
  t.is(await state(), 'drained');
  await world.clock.advance(600_000);
  t.is(await state(), 'active');
});

test('a window outlives the master, and is off once the agent is resumed', async (t) => {
  const { world, operator, framework } = await cluster();
  await operator.ask('q1', 'drain', { agent: 'a', inMs: 600_000 });
  world.killMaster();
  await world.start();
  await framework.subscribe();
  await world.clock.advance(5_000);
  const offers = () => framework.of('OFFERS').flatMap((event) => event.offers);
  t.true(offers().at(-1)?.unavailability !== undefined);
  await operator.ask('q2', 'resume', { agent: 'a' });
  await world.clock.advance(1_000_000);
  t.is(offers().at(-1)?.unavailability, undefined);
  const view = await operator.ask('q3', 'agents');
  t.false(/"state":"drain|"window"/.test(JSON.stringify(view?.body)));
});

test('a window that is scheduled again at the moment of one that was called off begins all the same', async (t) => {
  const { world, operator } = await cluster();
  const now = world.clock.wall();
  world.clock.wall = () => now;
  for (const round of ['1', '2']) {
    await operator.ask(`drain${round}`, 'drain', { agent: 'a', inMs: 0, forMs: 600_000 });
    await world.clock.advance(1_000);
    const begun = await operator.ask(`begun${round}`, 'agents');
    t.regex(JSON.stringify(begun?.body), /"name":"a","state":"drained"/, round);
    await operator.ask(`resume${round}`, 'resume', { agent: 'a' });
  }
});

test("what an agent is cut into has a limit, and what is no operator's to make is refused in words", async (t) => {
  const { framework, operator } = await cluster('cpus:4;mem:1024;disk:1000');
  const roles = Array.from({ length: 110 }, (_, at) => `r${at}`);
  for (const [at, role] of roles.entries())
    await operator.ask(`s${at}`, 'reserve', { agent: 'a', resources: `cpus(${role}):0.01` });
  const last = await operator.ask('last', 'reserve', { agent: 'a', resources: 'cpus(more):0.01' });
  t.is(last?.fault?.code, 'LIMIT', last?.fault?.message);
  await framework.call({ type: 'REVIVE' });
  t.true(framework.offers().length > 0, 'it is still offered');
  const volume = await operator.ask('v', 'reserve', { agent: 'a', resources: 'disk(db)[data]:10' });
  t.regex(volume?.fault?.message ?? '', /frameworks make volumes/);
});

const happenings = fc.array(
  fc.constantFrom(
    ...(['reserve', 'create', 'launch', 'destroy', 'unreserve', 'grow', 'shrink', 'reserve', 'create'] as const),
    ...(['cut', 'unplug', 'heal', 'restart', 'master', 'wait', 'drain', 'resume'] as const),
  ),
  { maxLength: 30 },
);
type AcceptOperation = Extract<Outgoing<typeof CALLS>, { type: 'ACCEPT' }>['operations'][number];
type Happening = typeof happenings extends fc.Arbitrary<readonly (infer One)[]> ? One : never;

/** The operation that this happening stands for, on what is offered; undefined where there is nothing to do it with. */
function operationOf(happening: Happening, open: Resources, minted: number): AcceptOperation | undefined {
  const [volume] = open.filter((one) => one.volume !== undefined);
  const disk = open.find(({ name, role, volume }) => name === 'disk' && role === 'ann' && volume === undefined);
  const small = resourcesOf('cpus(ann):0.5;disk(ann):100');
  switch (happening) {
    case 'reserve':
      return { type: 'RESERVE', id: `o${minted}`, resources: small };
    case 'unreserve':
      return { type: 'UNRESERVE', id: `o${minted}`, resources: small };
    case 'create':
      return disk && { type: 'CREATE', id: `o${minted}`, resources: resourcesOf(`disk(ann)[v${minted % 3}]:50`) };
    case 'destroy':
      return volume && { type: 'DESTROY', id: `o${minted}`, resources: [volume] };
    case 'grow':
      return volume && { type: 'GROW_VOLUME', id: `o${minted}`, resources: [volume], by: 10_000 };
    case 'shrink':
      return volume && { type: 'SHRINK_VOLUME', id: `o${minted}`, resources: [volume], by: 10_000 };
    default:
      return undefined;
  }
}

test('whatever happens to operations, an agent has what it reports, cut in ways that add up, and all can be given back', async (t) => {
  let done = 0;
  await fc.assert(
    fc.asyncProperty(happenings, fc.integer({ min: 1, max: 1_000 }), async (list, seed) => {
      const world = new MasterWorld({ seed, duplicates: 0.2 });
      await world.start();
      const agent = new SimulatedAgent(world, 'a');
      agent.resources = 'cpus:4;mem:1024;disk:1000';
      await agent.start();
      const framework = new ScriptedFramework(world, 'fw');
      await framework.subscribe();
      const operator = new ScriptedClient(world, 'op');
      let minted = 0;
      let asked = 0;
      const look = async (): Promise<Resources> => {
        const view = (await operator.ask(`look${++asked}`, 'agents'))?.body as
          | { agents: { resources: Record<'total' | 'allocated' | 'offered', string> }[] }
          | undefined;
        const { total, allocated, offered } = view?.agents[0]?.resources ?? { total: '', allocated: '', offered: '' };
        const held = resourcesOf([allocated, offered].filter((text) => text !== '').join(';'));
        if (!contains(resourcesOf(total), held)) throw new Error(`${total} has not ${allocated} and ${offered}`);
        const plain = toUnreserved(resourcesOf(total)).reduce<Resources>(
          (sum, { volume: _, ...rest }) => add(sum, [rest as Resources[number]]),
          [],
        );
        if (!equals(plain, resourcesOf(agent.resources))) throw new Error(`${total} is not ${agent.resources}`);
        return resourcesOf(total);
      };
      for (const happening of list) {
        const open = framework.offers();
        const offers = framework
          .of('OFFERS')
          .flatMap((event) => event.offers.filter(({ offer }) => open.includes(offer)));
        const available = offers.reduce<Resources>((sum, { resources }) => add(sum, resources), []);
        const operation = operationOf(happening, available, ++minted);
        if (operation !== undefined && open.length > 0) await framework.operate(operation);
        const volume = available.find((one) => one.volume !== undefined);
        if (happening === 'launch' && volume !== undefined)
          await framework.operate({
            type: 'LAUNCH',
            tasks: [task(`t${minted}`, { runMs: 20_000 }, { resources: [...resourcesOf('cpus:0.1'), volume] })],
          });
        if (happening === 'cut') agent.cut();
        if (happening === 'unplug') agent.unplug();
        if (happening === 'heal') world.network.heal();
        if (happening === 'wait') await world.clock.advance(40_000);
        if (happening === 'drain')
          await operator.ask(`drain${minted}`, 'drain', { agent: 'a', inMs: 20_000, forMs: 30_000 });
        if (happening === 'resume') await operator.ask(`resume${minted}`, 'resume', { agent: 'a' });
        if (happening === 'restart') {
          world.network.heal();
          agent.kill();
          await world.clock.advance(10);
          await agent.start();
        }
        if (happening === 'master') {
          world.killMaster();
          await world.start();
          await world.clock.advance(40_000);
          await framework.subscribe();
        }
        if (framework.offers().length === 0) await framework.call({ type: 'REVIVE' });
        await look();
      }
      world.network.heal();
      await operator.ask('resume', 'resume', { agent: 'a' });
      await world.clock.advance(1_000_000);
      done += told(framework).filter(([, state]) => state === 'OPERATION_FINISHED').length;
      const reserved = (await look()).filter(({ role }) => role !== undefined);
      if (reserved.length > 0) {
        const answer = await operator.ask('back', 'unreserve', { agent: 'a', resources: reserved });
        if (answer?.fault !== undefined) throw new Error(answer.fault.message);
      }
      await world.clock.advance(120_000);
      if (!equals(await look(), resourcesOf(agent.resources))) throw new Error('something stays reserved');
      if (agent.volumes.folders.size > 0) throw new Error('something stays on the disk');
    }),
    { numRuns: 25 },
  );
  t.true(done > 25, `${done} operations were done`);
});

test('a limit bounds what a role can put aside', async (t) => {
  const { framework, operator, world } = await cluster();
  await operator.ask('q1', 'quota-set', { role: 'ann', guarantees: '', limits: 'cpus:1' });
  await world.clock.advance(2_000);
  await framework.operate({ type: 'RESERVE', id: 'r1', resources: resourcesOf('cpus(ann):2') });
  t.deepEqual(told(framework).at(-1), ['r1', 'OPERATION_ERROR'], 'it was offered but one');
  await world.clock.advance(2_000);
  await framework.operate({ type: 'RESERVE', id: 'r2', resources: resourcesOf('cpus(ann):1') });
  t.deepEqual(told(framework).at(-1), ['r2', 'OPERATION_FINISHED']);
  await world.clock.advance(10_000);
  t.is(offered(framework).includes('cpus:'), false, 'what is reserved is all that it may have');
  t.true(offered(framework).includes('cpus(ann):1'), offered(framework));
});
