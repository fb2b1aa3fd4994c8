import test from 'ava';
import type { MachineReading } from '../../agent/machine-watch.ts';
import { MasterWorld, ScriptedClient, ScriptedFramework, SimulatedAgent, task } from './world.ts';

/** Nobody pings on this network. */
const PATIENT = { leaseMs: 24 * 3_600_000 };

interface Shown {
  readonly state: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly resources: { readonly total: string; readonly allocated: string; readonly offered: string };
  readonly tasks: number;
}

test('a machine in trouble is offered no more, what runs there goes on, and afterwards it is offered again', async (t) => {
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
  await world.clock.advance(120_000);
  t.deepEqual(framework.offers(), []);
  const withheld = await shown();
  t.like(withheld?.attributes, { battery: 'empty', 'drain-wish': 'battery' });
  t.like(withheld, { state: 'active', tasks: 1, resources: { total: whole?.resources.allocated, offered: '' } });
  t.true(
    [...world.state.values()].some((text) => text.includes('drain-wish:battery')),
    'state/ says so too',
  );
  t.deepEqual(new Set(framework.states('runs')), new Set(['TASK_RUNNING']));

  reading = { battery: 0.6, onBattery: false };
  await world.until(() => framework.offers().length === 1, 300_000);
  t.is((await shown())?.resources.total, whole?.resources.total);
  t.deepEqual((await shown())?.attributes, whole?.attributes);
  t.deepEqual(new Set(framework.states('runs')), new Set(['TASK_RUNNING']));
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
  await framework.launch([task('short', { runMs: 300_000 })]);
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
