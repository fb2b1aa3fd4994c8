import test from 'ava';
import { countDevices } from '../../agent/devices/cut-devices.ts';
import { adapterNamed, suspected } from '../../firmware-adapters/catalog.ts';
import { machineOf } from '../../firmware-adapters/machine.ts';
import { textFiles } from '../../firmware-adapters/text-files.ts';
import { formatAttributes } from '../../protocol/attributes.ts';
import { formatResources } from '../../protocol/resources.ts';
import * as boards from './fixtures/boards.ts';
import { GPU_SERVER, LAPTOP } from './fixtures/machines.ts';
import { machineFiles } from './machine-files.ts';

const GB = 1024 ** 3;
const DISK = { totalBytes: 64 * GB, freeBytes: 16 * GB };

function machine({ files, programs }: boards.Board) {
  return machineOf({ files: machineFiles(files, DISK, undefined, programs), dataFolder: '/data' });
}

const unlessOfLinux = (text: string): string =>
  text
    .split(';')
    .filter((part) => !/^(?:arch|os|kernel|hostname|board|model|virtual):/.test(part))
    .join(';');

async function found(board: boards.Board) {
  const probe = await machine(board).probe();
  return {
    resources: formatResources([
      ...probe.resources.filter(({ name }) => !['mem', 'disk', 'ports'].includes(name)),
      ...countDevices(probe.devices),
    ]),
    attributes: unlessOfLinux(formatAttributes(probe.attributes)),
    devices: probe.devices,
    notes: probe.notes.filter((note) => !/^the (?:number|size) of|of the disk are free/.test(note)),
  };
}

test('a Raspberry Pi 5 without memory limits, hot, on a weak supply and a modem', async (t) => {
  const { resources, attributes, notes, devices } = await found(boards.PI_5);
  t.is(resources, 'cpus:4');
  t.is(attributes, 'memory-cgroup:off');
  t.deepEqual(devices, []);
  t.regex(notes[0] ?? '', /cgroup_enable=memory/);
  const pi = machine(boards.PI_5);
  await pi.probe();
  t.deepEqual(await pi.sample(), {
    temperatureC: 82.3,
    throttled: true,
    throttledSinceBoot: true,
    underVoltage: false,
    underVoltageSinceBoot: true,
    // 0.5 A of 3.3 V and 2 A of 0.75 V; HDMI has no voltage here, the plug no current.
    powerW: 3.15,
    diskUsed: 0.75,
    diskFreeMb: 16_384,
    metered: true,
    cpusOnline: 4,
  });
});

test('a Raspberry Pi 4 whose kernel says it all', async (t) => {
  t.is((await found(boards.PI_4)).attributes, 'cameras:1');
  const pi = machine(boards.PI_4);
  await pi.probe();
  t.deepEqual(await pi.sample(), {
    temperatureC: 48.25,
    throttled: true,
    throttledSinceBoot: true,
    underVoltage: true,
    underVoltageSinceBoot: true,
    diskUsed: 0.75,
    diskFreeMb: 16_384,
    wear: 0.5,
    cpusOnline: 4,
  });
});

test('a Jetson has one GPU, counted once, and no memory of its own', async (t) => {
  const { resources, attributes, devices } = await found(boards.ORIN_NANO);
  t.is(resources, 'cpus:5;gpus:1');
  t.is(attributes, 'gpu:nvidia-orin;gpu.memory:unified;l4t:36.4.3;jetpack:6;power-mode:MAXN_SUPER');
  t.deepEqual(devices, [
    {
      kind: 'gpus',
      id: 'tegra-gpu',
      environment: { CUDA_VISIBLE_DEVICES: '0', NVIDIA_VISIBLE_DEVICES: 'all' },
      nodes: ['/dev/nvhost-gpu', '/dev/nvidia0', '/dev/nvidiactl', '/dev/nvmap'],
    },
  ]);
  const orin = machine(boards.ORIN_NANO);
  await orin.probe();
  t.deepEqual(await orin.sample(), {
    // Of tegrastats, the hottest; the power chip's constant and the sensor without power do not count.
    temperatureC: 54.5,
    powerW: 12,
    acceleratorLoad: 0.993,
    diskUsed: 0.75,
    diskFreeMb: 16_384,
    cpusOnline: 5,
  });
});

