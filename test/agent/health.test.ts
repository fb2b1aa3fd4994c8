import test from 'ava';
import fc from 'fast-check';
import {
  CONDITIONS,
  type Condition,
  holding,
  type Judgement,
  judge,
  NOT_JUDGED,
  type Reading,
  THRESHOLDS,
} from '../../agent/health/conditions.ts';
import { healthAttributes, offeredResources } from '../../agent/health/effects.ts';
import { writtenThresholds } from '../../agent/health/written-thresholds.ts';
import type { MachineReading } from '../../agent/machine-watch.ts';
import { formatAttributes, parseAttributes } from '../../protocol/attributes.ts';
import { Fault } from '../../protocol/faults.ts';
import { contains, intersect } from '../../protocol/resource-arithmetic.ts';
import { formatResources, type Resources } from '../../protocol/resources.ts';
import { resourcesOf } from '../resources-of.ts';
import { AgentWorld, program } from './world.ts';

function held(readings: readonly Reading[]): string[] {
  let judgement: Judgement = NOT_JUDGED;
  return readings.map((reading) => {
    judgement = judge(judgement, reading);
    return [...holding(judgement)].join(' ');
  });
}

const degrees = (...all: readonly number[]): Reading[] => all.map((temperatureC) => ({ temperatureC }));

test('the first reading decides at once; later ones need company, and between the thresholds nothing changes', (t) => {
  t.deepEqual(held(degrees(79, 81, 79, 81, 82, 75, 73)), ['', '', '', '', 'hot', 'hot', 'hot']);
  t.deepEqual(held(degrees(81, 70, 70, 73, 70, 70, 70, 70)), ['hot', 'hot', 'hot', 'hot', 'hot', 'hot', 'hot', '']);
  t.deepEqual(held(degrees(96)), ['hot overheated']);
  t.deepEqual(
    held([{ temperatureC: 85 }, {}, {}, {}, {}, {}]),
    Array.from({ length: 6 }, () => 'hot'),
  );
});

test('what counts as trouble', (t) => {
  const now = (reading: Reading) => held([reading])[0];
  t.is(now({ throttled: true, underVoltage: true }), 'throttled under-voltage');
  t.is(now({ acceleratorC: 89 }), '');
  t.is(now({ acceleratorC: 90 }), 'hot');
  t.is(now({ diskUsed: 0.93, diskFreeMb: 2_000 }), 'disk-nearly-full');
  t.is(now({ diskUsed: 0.99, diskFreeMb: 20_000 }), '', 'a large disk has room');
  t.is(now({ diskUsed: 0.99, diskFreeMb: 100 }), 'disk-nearly-full disk-full');
  t.is(now({ battery: 0.15, onBattery: true }), 'battery-low');
  t.is(now({ battery: 0.05, onBattery: true }), 'battery-low battery-empty');
  t.is(now({ battery: 0.05, onBattery: false }), '');
  t.is(now({ metered: true, wear: 1 }), 'metered flash-worn');
  t.is(now({ throttledSinceBoot: true, underVoltageSinceBoot: true }), '');
});

test('a value that swings within the thresholds never changes anything, however long', (t) => {
  fc.assert(
    fc.property(fc.boolean(), fc.array(fc.double({ min: 72.01, max: 79.99, noNaN: true })), (hot, values) => {
      const states = held(degrees(hot ? 90 : 60, ...values));
      t.deepEqual(new Set(states), new Set([hot ? 'hot' : '']));
    }),
  );
});

test('thresholds are written with numbers, or never; what is low is counted downwards', (t) => {
  const written = (text: string) => {
    const attributes = parseAttributes(text);
    return attributes instanceof Fault ? attributes : writtenThresholds(attributes);
  };
  const mine = written('hot:85;battery-low:0.3;throttled:never');
  if (mine instanceof Fault) throw mine;
  t.like(mine.hot, { on: 85, off: 77 });
  t.is(mine['battery-low'].on, 0.7);
  t.deepEqual(mine.metered, THRESHOLDS.metered);
  const now = (reading: Reading) => [...holding(judge(NOT_JUDGED, reading, mine))].join(' ');
  t.is(now({ temperatureC: 84, throttled: true, battery: 0.28, onBattery: true }), 'battery-low');
  for (const odd of ['cold:3', 'hot:very']) t.true(written(odd) instanceof Fault, odd);
});

test('conditions become attributes, each name once', (t) => {
  const told = (conditions: readonly Condition[], reading: Reading = {}) =>
    formatAttributes(healthAttributes(new Set(conditions), reading));
  t.is(told([]), '');
  t.is(told([], { underVoltageSinceBoot: true }), 'under-voltage:since-boot');
  t.is(told(['under-voltage'], { underVoltageSinceBoot: true }), 'under-voltage:now');
  t.is(
    told(['hot', 'overheated', 'battery-low', 'battery-empty']),
    'hot:true;overheated:true;battery:empty;drain-wish:heat,battery',
  );
  t.notThrows(() => told(CONDITIONS));
});

const offered = (all: string, used: string, ...conditions: readonly Condition[]) =>
  formatResources(offeredResources(resourcesOf(all), resourcesOf(used), new Set(conditions)));

