import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import test from 'ava';
import type { FirmwareAdapter, Surroundings } from '../../firmware-adapters/adapter.ts';
import { ADAPTER_NAMES, adapterNamed } from '../../firmware-adapters/catalog.ts';
import { coralAdapter } from '../../firmware-adapters/coral/coral-adapter.ts';
import { hailoAdapter } from '../../firmware-adapters/hailo/hailo-adapter.ts';
import { intelGpuAdapter } from '../../firmware-adapters/intel-gpu/intel-gpu-adapter.ts';
import { jetsonAdapter } from '../../firmware-adapters/jetson/jetson-adapter.ts';
import { linuxAdapter } from '../../firmware-adapters/linux/linux-adapter.ts';
import { nvidiaAdapter } from '../../firmware-adapters/nvidia/nvidia-adapter.ts';
import { raspberryPiAdapter } from '../../firmware-adapters/raspberry-pi/raspberry-pi-adapter.ts';
import { rockchipNpuAdapter } from '../../firmware-adapters/rockchip-npu/rockchip-npu-adapter.ts';
import { deviceFiles } from '../../io/node/device-files.ts';
import { type AdapterHarness, FIRMWARE_ADAPTER_CHECKS } from '../conformance/firmware-adapter.ts';
import * as boards from './fixtures/boards.ts';
import { machineFiles } from './machine-files.ts';

const DISK = { totalBytes: 1e9, freeBytes: 4e8 };

function harness(make: (surroundings: Surroundings) => FirmwareAdapter, board: boards.Board): AdapterHarness {
  return { ...board, make, machine: (files, programs) => machineFiles(files, DISK, undefined, programs) };
}

const HARNESSES: Readonly<Record<string, readonly AdapterHarness[]>> = {
  linux: [{ ...harness(linuxAdapter, boards.PI_5), any: true }],
  'raspberry-pi': [harness(raspberryPiAdapter, boards.PI_5), harness(raspberryPiAdapter, boards.PI_4)],
  jetson: [harness(jetsonAdapter, boards.ORIN_NANO), harness(jetsonAdapter, boards.THOR)],
  nvidia: [harness(nvidiaAdapter, boards.MIG_SERVER), harness(nvidiaAdapter, boards.OLD_CARD)],
  'intel-gpu': [harness(intelGpuAdapter, boards.NUC)],
  hailo: [harness(hailoAdapter, boards.ACCELERATED_PI)],
  coral: [harness(coralAdapter, boards.ACCELERATED_PI)],
  'rockchip-npu': [harness(rockchipNpuAdapter, boards.ROCK_5B)],
};

for (const [name, harnesses] of Object.entries(HARNESSES)) {
  for (const [title, check] of Object.entries(FIRMWARE_ADAPTER_CHECKS)) {
    test(`${name}: ${title}`, async (t) => {
      for (const one of harnesses) await check(t, one);
    });
  }
}

test('the catalog loads adapters by name, and every one is checked here', async (t) => {
  const surroundings = { files: machineFiles({}), dataFolder: '/data' };
  for (const name of ADAPTER_NAMES) t.is((await adapterNamed(name, surroundings))?.name, name);
  t.is(await adapterNamed('toaster', surroundings), undefined);
  t.deepEqual(Object.keys(HARNESSES), [...ADAPTER_NAMES]);
});

test('each claims its own machines and no others', async (t) => {
  const claimed = async (board: boards.Board): Promise<string[]> => {
    const surroundings = { files: machineFiles(board.files, DISK, undefined, board.programs), dataFolder: '/data' };
    const names = await Promise.all(
      ADAPTER_NAMES.map(async (name) =>
        (await (await adapterNamed(name, surroundings))?.probe()) === undefined ? [] : [name],
      ),
    );
    return names.flat().filter((name) => name !== 'linux');
  };
  t.deepEqual(await claimed(boards.PI_5), ['raspberry-pi']);
  t.deepEqual(await claimed(boards.PI_4), ['raspberry-pi']);
  t.deepEqual(await claimed(boards.THOR), ['jetson']);
  t.deepEqual(await claimed(boards.OLD_CARD), ['nvidia']);
  t.deepEqual(await claimed(boards.ACCELERATED_PI), ['raspberry-pi', 'hailo', 'coral']);
  t.deepEqual(await claimed(boards.ROCK_5B), ['rockchip-npu']);
  t.deepEqual(await claimed(boards.NUC), ['intel-gpu']);
});

test('on disk, below a sysroot, each finds the same as in memory', async (t) => {
  for (const [name, harnesses] of Object.entries(HARNESSES)) {
    for (const { files, make } of harnesses) {
      const root = await mkdtemp(join(tmpdir(), 'mesq-sysroot-'));
      t.teardown(() => rm(root, { recursive: true, force: true }));
      for (const [path, content] of Object.entries(files)) {
        await mkdir(dirname(join(root, path)), { recursive: true });
        await writeFile(join(root, path), content);
      }
      const disk = () => Promise.resolve(DISK);
      const onDisk = make({ files: { ...deviceFiles(root), disk }, dataFolder: '/data' });
      const inMemory = make({ files: machineFiles(files, DISK), dataFolder: '/data' });
      t.deepEqual(await onDisk.probe(), await inMemory.probe(), name);
      t.deepEqual(await onDisk.sample(), await inMemory.sample(), name);
    }
  }
});