test('a Jetson is known by its model, or by the file that JetPack leaves, where the tree says no more', async (t) => {
  const gpuOf = async (model: string, release?: string) =>
    (
      await found({
        files: {
          ...(model === '' ? {} : { '/proc/device-tree/model': `${model}\0` }),
          ...(release === undefined ? {} : { '/etc/nv_tegra_release': release }),
        },
        programs: {},
      })
    ).attributes.split(';')[0];
  t.is(await gpuOf('NVIDIA Jetson Orin Nano Developer Kit'), 'gpu:nvidia-orin');
  t.is(await gpuOf('NVIDIA Jetson Nano Developer Kit'), 'gpu:nvidia-tegra-x1');
  t.is(await gpuOf('NVIDIA Jetson AGX Xavier Developer Kit'), 'gpu:nvidia-xavier');
  t.is(await gpuOf('quill', '# R32 (release), REVISION: 7.1'), 'gpu:nvidia-tegra-x2');
  t.is(await gpuOf('', '# R36 (release), REVISION: 4.3'), 'gpu:nvidia-tegra');
  t.is(await gpuOf('Raspberry Pi 4 Model B Rev 1.4'), '');
});

test('a Thor says its load by NVML alone, and its power by the sum of its rails', async (t) => {
  t.is(
    (await found(boards.THOR)).attributes,
    'gpu:nvidia-thor;gpu.memory:unified;l4t:38.4.0;jetpack:7;power-mode:MAXN',
  );
  const thor = machine(boards.THOR);
  await thor.probe();
  const { acceleratorLoad, powerW } = await thor.sample();
  t.deepEqual([acceleratorLoad, powerW], [0.37, 8.291]);
});

test('the number of cores that are on follows the power mode', async (t) => {
  const files = { ...boards.ORIN_NANO.files };
  const orin = machine({ ...boards.ORIN_NANO, files });
  await orin.probe();
  t.is((await orin.sample()).cpusOnline, 5);
  files['/sys/devices/system/cpu/online'] = '0-1\n';
  t.is((await orin.sample()).cpusOnline, 2);
  t.is(formatResources((await orin.probe()).resources.slice(0, 1)), 'cpus:2');
});

test('a power mode is set by its name or number, and believed once nvpmodel says so', async (t) => {
  const programs: Record<string, string> = { 'nvpmodel -m 0': 'x', 'nvpmodel -q': 'NV Power Mode: 15W\n0\n' };
  const orin = machine({ files: boards.ORIN_NANO.files, programs });
  await orin.probe();
  t.deepEqual(
    orin.capabilities().actions.map(({ name }) => name),
    ['power-mode'],
  );
  t.deepEqual(await orin.act('power-mode', '15W'), { done: true, message: 'power mode 15W' });
  t.deepEqual(await orin.act('power-mode', '0'), { done: true, message: 'power mode 15W' });
  t.false((await orin.act('power-mode', 'MAXN_SUPER')).done);
  t.deepEqual(await orin.act('power-mode', '7W'), {
    done: false,
    message: 'power modes are 0 15W, 1 25W, 2 MAXN_SUPER',
  });
  t.false((await orin.act('explode', '')).done);
});

test('cards by nvidia-smi, one of them cut by MIG', async (t) => {
  const { resources, attributes, devices } = await found(boards.MIG_SERVER);
  t.is(resources, 'cpus:1;gpus:3');
  t.is(attributes, 'gpu:nvidia-a10,nvidia-h100-80gb-hbm3;gpu.memory:23028;gpu.driver:550.54.15;gpu.mig:1g.10gb');
  const shared = ['/dev/nvidia-caps', '/dev/nvidia-uvm'];
  t.deepEqual(
    devices.map(({ id, nodes }) => [id, nodes]),
    [
      ['GPU-1c5e0000-0000-4000-8000-000000000001', [...shared, '/dev/nvidia1', '/dev/nvidiactl']],
      ['MIG-2c5e0000-0000-5000-8000-00000000000a', [...shared, '/dev/nvidia0', '/dev/nvidiactl']],
      ['MIG-2c5e0000-0000-5000-8000-00000000000b', [...shared, '/dev/nvidia0', '/dev/nvidiactl']],
    ],
  );
  t.is(devices[1]?.environment['CUDA_VISIBLE_DEVICES'], 'MIG-2c5e0000-0000-5000-8000-00000000000a');
  const server = machine(boards.MIG_SERVER);
  await server.probe();
  const { acceleratorC, acceleratorLoad, powerW } = await server.sample();
  t.deepEqual([acceleratorC, acceleratorLoad, powerW], [71, 0.26, 380.75]);
});

