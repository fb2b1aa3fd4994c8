import test from 'ava';
import type { InferOutput } from 'valibot';
import type { OPERATIONS } from '../../protocol/operator.ts';
import { resourcesOf } from '../resources-of.ts';
import { MasterWorld, ScriptedClient, ScriptedFramework, SimulatedAgent, task } from './world.ts';

type Explained = InferOutput<(typeof OPERATIONS)['explain']['part']>;

async function cluster() {
  const world = new MasterWorld();
  await world.start();
  const agent = new SimulatedAgent(world, 'a');
  agent.resources = 'cpus:2;mem:512;cpus(other):2';
  await agent.start();
  const framework = new ScriptedFramework(world, 'fw');
  await framework.subscribe(['vision']);
  const operator = new ScriptedClient(world, 'op');
  let asked = 0;
  const why = async (resources: string, more: object = {}): Promise<Explained> => {
    const body = { framework: 'fw', role: 'vision', resources, ...more };
    const reply = await operator.ask(`why${++asked}`, 'explain', body);
    return reply?.body as Explained;
  };
  return { world, framework, operator, why };
}

test('what others reserved is not there, and the message says so', async (t) => {
  const { why } = await cluster();
  t.is((await why('cpus:2')).verdict, 'now', 'what it is offered itself is no obstacle');
  const said = await why('cpus:3');
  t.is(said.verdict, 'never');
  t.deepEqual(said.agents[0]?.missing, ['cpus:3: it has 2 in all, and 2 reserved for others']);
});

test('a quota, a suppressed role and a role of nobody keep it waiting everywhere', async (t) => {
  const { why, operator, framework } = await cluster();
  await framework.launch([task('t1', { stays: true })]);
  await operator.ask('q1', 'quota-set', { role: 'vision', guarantees: '', limits: 'cpus:1.5' });
  const limited = await why('cpus:1');
  t.deepEqual(limited.reasons, ['role vision may have cpus:1.5 (quota), and has cpus:1']);
  t.is(limited.verdict, 'later');
  await operator.ask('q2', 'quota-remove', { role: 'vision' });
  await framework.call({ type: 'SUPPRESS' });
  t.deepEqual((await why('cpus:1')).reasons, ['fw has suppressed offers under role vision']);
  t.deepEqual((await why('cpus:1', { role: 'elsewhere' })).reasons, ['fw takes no offers under role elsewhere']);
  t.deepEqual((await why('cpus:1', { framework: 'nobody' })).reasons, ['nobody is not connected']);
});

test('what is kept for the guarantee of another role is named', async (t) => {
  const { why, operator } = await cluster();
  await operator.ask('q1', 'quota-set', { role: 'night', guarantees: 'cpus:1', limits: '' });
  t.is((await why('cpus:1')).verdict, 'now', 'there is room for both');
  await operator.ask('q2', 'quota-set', { role: 'night', guarantees: 'cpus:900;gpus:1', limits: '', force: true });
  const said = await why('cpus:1');
  t.is(said.verdict, 'later');
  t.deepEqual(said.reasons, ['cpus:900 is kept for what other roles are guaranteed (quota), of cpus:2 that is free']);
  t.deepEqual((await why('cpus:1', { role: 'night' })).reasons, ['fw takes no offers under role night'], 'its own');
});

test('what it refused, and what it wishes, is its own obstacle', async (t) => {
  const { why, framework } = await cluster();
  await framework.call({ type: 'DECLINE', offers: framework.offers(), refuseMs: 60_000 });
  t.regex((await why('cpus:1')).agents[0]?.missing[0] ?? '', /^fw refused what is free there, for (59|60) s more$/);
  const wishes = [{ role: 'vision', constraints: [['site==roof', 'agent==a']] }];
  await framework.call({ type: 'SUBSCRIBE', roles: ['vision'], wishes });
  await framework.call({ type: 'REVIVE' });
  t.true((await why('cpus:1')).agents[0]?.missing.includes('its wish site==roof and agent==a does not hold'));
});

test('what a framework says it needs is kept until it says something else, or leaves', async (t) => {
  const { framework, operator } = await cluster();
  await framework.call({
    type: 'REQUEST',
    requests: [
      { name: 'train', count: 2, resources: resourcesOf('cpus:1'), constraints: ['site==roof'] },
      { role: 'vision', resources: resourcesOf('gpus:1') },
    ],
  });
  const reply = await operator.ask('n1', 'needs', { framework: 'fw' });
  t.deepEqual(reply?.body, {
    framework: 'fw',
    state: 'active',
    needs: [
      { name: 'train', role: 'vision', count: 2, resources: 'cpus:1', ports: 0, constraints: ['site==roof'] },
      { name: null, role: 'vision', count: 1, resources: 'gpus:1', ports: 0, constraints: [] },
    ],
  });
  await framework.subscribe(['vision']);
  const after = await operator.ask('n2', 'needs', { framework: 'fw' });
  t.deepEqual((after?.body as { needs: object[] } | undefined)?.needs, []);
  t.is((await operator.ask('n3', 'needs', { framework: 'nobody' }))?.fault?.code, 'NOT_FOUND');
});

test("what is worth an offer, and what makes no share, is the operator's to say", async (t) => {
  const world = new MasterWorld({
    allocation: { minimum: [[{ name: 'cpus', amount: 1_000 }]], fairnessExcluded: ['gpus'] },
  });
  await world.start();
  const agent = new SimulatedAgent(world, 'a');
  agent.resources = 'cpus:2;mem:512;gpus:1';
  await agent.start();
  const framework = new ScriptedFramework(world, 'fw');
  await framework.call({ type: 'SUBSCRIBE', roles: ['ann'], capabilities: ['GPU_RESOURCES'] });
  await framework.launch([task('t', { stays: true }, { resources: resourcesOf('cpus:1.5;gpus:1') })]);
  await world.clock.advance(10_000);
  t.deepEqual(framework.offers(), [], 'half a cpu is worth none');
  const roles = await new ScriptedClient(world, 'op').ask('r', 'roles');
  t.like((roles?.body as { roles: object[] } | undefined)?.roles[0], { role: 'ann', share: 0.75 });
});
