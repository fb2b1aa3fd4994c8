import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { type MachineOptions, machineWishes, readyMachine, sysrootProblem } from '../../cli/start-machine.ts';
import { formatAttributes } from '../../protocol/attributes.ts';
import { Fault } from '../../protocol/faults.ts';
import { formatResources } from '../../protocol/resources.ts';
import { MIG_SERVER, ORIN_NANO } from '../firmware-adapters/fixtures/boards.ts';

async function written(t: ExecutionContext, files: Readonly<Record<string, string>>): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), 'mesq-machine-'));
  t.teardown(() => rm(root, { recursive: true, force: true }));
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), content);
  }
  return root;
}

async function ready(options: MachineOptions) {
  const wishes = machineWishes(options);
  return wishes instanceof Fault ? wishes : await readyMachine(options, tmpdir(), wishes);
}

async function offered(options: MachineOptions): Promise<string> {
  const machine = await ready(options);
  if (machine instanceof Fault) return `${machine.code} ${machine.message}`;
  const { resources, attributes } = machine.machine.found;
  const own = resources.filter(({ name }) => !['cpus', 'mem', 'disk', 'ports'].includes(name));
  const told = attributes.filter(({ name }) => /slots|metered|site|^gpu$/.test(name));
  return `${formatResources(own)} ${formatAttributes(told)}`;
}

test('devices are counted, cut, left out, and never more than there are', async (t) => {
  const sysroot = await written(t, MIG_SERVER.files);
  const kind = 'gpu:nvidia-a10,nvidia-h100';
  t.is(await offered({ sysroot }), `gpus:2 ${kind}`);
  t.is(await offered({ sysroot, slots: 'gpus:4' }), `gpus:8 ${kind};gpus.slots:4`);
  t.is(await offered({ sysroot, devices: 'gpus/1' }), `gpus:1 ${kind}`);
  t.is(await offered({ sysroot, devices: 'none' }), ` ${kind}`);
  t.is(await offered({ sysroot, resources: 'gpus:1;tpus:3' }), `gpus:1;tpus:3 ${kind}`);
  t.is(await offered({ sysroot, resources: 'gpus(vision):1;gpus:1' }), `gpus(vision):1;gpus:1 ${kind}`);
  t.is(await offered({ sysroot, resources: 'gpus:3' }), 'BAD_RESOURCES --resources gpus:3: this machine has 2');
  t.is(await offered({ sysroot, resources: 'gpus:3', slots: 'gpus:2' }), `gpus:3 ${kind};gpus.slots:2`);
  t.is(await offered({ sysroot, devices: 'gpus/7' }), 'BAD_USAGE --devices: there is no gpus/7');
});

test('a folder that stands for the machine has to be there', async (t) => {
  const sysroot = await written(t, { 'srv/board/etc/machine-id': 'x' });
  t.is(sysrootProblem({}), undefined);
  t.is(sysrootProblem({ sysroot }), undefined);
  t.is(sysrootProblem({ sysroot: '/srv/board' }, sysroot), undefined, 'in an image');
  t.like(sysrootProblem({ sysroot: `${sysroot}/none` }), { code: 'BAD_USAGE' });
  t.like(sysrootProblem({ sysroot: `${sysroot}/srv/board/etc/machine-id` }), { code: 'BAD_USAGE' });
});

test('what a person says is understood, or refused with a word about it', async (t) => {
  const sysroot = await written(t, {});
  t.is(await offered({ sysroot, metered: true, attributes: 'site:roof' }), ' site:roof;metered:true');
  t.is(await offered({ sysroot, metered: true, attributes: 'metered:seldom' }), ' metered:seldom');
  t.is(await offered({ sysroot, resources: 'gpus:1' }), 'gpus:1 ', 'of what nobody can find, a person is believed');
  const refusals: readonly (readonly [MachineOptions, string])[] = [
    [{ slots: 'gpus:0.5' }, 'BAD_RESOURCES'],
    [{ health: 'cold:1' }, 'BAD_ATTRIBUTES'],
    [{ resources: 'disk(a)[v]:1' }, 'BAD_RESOURCES'],
    [{ powerMode: '15W' }, 'UNSUPPORTED'],
  ];
  for (const [options, code] of refusals) {
    const fault = await ready({ ...options, sysroot });
    t.true(fault instanceof Fault && fault.code === code, JSON.stringify(options));
  }
});

test('what is found again is cut and counted the same, and what is gone is offered no more', async (t) => {
  const sysroot = await written(t, MIG_SERVER.files);
  const first = await ready({ sysroot, resources: 'gpus:3;cpus:1', slots: 'gpus:2' });
  if (first instanceof Fault) return t.fail(first.message);
  const look = async () => {
    const found = await first.machine.probe?.();
    return [formatResources(found?.resources.slice(0, 2) ?? []), found?.devices.length];
  };
  t.deepEqual(await look(), ['gpus:3;cpus:1', 2]);
  await rm(join(sysroot, '/proc/driver/nvidia/gpus/0000:c1:00.0'), { recursive: true });
  t.deepEqual(await look(), ['gpus:2;cpus:1', 1]);
});

test('how the machine is when it is looked at first is known before it joins', async (t) => {
  const sysroot = await written(t, ORIN_NANO.files);
  const machine = await ready({ sysroot, health: 'hot:50' });
  if (machine instanceof Fault) return t.fail(machine.message);
  const { reading, thresholds } = machine.machine;
  t.like(reading, { temperatureC: 53.9, cpusOnline: 5 });
  t.is(thresholds?.hot.on, 50);
});
