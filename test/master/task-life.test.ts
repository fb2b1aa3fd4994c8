import test from 'ava';
import { TIMES } from '../../protocol/limits.ts';
import type { HealthCheck } from '../../protocol/task-checks.ts';
import { resourcesOf } from '../resources-of.ts';
import {
  greeting,
  MasterWorld,
  ScriptedAgent,
  ScriptedClient,
  ScriptedFramework,
  SimulatedAgent,
  task,
} from './world.ts';

const HEALTH: HealthCheck = {
  tcp: { port: 80 },
  delayMs: 1_000,
  intervalMs: 1_000,
  timeoutMs: 1_000,
  consecutiveFailures: 3,
  gracePeriodMs: 0,
};

async function begun(
  seed: number,
): Promise<{ world: MasterWorld; agent: SimulatedAgent; framework: ScriptedFramework }> {
  const world = new MasterWorld({ seed });
  await world.start();
  const agent = new SimulatedAgent(world, 'pi-1');
  await agent.start();
  const framework = new ScriptedFramework(world, 'fw');
  await framework.subscribe();
  return { world, agent, framework };
}

function last(framework: ScriptedFramework, name: string) {
  return framework
    .of('UPDATE')
    .flatMap(({ updates }) => updates)
    .findLast((update) => update.task === name);
}

test('a launch that its agent, in contact, never answers is dropped in time, and killed should it run after all', async (t) => {
  const world = new MasterWorld({ seed: 41 });
  await world.start();
  const agent = new ScriptedAgent(world, 'esp');
  await agent.say(greeting('esp'));
  const framework = new ScriptedFramework(world, 'fw');
  await framework.subscribe();
  await framework.launch([task('blink')]);
  const { epoch } = agent;
  const sinceMs = world.clock.monotonic();
  while (world.clock.monotonic() - sinceMs < TIMES.launchMs - 20_000) await agent.say({ type: 'RENEW', epoch }, 15_000);
  t.deepEqual(framework.states('blink'), []);
  while (world.clock.monotonic() - sinceMs < TIMES.launchMs + 20_000) await agent.say({ type: 'RENEW', epoch }, 15_000);
  t.like(last(framework, 'blink'), { state: 'TASK_DROPPED', reason: 'LAUNCH_TIMED_OUT' });
  const orders = agent.heard.filter(({ type }) => type === 'RUN' || type === 'KILL').map(({ type }) => type);
  t.is(orders.at(-1), 'KILL');
  t.false(orders.slice(orders.indexOf('KILL')).includes('RUN'), 'no launch follows the kill');
  const key = { framework: 'fw', task: 'blink', attempt: 0 };
  for (const acknowledged of [false, true]) {
    if (acknowledged) await framework.acknowledgeAll();
    agent.heard.length = 0;
    await agent.say({
      type: 'UPDATE',
      epoch,
      updates: [
        { ...key, restart: 0, uuid: `u${acknowledged}`, sequence: acknowledged ? 2 : 1, state: 'TASK_RUNNING' },
      ],
    });
    t.deepEqual(agent.last('KILL')?.tasks, [key], acknowledged ? 'it is history' : 'it has ended');
    t.truthy(agent.last('ACKNOWLEDGE'));
  }
});

test('killed while launching: before the launch is committed, before it starts, and with an agent that is away', async (t) => {
  const { world, agent, framework } = await begun(42);
  agent.machine.freeze();
  const offers = framework.offers().slice(-1);
  void framework.call(
    { type: 'ACCEPT', offers, operations: [{ type: 'LAUNCH', tasks: [task('a', { stays: true })] }] },
    0,
  );
  await framework.call({ type: 'KILL', tasks: [{ task: 'a' }] });
  await world.until(() => last(framework, 'a')?.state === 'TASK_KILLED', 30_000);
  t.like(last(framework, 'a'), { reason: 'KILLED_DURING_LAUNCH' });
  await world.until(() => framework.offers().length > 0, 60_000);
  await framework.launch([task('b', { stays: true })]);
  await framework.call({ type: 'KILL', tasks: [{ task: 'b' }] });
  await world.until(() => last(framework, 'b')?.state === 'TASK_KILLED', 30_000);
  await world.until(() => framework.offers().length > 0, 60_000);
  const open = framework.offers().slice(-1);
  agent.unplug();
  await framework.launch([task('c', { stays: true })], open);
  await framework.call({ type: 'KILL', tasks: [{ task: 'c' }] });
  await world.clock.advance(20_000);
  t.deepEqual(framework.states('c'), []);
  world.network.heal();
  await world.until(() => last(framework, 'c')?.state === 'TASK_KILLED', 120_000);
  agent.machine.thaw();
  await world.clock.advance(10_000);
  for (const name of ['a', 'b', 'c']) t.is(agent.machine.processes(`fw/${name}.0/0`), 0);
});

