import test from 'ava';
import fc from 'fast-check';
import { apply } from '../../master/registry/apply.ts';
import type { Command } from '../../master/registry/commands.ts';
import { emptyRegistry } from '../../master/registry/registry.ts';
import { registryOf, snapshotSlices } from '../../master/registry/snapshot.ts';
import { withHoldings } from '../../protocol/holdings.ts';
import { quantitiesOf } from '../../protocol/quantities.ts';
import { contains, toUnreserved } from '../../protocol/resource-arithmetic.ts';
import { resourcesOf } from '../resources-of.ts';
import { MasterWorld, ScriptedClient, ScriptedFramework, SimulatedAgent, task } from './world.ts';

async function cluster(...agents: string[]) {
  const world = new MasterWorld();
  await world.start();
  const started = agents.map((name) => new SimulatedAgent(world, name));
  for (const agent of started) await agent.start();
  const framework = new ScriptedFramework(world, 'fw');
  await framework.subscribe();
  return { world, agents: started, framework, operator: new ScriptedClient(world, 'op') };
}

async function agentsOf(operator: ScriptedClient, request: string) {
  const { body } = (await operator.ask(request, 'agents')) ?? {};
  return (body as { agents: { name: string; state: string; resources: { total: string } }[] }).agents;
}

test('a drained agent gets nothing, ends what it has at the deadline, and says why; resumed, it is as before', async (t) => {
  const { world, framework, operator } = await cluster('pi');
  await framework.launch([task('t', { stays: true })]);
  t.is((await operator.ask('r1', 'drain', { agent: 'pi', deadlineMs: 60_000 }))?.fault, undefined);
  t.is((await agentsOf(operator, 'r2'))[0]?.state, 'draining');
  await framework.acknowledgeAll();
  await world.clock.advance(50_000);
  t.is(framework.states('t').at(-1), 'TASK_RUNNING');
  t.deepEqual(framework.offers(), []);
  await world.clock.advance(20_000);
  const end = framework
    .of('UPDATE')
    .flatMap(({ updates }) => updates)
    .findLast((update) => update.task === 't');
  t.like(end, { state: 'TASK_KILLED', reason: 'AGENT_DRAINING' });
  t.is((await agentsOf(operator, 'r3'))[0]?.state, 'drained');
  t.deepEqual(framework.offers(), []);
  t.is((await operator.ask('r4', 'resume', { agent: 'pi' }))?.fault, undefined);
  t.is((await agentsOf(operator, 'r5'))[0]?.state, 'active');
  await world.clock.advance(2_000);
  t.is(framework.offers().length, 1);
  t.like(await operator.ask('r6', 'drain', { agent: 'nobody' }), { fault: { code: 'NOT_FOUND' } });
});

test('a drain tells TASK_KILLING to whoever wants to hear it', async (t) => {
  const { world, framework, operator } = await cluster('pi');
  await framework.call({ type: 'UPDATE_FRAMEWORK', roles: ['ann'], capabilities: ['TASK_KILLING_STATE'] });
  await framework.launch([task('t', { stays: true, ignoresTerm: true })], framework.offers());
  await operator.ask('r1', 'drain', { agent: 'pi' });
  await world.clock.advance(10_000);
  t.deepEqual(framework.states('t').slice(-2), ['TASK_KILLING', 'TASK_KILLED']);
});

test('a drain, a quota, a weight and a reservation outlive the leader', async (t) => {
  const { world, framework, operator } = await cluster('pi');
  await framework.launch([task('t', { stays: true })]);
  await operator.ask('r1', 'drain', { agent: 'pi', deadlineMs: 600_000 });
  await operator.ask('r2', 'weight-set', { role: 'ann', weight: 3 });
  await operator.ask('r3', 'quota-set', { role: 'ann', guarantees: 'cpus:1', limits: 'cpus:2' });
  await operator.ask('r4', 'reserve', { agent: 'pi', resources: 'cpus(ann):1' });
  world.killMaster();
  await world.start();
  await framework.subscribe();
  await world.clock.advance(5_000);
  const [pi] = await agentsOf(operator, 'r5');
  t.like(pi, { state: 'draining', resources: { total: 'cpus:3;mem:1024;cpus(ann):1' } });
  const { body } = (await operator.ask('r6', 'roles')) ?? {};
  const { roles } = body as { roles: { role: string }[] };
  t.like(
    roles.find(({ role }) => role === 'ann'),
    { weight: 3, quota: { guarantees: 'cpus:1', limits: 'cpus:2', used: 'cpus:2;mem:32' } },
  );
  await world.clock.advance(700_000);
  t.is(framework.states('t').at(-1), 'TASK_KILLED', 'the deadline stands');
});

