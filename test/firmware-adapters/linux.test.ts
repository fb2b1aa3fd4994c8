import test from 'ava';
import fc from 'fast-check';
import * as v from 'valibot';
import { boardOf, productOf, serialOf } from '../../firmware-adapters/linux/board.ts';
import { parseCgroupPaths } from '../../firmware-adapters/linux/cgroup.ts';
import { diskOnOffer, memoryOnOffer } from '../../firmware-adapters/linux/defaults.ts';
import { countCpus } from '../../firmware-adapters/linux/hardware.ts';
import { linuxAdapter } from '../../firmware-adapters/linux/linux-adapter.ts';
import type { Disk, Host } from '../../io/device-files.ts';
import { Identity } from '../../protocol/agent-link.ts';
import { AttributesSchema, formatAttributes } from '../../protocol/attributes.ts';
import { formatResources, ResourcesSchema } from '../../protocol/resources.ts';
import * as machines from './fixtures/machines.ts';
import { machineFiles } from './machine-files.ts';

const GB = 1024 ** 3;
const DISK: Disk = { totalBytes: 64 * GB, freeBytes: 64 * GB };

function probe(machine: machines.Machine, disk = DISK, host?: Host) {
  return linuxAdapter({ files: machineFiles(machine, disk, host), dataFolder: '/data' }).probe();
}

test('a Raspberry Pi', async (t) => {
  const found = await probe(machines.RASPBERRY_PI_5);
  t.is(formatResources(found.resources), 'cpus:4;mem:7027;disk:60416;ports:[31000-32000]');
  t.is(
    formatAttributes(found.attributes),
    'arch:arm64;os:debian;kernel:6.6.62+rpt-rpi-2712;hostname:raspberrypi;board:raspberry-pi-5;model:Raspberry Pi 5 Model B Rev 1.0',
  );
  t.deepEqual(found.identity, { machine: '0123456789abcdef0123456789abcdef', serial: '0123456789abcdef' });
  t.is(found.boot, '5b1f4dc8-31c6-4d0e-9a39-8a0f9a1a7f10');
  t.is(found.hostname, 'raspberrypi');
  t.deepEqual(found.notes, []);
});

test('cores of a Jetson may be off', async (t) => {
  const found = await probe(machines.JETSON_ORIN_NANO);
  t.is(formatResources(found.resources), 'cpus:5;mem:6595;disk:60416;ports:[31000-32000]');
  t.is(
    formatAttributes(found.attributes),
    'arch:arm64;os:ubuntu;kernel:5.15.148-tegra;hostname:orin;board:jetson-orin-nano;model:NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super',
  );
});

test('a virtual machine, on half of the cpus', async (t) => {
  const found = await probe(machines.GPU_SERVER);
  t.is(formatResources(found.resources), 'cpus:8;mem:63362;disk:60416;ports:[31000-32000]');
  t.is(
    formatAttributes(found.attributes),
    'arch:x64;os:debian;kernel:6.1.0-18-amd64;hostname:gpu1;board:standard-pc-q35-ich9-2009;model:Standard PC (Q35 + ICH9, 2009);virtual:true',
  );
  t.deepEqual(found.identity, { machine: '', serial: '4c4c4544-0042-3510-8054-b4c04f4d5332' });
});

test('a laptop whose maker filled nothing in', async (t) => {
  const found = await probe(machines.LAPTOP, { totalBytes: 8 * GB, freeBytes: GB });
  t.is(formatResources(found.resources), 'cpus:2;mem:749;disk:4096;ports:[31000-32000]');
  t.is(formatAttributes(found.attributes), 'arch:x64;hostname:localhost');
  t.deepEqual(found.identity, { machine: '', serial: '' });
  t.deepEqual(found.notes, [
    'only 1024 MB of the disk are free, of 4096 MB on offer: --resources disk:1024 offers less',
  ]);
});

test('offers no more than its cgroup allows', async (t) => {
  t.is(
    formatResources((await probe(machines.NESTED_CGROUPS)).resources),
    'cpus:1.5;mem:3072;disk:60416;ports:[31000-32000]',
  );
  t.is(formatResources((await probe(machines.CONTAINER)).resources), 'cpus:0.5;mem:256;disk:60416;ports:[31000-32000]');
  t.is(
    formatResources((await probe(machines.HYBRID_CGROUPS)).resources),
    'cpus:2;mem:2048;disk:60416;ports:[31000-32000]',
  );
});

test('a machine that says nothing gets the defaults of Mesos, and notes', async (t) => {
  const found = await linuxAdapter({ files: machineFiles({}), dataFolder: '/data' }).probe();
  t.is(formatResources(found.resources), 'cpus:1;mem:1024;disk:10240;ports:[31000-32000]');
  t.is(formatAttributes(found.attributes), 'hostname:localhost');
  t.is(found.notes.length, 3);
  t.deepEqual([found.identity, found.boot, found.hostname], [{ machine: '', serial: '' }, '', 'localhost']);
});