test('killed while unreachable: it ends when its agent is back, with the shortest grace that was asked for', async (t) => {
  const { world, agent, framework } = await begun(43);
  await framework.launch([task('deaf', { stays: true, ignoresTerm: true }, { killGraceMs: 300_000 })]);
  await framework.acknowledgeAll();
  agent.unplug();
  await world.until(() => last(framework, 'deaf')?.state === 'TASK_UNREACHABLE', 600_000);
  await framework.call({ type: 'KILL', tasks: [{ task: 'deaf', graceMs: 5_000 }] });
  await framework.call({ type: 'KILL', tasks: [{ task: 'deaf' }] });
  await world.clock.advance(60_000);
  t.is(last(framework, 'deaf')?.state, 'TASK_UNREACHABLE', 'nobody knows whether it runs');
  t.is(agent.machine.processes('fw/deaf.0/0'), 1);
  world.network.heal();
  await world.until(() => last(framework, 'deaf')?.state === 'TASK_RUNNING', 120_000);
  await world.until(() => last(framework, 'deaf')?.state === 'TASK_KILLED', 10_000);
  t.is(agent.machine.processes('fw/deaf.0/0'), 0);
});

test('TASK_KILLING is told to frameworks that can do with it, and to no other', async (t) => {
  for (const capable of [true, false]) {
    const { world, framework } = await begun(44);
    const capabilities = capable ? (['TASK_KILLING_STATE'] as const) : [];
    await framework.call({ type: 'SUBSCRIBE', roles: ['ann'], capabilities: [...capabilities] });
    await framework.launch([task('a', { stays: true, ignoresTerm: true })]);
    await framework.call({ type: 'KILL', tasks: [{ task: 'a' }] });
    await world.until(() => last(framework, 'a')?.state === 'TASK_KILLED', 30_000);
    t.is(framework.states('a').includes('TASK_KILLING'), capable);
  }
});

test('what checks say reaches the framework, the operators and those who look on; a sick task ends', async (t) => {
  const { world, agent, framework } = await begun(45);
  await world.watchState();
  agent.resources = 'cpus:4';
  await framework.launch([task('web', { stays: true }, { healthCheck: HEALTH, labels: { tier: 'front' } })]);
  await world.until(() => last(framework, 'web')?.healthy === true, 30_000);
  const client = new ScriptedClient(world, 'ann');
  const healthy = async (request: string) => {
    const answer = (await client.ask(request, 'tasks'))?.body as { tasks: { healthy: boolean | null }[] };
    return answer.tasks.map((one) => one.healthy);
  };
  t.deepEqual(await healthy('r1'), [true]);
  t.true([...world.state.values()].some((text) => text.includes('"healthy":true')));
  // A framework that asks is told, and so is one whose acknowledgement has taken the reports away.
  await framework.acknowledgeAll();
  framework.events.length = 0;
  await framework.call({ type: 'RECONCILE', tasks: [{ task: 'web' }] });
  t.like(last(framework, 'web'), { state: 'TASK_RUNNING', healthy: true });
  agent.prober.answer = () => ({ connected: false });
  await world.until(() => last(framework, 'web')?.state === 'TASK_FAILED', 60_000);
  t.like(last(framework, 'web'), { reason: 'HEALTH_CHECK_FAILED', healthy: false });
});

test('a health check goes on while nobody can be told, and what it said is told later', async (t) => {
  const { world, agent, framework } = await begun(46);
  await framework.launch([task('web', { stays: true }, { healthCheck: HEALTH })]);
  await world.until(() => last(framework, 'web')?.healthy === true, 30_000);
  agent.unplug();
  agent.prober.answer = () => ({ connected: false });
  await world.clock.advance(60_000);
  t.is(agent.machine.processes('fw/web.0/0'), 0);
  world.network.heal();
  await world.until(() => last(framework, 'web')?.state === 'TASK_FAILED', 120_000);
  t.like(last(framework, 'web'), { reason: 'HEALTH_CHECK_FAILED', healthy: false });
});

test('a task that contradicts itself is TASK_ERROR, alone, and says where', async (t) => {
  const { framework } = await begun(47);
  const { tcp: _, ...timing } = HEALTH;
  const scheme = 'http' as const;
  await framework.launch([
    task('portless', {}, { healthCheck: { ...timing, http: { scheme, path: '/' } } }),
    task('own', {}, { executor: { executor: 'e', argv: ['x'], shutdownGraceMs: 1_000 }, healthCheck: HEALTH }),
    task('tight', {}, { resources: resourcesOf('cpus:1;mem:32'), limits: { cpus: 500 } }),
    task('roomy', { runMs: 10 }, { limits: { cpus: 'unlimited', mem: 64_000 } }),
  ]);
  t.like(last(framework, 'portless'), { state: 'TASK_ERROR', reason: 'TASK_INVALID' });
  t.regex(last(framework, 'portless')?.message ?? '', /healthCheck: .* port 0/);
  t.like(last(framework, 'tight'), { state: 'TASK_ERROR', reason: 'TASK_INVALID' });
  t.regex(last(framework, 'tight')?.message ?? '', /limits\.cpus: 500 thousandths/);
  t.like(last(framework, 'own'), { state: 'TASK_ERROR', reason: 'TASK_INVALID' });
  t.is(last(framework, 'roomy')?.state, 'TASK_FINISHED');
});
