import test from 'ava';
import fc from 'fast-check';
import * as v from 'valibot';
import { applyRecord, emptyState, recover, stateSlices } from '../../agent/checkpoint/state.ts';
import { chooseDevices, type HeldDevice, type OwnDevice, wantedDevices } from '../../agent/devices/choose-devices.ts';
import { countDevices, cutDevices, namesOf, slotsOf } from '../../agent/devices/cut-devices.ts';
import { deviceEnvironment, deviceNodes, withoutDevices } from '../../agent/devices/device-environment.ts';
import { Fault } from '../../protocol/faults.ts';
import { formatResources } from '../../protocol/resources.ts';
import { TaskInfo } from '../../protocol/task.ts';
import { resourcesOf } from '../resources-of.ts';
import { executorTask, scriptedExecutors } from './scripted-executor.ts';
import { AgentWorld, program } from './world.ts';

function gpu(id: string, slots = 1): OwnDevice {
  const environment = { CUDA_VISIBLE_DEVICES: id, NVIDIA_VISIBLE_DEVICES: id };
  return { kind: 'gpus', id, slots, environment, nodes: [`/dev/${id}`, '/dev/nvidiactl'] };
}

const HAILO: OwnDevice = { kind: 'hailo', id: '0001:01:00.0', environment: {}, nodes: ['/dev/hailo0'] };
const ONE_GPU = resourcesOf('gpus:1');
const wanted = (written: string) => wantedDevices(resourcesOf(written), new Set(['gpus', 'hailo', 'coral']));

test('what is wanted is counted over roles, and no device is halved', (t) => {
  t.deepEqual(
    wanted('cpus:1;gpus:1;gpus(vision):1;hailo:0.5'),
    new Map([
      ['gpus', 2],
      ['hailo', 1],
    ]),
  );
  t.deepEqual(wanted('cpus:4;tpus:1'), new Map());
});

test('different devices come first, the emptiest before the others, in the order of the list', (t) => {
  const devices = [gpu('a', 4), gpu('b', 4), HAILO];
  const taken: HeldDevice[] = [{ kind: 'gpus', id: 'a', slots: 1 }];
  const given = (written: string, held = taken) => {
    const chosen = chooseDevices(devices, held, wanted(written));
    return 'kind' in chosen ? chosen : chosen.map(({ id, slots }) => `${id}×${slots}`);
  };
  t.deepEqual(given('gpus:1'), ['b×1']);
  t.deepEqual(given('gpus:1', []), ['a×1']);
  t.deepEqual(given('gpus:2'), ['a×1', 'b×1']);
  t.deepEqual(given('gpus:3'), ['a×1', 'b×2']);
  t.deepEqual(given('gpus:7;hailo:1'), ['a×3', 'b×4', '0001:01:00.0×1']);
  t.deepEqual(given('gpus:8'), { kind: 'gpus', wanted: 8, free: 7 });
  t.deepEqual(given('coral:1'), { kind: 'coral', wanted: 1, free: 0 });
  t.deepEqual(given('cpus:1'), []);
});

test('nobody is given what others have, nor anything twice, and everything that is free can be had', (t) => {
  const device = fc.record({
    kind: fc.constantFrom('gpus', 'hailo'),
    id: fc.nat(5).map(String),
    slots: fc.integer({ min: 1, max: 4 }),
    environment: fc.constant({}),
    nodes: fc.constant([]),
  });
  const devicesOf = fc.uniqueArray(device, { maxLength: 8, selector: ({ kind, id }) => `${kind}/${id}` });
  const task = fc.record({ gpus: fc.nat(4), hailo: fc.nat(3), ends: fc.boolean() });
  fc.assert(
    fc.property(devicesOf, fc.array(task, { maxLength: 12 }), (devices, tasks) => {
      const held: HeldDevice[][] = [];
      for (const { gpus, hailo, ends } of tasks) {
        const need = new Map([
          ['gpus', gpus],
          ['hailo', hailo],
        ]);
        const chosen = chooseDevices(devices, held.flat(), need);
        t.deepEqual(chooseDevices(devices, held.flat(), need), chosen, 'the same question has the same answer');
        const free = (kind: string) =>
          devices.filter((one) => one.kind === kind).reduce((sum, { slots = 1 }) => sum + slots, 0) -
          held
            .flat()
            .filter((one) => one.kind === kind)
            .reduce((sum, { slots }) => sum + slots, 0);
        if ('kind' in chosen) {
          t.true((need.get(chosen.kind) ?? 0) > free(chosen.kind));
          t.is(chosen.free, free(chosen.kind));
          continue;
        }
        t.is(new Set(chosen.map(({ kind, id }) => `${kind}/${id}`)).size, chosen.length, 'no device twice');
        for (const [kind, count] of need)
          t.is(
            chosen.filter((one) => one.kind === kind).reduce((sum, { slots }) => sum + slots, 0),
            count,
          );
        if (!ends) held.push([...chosen]);
        for (const { kind, id, slots = 1 } of devices) {
          const used = held.flat().filter((one) => one.kind === kind && one.id === id);
          t.true(used.reduce((sum, one) => sum + one.slots, 0) <= slots, 'slots are kept');
        }
      }
    }),
  );
});

