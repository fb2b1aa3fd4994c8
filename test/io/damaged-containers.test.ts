import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import type { ContainerTask } from '../../io/launcher.ts';
import { SimulatedEngine } from '../sim/containers.ts';
import { simulatedContainerLauncher } from './simulated-container-launcher.ts';

const TASK: ContainerTask = {
  ...{ image: 'image', argv: ['true'], environment: {}, network: 'none', ports: [], mounts: [], devices: [] },
  ...{ limits: {}, pull: 'missing' },
};

test('of a container task that a power cut left half written nothing ran: it is handed over again, ended or removed', async (t) => {
  const root = mkdtempSync(join(tmpdir(), 'mesq-damaged-'));
  t.teardown(() => rmSync(root, { recursive: true }));
  const launcher = await simulatedContainerLauncher(t, root, new SimulatedEngine('image'));
  const half = (folder: string, text: string): string => {
    mkdirSync(join(root, folder), { recursive: true });
    writeFileSync(join(root, folder, 'container'), text);
    return folder;
  };
  for (const text of ['', '{"image":"ima', '\0\0\0\0']) {
    const folder = half('batch/again.0/0', text);
    t.deepEqual(await launcher.adopt(folder), { state: 'missing' });
    t.false(await launcher.signal(folder, 'SIGKILL'));
    await launcher.remove(folder);
    t.false(existsSync(join(root, folder)));
  }
  const ended = half('batch/ended.0/0', '');
  t.true(await launcher.claim(ended));
  t.deepEqual(await launcher.adopt(ended), { state: 'withdrawn' });
  // It ran, and went down with the machine.
  const ran = half('batch/ran.0/0', '');
  writeFileSync(join(root, ran, 'claimed'), '');
  t.deepEqual(await launcher.adopt(ran), { state: 'vanished' });
  const next = half('batch/next.0/0', '');
  const started = new Promise((resolve) => launcher.onStarted(({ folder }) => resolve(folder)));
  await launcher.launch({ folder: next, argv: [], environment: {}, container: TASK });
  t.is(await started, next);
  t.deepEqual(JSON.parse(readFileSync(join(root, next, 'container'), 'utf8')), TASK);
});
