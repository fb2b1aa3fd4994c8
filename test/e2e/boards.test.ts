import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import test from 'ava';
import type { AgentView } from '../../protocol/operator.ts';
import { Fault } from '../../sdk/index.ts';
import { Cluster, eventually } from './cluster.ts';

const UUIDS = ['GPU-1c5e0000-0000-4000-8000-00000000000a', 'GPU-1c5e0000-0000-4000-8000-00000000000b'];

const BOARD: Readonly<Record<string, string>> = {
  '/proc/sys/kernel/random/boot_id': '5b1f4dc8-31c6-4d0e-9a39-8a0f9a1a7f10\n',
  '/proc/device-tree/model': 'Raspberry Pi 5 Model B Rev 1.0\0',
  '/proc/device-tree/compatible': 'raspberrypi,5-model-b\0brcm,bcm2712\0',
  '/sys/devices/system/cpu/online': '0-5\n',
  '/sys/devices/platform/soc/soc:firmware/get_throttled': '10000\n',
  '/sys/class/thermal/thermal_zone0/temp': '60000\n',
  '/proc/driver/nvidia/gpus/0000:01:00.0/information': `Model: \t\t NVIDIA A10\nGPU UUID: \t ${UUIDS[0]}\nDevice Minor: \t 0\n`,
  '/proc/driver/nvidia/gpus/0000:02:00.0/information': `Model: \t\t NVIDIA A10\nGPU UUID: \t ${UUIDS[1]}\nDevice Minor: \t 1\n`,
  '/sys/bus/pci/devices/0001:01:00.0/vendor': '0x1e60\n',
  '/sys/bus/pci/devices/0001:01:00.0/device': '0x2864\n',
};

async function write(root: string, files: Readonly<Record<string, string>>): Promise<void> {
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), content);
  }
}

test('a board is known, its tasks have their devices, and its health changes what it offers', async (t) => {
  const cluster = await Cluster.start(t, {});
  const sysroot = join(cluster.folder, 'board');
  await write(sysroot, BOARD);
  const options = { sysroot, resources: 'mem:1024;disk:64;ports:[31000-31009]', more: ['--slots', 'hailo:2'] };
  await cluster.startAgent('a1', options);
  const client = await cluster.client();
  const agent = async (): Promise<AgentView> => {
    const answer = await client.request('agents', {});
    const found = answer instanceof Fault ? undefined : answer.agents.find(({ name }) => name === 'a1');
    if (found === undefined) throw new Error('the agent is unknown');
    return found;
  };
  const first = await agent();
  t.true(first.resources.total.endsWith('cpus:6;gpus:2;hailo:2'), first.resources.total);
  t.like(first.attributes, {
    board: 'raspberry-pi-5',
    gpu: 'nvidia-a10',
    'under-voltage': 'since-boot',
    'hailo.slots': '2',
  });

  const says = async (needs: readonly string[], ...command: readonly string[]): Promise<string> => {
    const { stdout, code, stderr } = await cluster.mesq('run', ...needs, '--', ...command);
    t.is(code, 0, stderr);
    return stdout;
  };
  const own = 'echo "$CUDA_VISIBLE_DEVICES|$NVIDIA_VISIBLE_DEVICES|$MESQ_DEVICES"';
  t.is(await says(['--gpus', '2'], 'sh', '-c', own), `${UUIDS}|${UUIDS}|${UUIDS.map((id) => `gpus/${id}`)}\n`);
  t.is(await says(['--accelerators', 'hailo:1'], 'sh', '-c', own), '|void|hailo/0001:01:00.0\n');

  // Switched to a mode with two cores, while it runs.
  await write(sysroot, { '/sys/devices/system/cpu/online': '0-1\n' });
  await eventually(async () => (await agent()).resources.total.includes('cpus:2;') || undefined);

  // What it finds when it starts, it believes at once.
  await cluster.agents.get('a1')?.end('SIGKILL');
  await write(sysroot, {
    '/sys/class/thermal/thermal_zone0/temp': '97000\n',
    '/sys/devices/platform/soc/soc:firmware/get_throttled': '50005\n',
  });
  cluster.spawnAgent('a1', options);
  const hot = await eventually(async () => {
    const now = await agent();
    return now.attributes['overheated'] === undefined ? undefined : now;
  });
  t.like(hot.attributes, { hot: 'true', throttled: 'now', 'under-voltage': 'now', 'drain-wish': 'heat' });
  t.is(hot.resources.total, '');
});
