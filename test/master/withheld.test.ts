import test, { type ExecutionContext } from 'ava';
import type { MachineReading } from '../../agent/machine-watch.ts';
import { MasterWorld, ScriptedClient, ScriptedFramework, SimulatedAgent, task } from './world.ts';

/** Nobody pings on this network. */
const PATIENT = { leaseMs: 24 * 3_600_000 };

interface Shown {
  readonly state: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly resources: { readonly total: string; readonly allocated: string; readonly offered: string };
  readonly tasks: number;
  readonly drain?: { readonly wish?: string };
}

test('a machine whose battery ends is drained, and offered again by itself when it has recovered', async (t) => {
  const world = new MasterWorld({ times: PATIENT });
  await world.start();
  await world.watchState();
  const agent = new SimulatedAgent(world, 'pi');
  let reading: MachineReading = { battery: 0.9, onBattery: true };
  agent.hardware = { sample: () => Promise.resolve(reading), reading };
  await agent.start();
  const framework = new ScriptedFramework(world, 'fw');
  await framework.subscribe();
  await framework.launch([task('runs', { stays: true })]);
  t.deepEqual(framework.states('runs'), ['TASK_RUNNING']);
  const client = new ScriptedClient(world, 'ann');
  let asked = 0;
  const shown = async (): Promise<Shown | undefined> =>
    ((await client.ask(`r${++asked}`, 'agents'))?.body as { agents: Shown[] } | undefined)?.agents[0];
  await world.until(() => framework.offers().length === 1);
  const whole = await shown();

  reading = { battery: 0.05, onBattery: true };
  await world.until(() => framework.offers().length === 0, 90_000);
  await world.clock.advance(30_000);
  t.deepEqual(framework.offers(), []);
  const withheld = await shown();
  t.like(withheld?.attributes, { battery: 'empty', 'drain-wish': 'battery' });
  t.like(withheld, { state: 'draining', tasks: 1, drain: { wish: 'battery' } });
  t.like(withheld?.resources, { total: whole?.resources.allocated, offered: '' });
  t.true(framework.of('INVERSE_OFFERS').length > 0, 'its tenants are asked');
  t.true(
    [...world.state.values()].some((text) => text.includes('drain-wish:battery')),
    'state/ says so too',
  );
  t.deepEqual(new Set(framework.states('runs')), new Set(['TASK_RUNNING']), 'until the deadline');
  await world.until(() => framework.states('runs').at(-1) === 'TASK_KILLED');
  t.is(
    framework
      .of('UPDATE')
      .flatMap(({ updates }) => updates)
      .at(-1)?.reason,
    'AGENT_DRAINING',
  );
  await framework.acknowledgeAll();
  t.is((await shown())?.state, 'drained');

  reading = { battery: 0.6, onBattery: false };
  await world.until(() => framework.offers().length === 1, 300_000);
  const recovered = await shown();
  t.like(recovered, { state: 'active', drain: undefined });
  t.is(recovered?.resources.total, whole?.resources.total);
  t.deepEqual(recovered?.attributes, whole?.attributes);
});

async function trouble(t: ExecutionContext) {
  const world = new MasterWorld({ times: PATIENT });
  await world.start();
  const agent = new SimulatedAgent(world, 'pi');
  const now: { reading: MachineReading } = { reading: { temperatureC: 50 } };
  agent.hardware = { sample: () => Promise.resolve(now.reading), reading: now.reading };
  await agent.start();
  const client = new ScriptedClient(world, 'ann');
  let asked = 0;
  const ask = async (op: string, body: object = {}) => {
    const answer = await client.ask(`r${++asked}`, op, body);
    t.is(answer?.fault, undefined);
    return answer?.body;
  };
  const refused = async (op: string, body: object): Promise<string | undefined> =>
    (await client.ask(`r${++asked}`, op, body))?.fault?.code;
  const shown = async (): Promise<Shown | undefined> => ((await ask('agents')) as { agents: Shown[] }).agents[0];
  const becomes = async (temperatureC: number): Promise<void> => {
    now.reading = { temperatureC };
    await world.clock.advance(180_000);
  };
  return { world, ask, refused, shown, becomes };
}

test('a drain of an operator is not ended because the machine has recovered, nor begun again by its health', async (t) => {
  const { ask, shown, becomes } = await trouble(t);
  await ask('drain', { agent: 'pi' });
  await becomes(99);
  t.like(await shown(), { state: 'drained', attributes: { 'drain-wish': 'heat' } });
  t.is((await shown())?.drain?.wish, undefined);
  await becomes(50);
  t.is((await shown())?.attributes['drain-wish'], undefined);
  t.is((await shown())?.state, 'drained');
});