test('a request is done once, whatever its repetitions, and refused in words', async (t) => {
  const { framework, operator } = await cluster('pi');
  const twice = [
    await operator.ask('r1', 'reserve', { agent: 'pi', resources: 'cpus(x):1' }),
    await operator.ask('r1', 'reserve', { agent: 'pi', resources: 'cpus(x):1' }),
  ];
  for (const reply of twice) t.is(reply?.fault, undefined);
  t.is((await agentsOf(operator, 'r2'))[0]?.resources.total, 'cpus:3;mem:1024;cpus(x):1');
  await framework.launch([task('t', { stays: true })]);
  const refused = async (request: string, op: string, body: object): Promise<unknown> =>
    (await operator.ask(request, op, body))?.fault;
  t.like(await refused('r3', 'reserve', { agent: 'pi', resources: 'cpus(x):3' }), { code: 'OVER_OFFER' });
  t.like(await refused('r4', 'reserve', { agent: 'pi', resources: 'cpus:1' }), { code: 'BAD_SHAPE' });
  t.like(await refused('r5', 'unreserve', { agent: 'pi', resources: 'cpus(y):1' }), { code: 'NOT_FOUND' });
  t.like(await refused('r6', 'quota-set', { role: 'a/b', limits: 'cpus:1' }), { code: 'BAD_SHAPE' });
  t.like(await refused('r7', 'quota-set', { role: 'a', guarantees: 'cpus:2', limits: 'cpus:1' }), {
    code: 'BAD_SHAPE',
  });
  t.like(await refused('r8', 'quota-set', { role: 'ann', limits: 'cpus:0' }), { code: 'BAD_SHAPE' });
  t.is(await refused('r9', 'quota-set', { role: 'ann', limits: 'cpus:0', force: true }), undefined);
  const guarantee = (request: string, role: string, guarantees: string, force = false): Promise<unknown> =>
    refused(request, 'quota-set', { role, guarantees, force });
  t.like(await guarantee('g1', 'x', 'cpus:10000'), { code: 'BAD_SHAPE' });
  t.is(await guarantee('g2', 'x', 'cpus:3'), undefined);
  t.is(await guarantee('g3', 'x', 'cpus:4'), undefined, 'in place of what it had');
  t.like(await guarantee('g4', 'y', 'cpus:1'), { code: 'BAD_SHAPE' });
  t.is(await guarantee('g5', 'y', 'cpus:1', true), undefined);
  t.like(await refused('r10', 'teardown', { framework: 'batch' }), { code: 'NOT_ALLOWED' });
  t.is(await refused('r11', 'teardown', { framework: 'fw' }), undefined);
  t.is(await refused('r11', 'teardown', { framework: 'fw' }), undefined);
  t.like(await refused('r12', 'teardown', { framework: 'fw' }), { code: 'NOT_FOUND' });
});

test('a limit takes offers back, and holds from the next batch on', async (t) => {
  const { world, framework, operator } = await cluster('pi');
  t.is(framework.offers().length, 1);
  await operator.ask('r1', 'quota-set', { role: 'ann', limits: 'cpus:1' });
  await world.clock.advance(2_000);
  const offers = framework.of('OFFERS').flatMap((event) => event.offers);
  t.is(offers.at(-1)?.resources.find(({ name }) => name === 'cpus')?.scalar, 1_000);
  t.is(framework.of('RESCIND').length, 1);
});

test('a viewer changes nothing', async (t) => {
  const { world, operator } = await cluster('pi');
  await operator.ask('r1', 'token-create', { role: 'viewer', name: 'vera' });
  const viewer = new ScriptedClient(world, 'vera');
  const bodies: Record<string, object> = {
    ...{ drain: { agent: 'pi' }, resume: { agent: 'pi' }, teardown: { framework: 'fw' } },
    ...{ reserve: { agent: 'pi', resources: 'cpus(x):1' }, unreserve: { agent: 'pi', resources: 'cpus(x):1' } },
    ...{ 'weight-set': { role: 'x', weight: 2 }, 'quota-set': { role: 'x' }, 'quota-remove': { role: 'x' } },
  };
  for (const [op, body] of Object.entries(bodies))
    t.like(await viewer.ask(`v-${op}`, op, body), { fault: { code: 'NOT_ALLOWED' } });
  t.is((await viewer.ask('v-roles', 'roles'))?.fault, undefined);
});