test('a limit of version 1 that is none does not pass for memory', async (t) => {
  const {
    '/proc/meminfo': _,
    '/sys/fs/cgroup/memory/lab/memory.limit_in_bytes': __,
    ...rest
  } = machines.HYBRID_CGROUPS;
  t.is(formatResources((await probe(rest)).resources), 'cpus:2;mem:1024;disk:60416;ports:[31000-32000]');
});

test('the running process knows more than files: it may be a 32-bit one', async (t) => {
  const host: Host = { architecture: 'arm', hostname: 'real', cpus: 3, memoryBytes: 4 * GB };
  const pi = await probe(machines.RASPBERRY_PI_5, DISK, host);
  t.true(formatAttributes(pi.attributes).startsWith('arch:arm;'));
  t.is(pi.hostname, 'real');
  t.is(formatResources((await probe({}, DISK, host)).resources), 'cpus:3;mem:3072;disk:60416;ports:[31000-32000]');
});

test('boards have short names', (t) => {
  const models: readonly (readonly [string, string | undefined])[] = [
    ['Raspberry Pi 4 Model B Rev 1.4', 'raspberry-pi-4'],
    ['Raspberry Pi 3 Model B Plus Rev 1.3', 'raspberry-pi-3'],
    ['Raspberry Pi Zero 2 W Rev 1.0', 'raspberry-pi-zero-2-w'],
    ['Raspberry Pi Compute Module 4 Rev 1.1', 'raspberry-pi-compute-module-4'],
    ['NVIDIA Jetson Nano Developer Kit', 'jetson-nano'],
    ['NVIDIA Jetson AGX Orin Developer Kit', 'jetson-agx-orin'],
    ['NVIDIA Jetson Orin NX Engineering Reference Developer Kit', 'jetson-orin-nx'],
    ['NVIDIA Jetson Xavier NX Developer Kit', 'jetson-xavier-nx'],
    ['Jetson-AGX', 'jetson-agx-xavier'],
    ['quill', 'jetson-tx2'],
    ['Radxa ROCK 5B', 'radxa-rock-5b'],
    ['Orange Pi 5 Plus', 'orange-pi-5-plus'],
    ['', undefined],
    ['!!', undefined],
  ];
  for (const [model, board] of models) t.is(boardOf(model), board, model);
  t.is(productOf('XPS 13 9310'), 'xps-13-9310');
  for (const product of ['Default string', 'System Product Name', 'None', 'Not Specified', ''])
    t.is(productOf(product), undefined);
  for (const serial of ['0000000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff', 'To be filled by O.E.M.', '']) {
    t.is(serialOf(serial), undefined, serial);
  }
});

test('sets aside what Mesos sets aside', (t) => {
  t.deepEqual([2 * GB, 2 * GB - 1, 0].map(memoryOnOffer), [1024, 1023, 0]);
  t.deepEqual([10 * GB, 10 * GB - 1, 0].map(diskOnOffer), [5120, 5119, 0]);
});

test('reads lists of cpus and of cgroups', (t) => {
  t.deepEqual(['0-3', '0', '0,2-3, 7', '', '3-1', 'x', '0-'].map(countCpus), [
    4,
    1,
    4,
    undefined,
    undefined,
    undefined,
    undefined,
  ]);
  t.deepEqual(parseCgroupPaths('3:cpu,cpuacct:/a:b\nnonsense\n0::/x y\n').v2, '/x y');
  t.deepEqual(parseCgroupPaths('3:cpu,cpuacct:/a:b').v1.get('cpuacct'), { folder: 'cpu,cpuacct', path: '/a:b' });
});

test('truncated and odd files never make a probe fail, nor say what cannot be sent', async (t) => {
  const machine = fc.constantFrom(...Object.values(machines));
  const damage = fc.oneof(
    fc.record({ cut: fc.nat(40) }),
    fc.record({
      text: fc.oneof(
        fc.string({ unit: 'binary', maxLength: 300 }),
        fc.constantFrom('-1', '0', 'max', '9'.repeat(30), '0-999999', ':::\n'),
      ),
    }),
  );
  await fc.assert(
    fc.asyncProperty(machine, fc.array(fc.option(damage), { minLength: 20, maxLength: 20 }), async (whole, damages) => {
      const damaged = Object.entries(whole).map(([path, content], index) => {
        const what = damages[index];
        if (!what) return [path, content];
        return [path, 'cut' in what ? content.slice(0, what.cut) : what.text];
      });
      const found = await probe(Object.fromEntries(damaged));
      t.deepEqual(v.parse(ResourcesSchema, found.resources), found.resources);
      t.deepEqual(v.parse(AttributesSchema, found.attributes), [...found.attributes]);
      t.deepEqual(v.parse(Identity, found.identity), found.identity);
      t.regex(found.hostname, /^[\x21-\x7e]{0,128}$/);
    }),
    { numRuns: 300 },
  );
});