test('a card of an old driver, cards without nvidia-smi, and a laptop whose card is a node alone', async (t) => {
  t.is((await found(boards.OLD_CARD)).attributes, 'gpu:nvidia-quadro-p400;gpu.memory:2048;gpu.driver:390.157');
  const server = await found({ files: GPU_SERVER, programs: {} });
  t.is(server.resources, 'cpus:8;gpus:2');
  t.is(server.attributes, 'gpu:nvidia-a10');
  t.deepEqual(
    server.devices.map(({ environment }) => environment['CUDA_VISIBLE_DEVICES']),
    ['0', '1'],
  );
  t.is(server.devices[0]?.environment['CUDA_DEVICE_ORDER'], 'PCI_BUS_ID');
  t.is((await found({ files: LAPTOP, programs: {} })).resources, 'cpus:2;gpus:1');
});

test('a Raspberry Pi with a Hailo and two Corals is all of them', async (t) => {
  const { resources, attributes, devices } = await found(boards.ACCELERATED_PI);
  t.is(resources, 'cpus:4;hailo:1;coral:2');
  t.is(attributes, 'hailo:hailo8l;hailo.firmware:4.23.0;coral:pcie,usb');
  t.deepEqual(
    devices.map(({ kind, id, nodes }) => [kind, id, ...nodes]),
    [
      ['hailo', '0001:01:00.0', '/dev/hailo0'],
      ['coral', '0002:01:00.0', '/dev/apex_0'],
      ['coral', 'usb-0', '/dev/bus/usb'],
    ],
  );
});

test('a Coral on USB is the same device after its first use, at another place with another id', async (t) => {
  const {
    '/sys/bus/usb/devices/1-1/idVendor': _,
    '/sys/bus/usb/devices/1-1/idProduct': __,
    ...rest
  } = boards.ACCELERATED_PI.files;
  const files = {
    ...rest,
    '/sys/bus/usb/devices/2-1.4/idVendor': '18d1\n',
    '/sys/bus/usb/devices/2-1.4/idProduct': '9302\n',
  };
  t.deepEqual((await found({ ...boards.ACCELERATED_PI, files })).devices, (await found(boards.ACCELERATED_PI)).devices);
});

test('what has no driver is not offered, and said', async (t) => {
  const { '/dev/hailo0': _, '/dev/apex_0': __, ...rest } = boards.ACCELERATED_PI.files;
  const bare = await found({ ...boards.ACCELERATED_PI, files: { ...rest, '/dev/null': '' } });
  t.is(bare.resources, 'cpus:4;coral:1');
  t.deepEqual(bare.notes, [
    'a Hailo is there, and its driver is not loaded',
    'a Coral is on PCIe, and its driver is not loaded',
  ]);
});

test('a Rockchip has one NPU of three cores', async (t) => {
  const { resources, attributes, devices } = await found(boards.ROCK_5B);
  t.is(resources, 'cpus:8;npu:1');
  t.is(attributes, 'npu:rk3588;npu.cores:3');
  t.deepEqual(devices[0]?.nodes, ['/dev/dri/renderD129']);
  const rock = machine(boards.ROCK_5B);
  await rock.probe();
  t.is((await rock.sample()).acceleratorLoad, 0.45);
});

test('the GPU of a processor is no card, and a battery of a mouse is no battery', async (t) => {
  const { resources, attributes } = await found(boards.NUC);
  t.is(resources, 'cpus:1;igpu:1;gpus:1');
  t.is(attributes, 'gpu:intel;igpu:intel');
  const nuc = machine(boards.NUC);
  await nuc.probe();
  t.deepEqual(await nuc.sample(), {
    powerW: 1.25,
    diskUsed: 0.75,
    diskFreeMb: 16_384,
    acceleratorLoad: 0.34,
    battery: 0.18,
    onBattery: true,
  });
});

test('only what may be there is loaded', async (t) => {
  const speaks = (files: Readonly<Record<string, string>>) => suspected(textFiles(machineFiles(files)));
  t.deepEqual(await speaks({}), ['linux']);
  t.deepEqual(await speaks(boards.ORIN_NANO.files), ['linux', 'jetson']);
  t.deepEqual(await speaks(boards.ACCELERATED_PI.files), ['linux', 'raspberry-pi', 'hailo', 'coral']);
  t.deepEqual(await speaks(boards.MIG_SERVER.files), ['linux', 'nvidia']);
  t.deepEqual(await speaks(boards.NUC.files), ['linux', 'intel-gpu']);
  t.deepEqual(await speaks(boards.ROCK_5B.files), ['linux', 'rockchip-npu']);
  t.is(await adapterNamed('toaster', { files: machineFiles({}), dataFolder: '/data' }), undefined);
});