test('reservations move resources to roles and change no amount', (t) => {
  const scalars = fc.record({ cpus: fc.integer({ min: 0, max: 8 }), mem: fc.integer({ min: 0, max: 8 }) });
  fc.assert(
    fc.property(scalars, scalars, scalars, (has, one, two) => {
      const text = (amounts: { cpus: number; mem: number }, role: string): string =>
        `cpus${role}:${amounts.cpus};mem${role}:${amounts.mem}`;
      const reported = resourcesOf(text(has, ''));
      const reserved = resourcesOf(`${text(one, '(a)')};${text(two, '(b)')}`);
      const total = withHoldings(reported, { reservations: [{ resources: reserved, from: '*', by: undefined }] });
      return contains(toUnreserved(total), reported) && contains(reported, toUnreserved(total));
    }),
  );
  t.pass();
});

test('a snapshot keeps roles, reservations and drains', (t) => {
  const registry = emptyRegistry();
  let index = 0;
  const take = (command: Command) => apply(registry, { index: ++index, term: 1 }, command);
  take({ kind: 'CREATE_CLUSTER', uuid: 'c', generation: 1, nowMs: 1 });
  const identity = { agent: 'id', name: 'pi', machine: 'm', serial: '', incarnation: 'i', counter: 1, hostname: 'h' };
  const resources = resourcesOf('cpus:4;mem:1024');
  take({
    kind: 'REGISTER_AGENT',
    ...identity,
    boot: 'b',
    resources,
    attributes: [],
    metered: false,
    tasks: [],
    nowMs: 1,
  });
  take({ kind: 'RESERVE', agent: 'pi', resources: resourcesOf('cpus(x):1'), request: 'r1' });
  take({ kind: 'DRAIN_AGENT', agent: 'pi', deadlineMs: 5, request: 'r2' });
  take({
    kind: 'SET_QUOTA',
    role: 'x',
    quota: { guarantees: [], limits: quantitiesOf(resources) },
    force: false,
    request: 'r3',
  });
  t.deepEqual(registryOf(snapshotSlices(registry)), registry);
  take({
    kind: 'REGISTER_AGENT',
    ...identity,
    counter: 2,
    boot: 'b',
    resources,
    attributes: [],
    metered: false,
    tasks: [],
    nowMs: 2,
  });
  // Proposed by a leader that had not seen the operator's drain yet, and one that has seen the wish end.
  for (const wish of ['heat', undefined]) take({ kind: 'HEED_HEALTH', agent: 'id', wish, deadlineMs: 9 });
  t.deepEqual(registry.agents.get('id')?.drain, { deadlineMs: 5 });
  t.like(registry.agents.get('id'), { drain: { deadlineMs: 5 }, resources: resourcesOf('cpus:3;mem:1024;cpus(x):1') });
  const wishes = (text: string | undefined): void => {
    const attributes = text === undefined ? [] : [{ name: 'drain-wish', text }];
    const epoch = registry.agents.get('id')?.epoch ?? 0;
    take({ kind: 'REPORT_AGENT', agent: 'id', epoch, resources, attributes });
  };
  // What a leader has proposed of a wish is late: it stands again, and was overruled.
  wishes('heat');
  take({ kind: 'RESUME_AGENT', agent: 'id', overrules: true, request: 'r4' });
  take({ kind: 'HEED_HEALTH', agent: 'id', wish: undefined, deadlineMs: 9 });
  t.is(registry.agents.get('id')?.overruled, 'heat');
  wishes(undefined);
  take({ kind: 'HEED_HEALTH', agent: 'id', wish: 'heat', deadlineMs: 9 });
  t.is(registry.agents.get('id')?.overruled, 'heat');
  take({ kind: 'HEED_HEALTH', agent: 'id', wish: undefined, deadlineMs: 9 });
  t.is(registry.agents.get('id')?.overruled, undefined);
  // It has ended meanwhile: nothing would tell anybody to end that drain but the next look.
  take({ kind: 'HEED_HEALTH', agent: 'id', wish: 'heat', deadlineMs: 9 });
  t.is(registry.agents.get('id')?.drain, undefined);
});