test('an operator takes over what health began, and it stays when the machine has recovered', async (t) => {
  const { ask, shown, becomes } = await trouble(t);
  await becomes(99);
  t.like(await shown(), { state: 'drained', drain: { wish: 'heat' } });
  await ask('drain', { agent: 'pi' });
  t.is((await shown())?.drain?.wish, undefined);
  await becomes(50);
  t.is((await shown())?.state, 'drained');
});

test('an operator overrules a wish until it has ended once; a new leader knows that', async (t) => {
  const { world, ask, shown, becomes } = await trouble(t);
  await becomes(99);
  await ask('resume', { agent: 'pi' });
  await becomes(98);
  t.is((await shown())?.state, 'active');
  world.killMaster();
  await world.start();
  await world.clock.advance(200_000);
  t.like(await shown(), { state: 'active', attributes: { 'drain-wish': 'heat' } });
  await becomes(50);
  t.is((await shown())?.state, 'active');
  await becomes(99);
  t.is((await shown())?.state, 'drained');
});

test('one resume ends the drain of an operator and overrules the wish behind it', async (t) => {
  const { world, ask, shown, becomes } = await trouble(t);
  await ask('drain', { agent: 'pi' });
  await becomes(99);
  await ask('resume', { agent: 'pi' });
  await world.clock.advance(200_000);
  t.like(await shown(), { state: 'active', attributes: { 'drain-wish': 'heat' } });
  await becomes(50);
  await becomes(99);
  t.is((await shown())?.state, 'drained', 'once it has ended it is heeded again');
});

test('the end of a window overrules no wish: nobody has seen it', async (t) => {
  const { world, ask, shown, becomes } = await trouble(t);
  await ask('drain', { agent: 'pi', inMs: 0, forMs: 400_000 });
  await becomes(99);
  await world.clock.advance(400_000);
  t.like(await shown(), { state: 'drained', drain: { wish: 'heat' } });
});

test('a window of an operator takes the place of a drain for health, and ends as it was told', async (t) => {
  const { world, ask, shown, becomes } = await trouble(t);
  await becomes(99);
  await ask('drain', { agent: 'pi', inMs: 60_000, forMs: 600_000 });
  t.is((await shown())?.drain?.wish, 'heat');
  await world.clock.advance(61_000);
  t.is((await shown())?.drain?.wish, undefined);
  await becomes(50);
  t.is((await shown())?.state, 'drained');
  await world.clock.advance(600_000);
  t.is((await shown())?.state, 'active');
});

test('a machine that is drained by hand stays so, whatever window was scheduled before', async (t) => {
  const { world, ask, refused, shown } = await trouble(t);
  const schedule = (): Promise<unknown> => ask('drain', { agent: 'pi', inMs: 60_000, forMs: 600_000 });
  await schedule();
  await ask('drain', { agent: 'pi' });
  t.like(await shown(), { state: 'drained', window: undefined }, 'and no window is announced any more');
  await world.clock.advance(700_000);
  t.is((await shown())?.state, 'drained', 'before it');
  t.is(await refused('drain', { agent: 'pi', inMs: 0, forMs: 1_000 }), 'CONFLICT', 'nor is one told that would end it');
  await ask('resume', { agent: 'pi' });
  await schedule();
  await world.clock.advance(61_000);
  await ask('drain', { agent: 'pi' });
  await world.clock.advance(700_000);
  t.is((await shown())?.state, 'drained', 'within it');
});

test('a window is made longer while it lasts', async (t) => {
  const { world, ask, shown } = await trouble(t);
  await ask('drain', { agent: 'pi', inMs: 0, forMs: 60_000 });
  await ask('drain', { agent: 'pi', inMs: 0, forMs: 600_000 });
  await world.clock.advance(120_000);
  t.is((await shown())?.state, 'drained');
  await world.clock.advance(600_000);
  t.is((await shown())?.state, 'active');
});

test('what ends on a machine in trouble is not offered to others', async (t) => {
  const world = new MasterWorld({ times: PATIENT });
  await world.start();
  const agent = new SimulatedAgent(world, 'pi');
  let reading: MachineReading = { temperatureC: 50 };
  agent.hardware = { sample: () => Promise.resolve(reading), reading };
  await agent.start();
  const framework = new ScriptedFramework(world, 'fw');
  await framework.subscribe();
  await framework.launch([task('short', { runMs: 160_000 })]);
  await world.until(() => framework.offers().length === 1);
  reading = { temperatureC: 99 };
  await world.until(() => framework.offers().length === 0, 90_000);
  const before = framework.of('OFFERS').length;
  await world.until(() => framework.states('short').includes('TASK_FINISHED'));
  await framework.acknowledgeAll();
  await world.clock.advance(60_000);
  t.is(framework.of('OFFERS').length, before, 'no new offer');
  t.deepEqual(framework.offers(), []);
});