test('an operator leaves devices out and cuts others into slots', (t) => {
  const slots = slotsOf(resourcesOf('gpus:4'));
  if (slots instanceof Fault) throw slots;
  const all = [gpu('a'), gpu('b'), HAILO];
  t.is(formatResources(countDevices(cutDevices(all, { slots }))), 'gpus:8;hailo:1');
  const some = cutDevices(all, { slots, only: namesOf('gpus/b, hailo/x') });
  t.deepEqual(some, [{ ...gpu('b'), slots: 4 }]);
  t.deepEqual(cutDevices(all, { slots, only: namesOf('none') }), []);
  for (const odd of ['hailo:0.5', 'gpus:2000', 'ports:[1-2]']) t.true(slotsOf(resourcesOf(odd)) instanceof Fault, odd);
});

test('values of several devices are joined, each once', (t) => {
  const [a, b] = [gpu('a'), gpu('b')].map((one) => ({ ...one, slots: 1 }));
  if (a === undefined || b === undefined) return t.fail();
  const order = { ...b, environment: { ...b.environment, CUDA_DEVICE_ORDER: 'PCI_BUS_ID' } };
  t.deepEqual(deviceEnvironment([{ ...a, environment: { ...order.environment, CUDA_VISIBLE_DEVICES: 'a' } }, order]), {
    CUDA_VISIBLE_DEVICES: 'a,b',
    NVIDIA_VISIBLE_DEVICES: 'b',
    CUDA_DEVICE_ORDER: 'PCI_BUS_ID',
    MESQ_DEVICES: 'gpus/a,gpus/b',
  });
  t.deepEqual(deviceNodes([a, b]), ['/dev/a', '/dev/nvidiactl', '/dev/b']);
  t.deepEqual(deviceEnvironment([]), {});
  t.deepEqual(withoutDevices([HAILO]), {});
  t.deepEqual(withoutDevices([a]), { CUDA_VISIBLE_DEVICES: '', NVIDIA_VISIBLE_DEVICES: 'void' });
});

test('a task is given exactly its devices, in every start and after a restart of the agent; others are kept from them', async (t) => {
  const world = new AgentWorld();
  world.devices = [gpu('a'), gpu('b'), HAILO];
  await world.up();
  const start = (folder: string) => world.made.get(`batch/${folder}`);
  world.master.place('one', { argv: program({ runMs: 60_000, code: 1 }), restart: 'always', resources: ONE_GPU });
  await world.until(() => world.started.includes('batch/one.0/0'));
  t.like(start('one.0/0')?.environment, { CUDA_VISIBLE_DEVICES: 'a', MESQ_DEVICES: 'gpus/a' });
  t.deepEqual(start('one.0/0')?.devices, ['/dev/a', '/dev/nvidiactl']);
  world.kill();
  // What it was given is on the disk, whatever the machine shows by now.
  world.devices = [gpu('b'), gpu('a')];
  await world.up();
  world.master.place('two', { argv: program({ stays: true }), resources: ONE_GPU });
  world.master.place('none', { argv: program({ stays: true }), resources: resourcesOf('cpus:1') });
  await world.until(() => world.started.includes('batch/two.0/0') && world.started.includes('batch/none.0/0'));
  t.is(start('two.0/0')?.environment['CUDA_VISIBLE_DEVICES'], 'b');
  t.like(start('none.0/0')?.environment, { CUDA_VISIBLE_DEVICES: '', NVIDIA_VISIBLE_DEVICES: 'void' });
  t.deepEqual(start('none.0/0')?.devices, []);
  await world.until(() => world.started.includes('batch/one.0/1'));
  t.is(start('one.0/1')?.environment['CUDA_VISIBLE_DEVICES'], 'a');
});