test('withholds halves, disk, or everything beside what runs', (t) => {
  t.is(offered('cpus:4;mem:100;disk:50', 'cpus:1', 'hot', 'throttled'), 'cpus:2;mem:100;disk:50');
  t.is(offered('cpus:4;mem:100', 'cpus:3.5', 'hot'), 'cpus:3.5;mem:100');
  t.is(offered('cpus:4;disk:50', '', 'disk-nearly-full'), 'cpus:4');
  t.is(offered('cpus:4;disk:50', 'disk:7', 'disk-nearly-full'), 'cpus:4;disk:7');
  t.is(offered('cpus:4;mem:100;ports:[1-9]', 'cpus:1;ports:[3-4]', 'battery-low'), 'cpus:1;ports:[3-4]');
  t.is(offered('cpus:4', '', 'overheated'), '');
  t.is(offered('cpus:4', 'cpus:2', 'metered', 'flash-worn'), 'cpus:4');
});

test('what is reserved counts where it came from', (t) => {
  // Two of four were reserved while the agent runs, and one and a half of them are used.
  t.is(offered('cpus:4', 'cpus(web):1.5;cpus:1', 'hot'), 'cpus:2.5');
  t.is(offered('cpus:2;cpus(web):2', 'cpus(web):1.5', 'hot'), 'cpus:1;cpus(web):1.5');
  t.is(offered('cpus:4', 'cpus(web):1;disk(web)[data]:64;disk(web):3', 'disk-full'), 'cpus(web):1;disk(web):67');
});

test('never offers more than there is, nor less than what runs', (t) => {
  const amount = fc.integer({ min: 1, max: 8_000 });
  const few = fc.integer({ min: 0, max: 1_000 });
  const conditions = fc.subarray([...CONDITIONS]);
  fc.assert(
    fc.property(amount, amount, few, few, conditions, (cpus, disk, ofCpus, ofDisk, all) => {
      const whole: Resources = [
        { name: 'cpus', scalar: cpus },
        { name: 'disk', scalar: disk },
        { name: 'ports', ranges: [[1, 9]] },
      ];
      const shares: Resources = [
        { name: 'cpus', scalar: Math.floor((cpus * ofCpus) / 1_000) },
        { name: 'disk', scalar: Math.floor((disk * ofDisk) / 1_000) },
        { name: 'ports', ranges: [[2, 4]] },
      ];
      const used = shares.filter(({ scalar }) => scalar !== 0);
      const left = offeredResources(whole, used, new Set(all));
      t.true(contains(whole, left));
      t.true(contains(left, used));
      t.deepEqual(intersect(left, used).length, used.length);
    }),
  );
});

test('trouble reaches the master as a report, and its end too; nothing is written for it', async (t) => {
  const world = new AgentWorld();
  let reading: MachineReading = { temperatureC: 60, cpusOnline: 4 };
  world.hardware = { sample: () => Promise.resolve(reading), reading };
  await world.up();
  world.master.place('runs', { argv: program({ stays: true }), resources: resourcesOf('cpus:3') });
  await world.until(() => world.master.states('runs').length > 0);
  await world.clock.advance(300_000);
  const reports = () =>
    world.master
      .of('REPORT')
      .map(({ resources, attributes }) => `${formatResources(resources)} ${formatAttributes(attributes)}`);
  t.deepEqual(reports(), []);
  const before = world.disk.steps;
  reading = { ...reading, temperatureC: 88 };
  await world.until(() => reports().length === 1);
  t.is(reports()[0], 'cpus:3;mem:1024;ports:[31000-31009] hot:true');
  reading = { ...reading, temperatureC: 97 };
  await world.until(() => reports().length === 2);
  t.is(reports()[1], 'cpus:3 hot:true;overheated:true;drain-wish:heat');
  reading = { ...reading, temperatureC: 50 };
  await world.until(() => reports().length === 3);
  t.is(reports()[2], 'cpus:4;mem:1024;ports:[31000-31009] ');
  t.is(world.disk.steps, before);
});

test('a machine in trouble says so when it registers', async (t) => {
  const world = new AgentWorld();
  world.hardware = { sample: () => Promise.resolve({}), reading: { battery: 0.05, onBattery: true } };
  await world.up();
  const [register] = world.master.of('REGISTER');
  t.is(formatResources(register?.resources ?? []), '');
  t.is(formatAttributes(register?.attributes ?? []), 'battery:empty;drain-wish:battery');
});

test('cores that a power mode switches off are no longer offered, within a minute', async (t) => {
  const world = new AgentWorld();
  let cpusOnline = 6;
  world.hardware = {
    sample: () => Promise.resolve({ cpusOnline }),
    reading: { cpusOnline },
    probe: () =>
      Promise.resolve({ resources: resourcesOf(`cpus:${cpusOnline};mem:1024`), attributes: [], devices: [] }),
  };
  await world.up();
  cpusOnline = 2;
  await world.until(() => world.master.of('REPORT').length === 1, 60_000);
  t.is(formatResources(world.master.of('REPORT')[0]?.resources ?? []), 'cpus:2;mem:1024');
  // The next looks find nothing new.
  await world.clock.advance(900_000);
  t.is(world.master.of('REPORT').length, 1);
});

test('a look that fails costs nothing but itself', async (t) => {
  const world = new AgentWorld();
  let fails = true;
  world.hardware = {
    sample: () => (fails ? Promise.reject(new Error('no')) : Promise.resolve({ throttled: true })),
    probe: () => Promise.reject(new Error('no')),
  };
  await world.up();
  await world.clock.advance(900_000);
  fails = false;
  await world.until(() => world.master.of('REPORT').length === 1);
  t.is(formatAttributes(world.master.of('REPORT')[0]?.attributes ?? []), 'throttled:now');
});