test('a launch for which too few devices are left is refused alone; what has ended gives its own back', async (t) => {
  const world = new AgentWorld();
  world.devices = [gpu('a')];
  await world.up();
  world.master.place('first', { argv: program({ stays: true }), resources: ONE_GPU });
  await world.until(() => world.started.length === 1);
  const second = world.master.place('second', { argv: program({ stays: true }), resources: ONE_GPU });
  await world.until(() => second.refused !== undefined);
  t.is(second.refused?.message, 'agent pi-1 has 0 free of gpus: not 1');
  world.master.kill('first');
  await world.until(() => world.master.ended('first'));
  world.master.place('third', { argv: program({ stays: true }), resources: ONE_GPU });
  await world.until(() => world.started.includes('batch/third.0/0'));
  t.is(world.made.get('batch/third.0/0')?.environment['CUDA_VISIBLE_DEVICES'], 'a');
});

test('launches that come together get different devices, and one more than there are is refused', async (t) => {
  const world = new AgentWorld();
  world.devices = [gpu('a'), gpu('b')];
  await world.up();
  const tasks = ['x', 'y', 'z'].map((name) => {
    const info = { task: name, attempt: 0, argv: program({ stays: true }), resources: ONE_GPU, restart: 'never' };
    return { framework: 'batch', info: { ...info, killGraceMs: 3_000 } };
  });
  // In one message: none of them is durable when the next is looked at.
  world.master.command({ type: 'RUN', tasks });
  const refused = () => world.master.of('ACCEPTED').flatMap((answer) => answer.refused.map(({ task }) => task));
  await world.until(() => world.started.length === 2 && refused().length > 0);
  const given = world.started.map((folder) => world.made.get(folder)?.environment['CUDA_VISIBLE_DEVICES']);
  t.deepEqual(given.sort(), ['a', 'b']);
  t.deepEqual(new Set(refused()), new Set(['z']));
});

test('what a run was given is in the journal when it is compacted too', (t) => {
  const state = emptyState();
  const info = v.parse(TaskInfo, { task: 't', attempt: 0, argv: ['x'], resources: ONE_GPU });
  const devices = [{ ...gpu('a'), slots: 1 }];
  applyRecord(state, { kind: 'ACCEPTED', framework: 'fw', epoch: 1, info, devices });
  t.deepEqual(recover(stateSlices(state)).runs.get('fw/t.0')?.devices, devices);
});

test('a task of an executor is told of its devices in its LAUNCH', async (t) => {
  const world = new AgentWorld();
  world.devices = [gpu('a')];
  const executors = scriptedExecutors(world);
  await world.up();
  world.master.place('task', { ...executorTask('e', { runMs: 100 }), resources: ONE_GPU });
  await world.until(() => world.master.ended('task'));
  t.like(executors[0]?.launched[0]?.environment, { CUDA_VISIBLE_DEVICES: 'a', MESQ_DEVICES: 'gpus/a' });
});

test('a kind that is gone is not done without', async (t) => {
  const world = new AgentWorld();
  world.devices = [HAILO];
  let devices: readonly OwnDevice[] = [HAILO];
  world.hardware = {
    probe: () => Promise.resolve({ resources: resourcesOf('cpus:4;mem:1024'), attributes: [], devices }),
  };
  await world.up();
  devices = [];
  await world.until(() => world.master.of('REPORT').length > 0);
  const late = world.master.place('late', { argv: program({ stays: true }), resources: resourcesOf('hailo:1') });
  await world.until(() => late.refused !== undefined);
  t.deepEqual(world.started, []);
});
