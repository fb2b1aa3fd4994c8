import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { LateEngine } from '../../io/late-engine.ts';
import type { ContainerTask, TaskExit } from '../../io/launcher.ts';
import { launchContainers } from '../../io/node/container-launcher.ts';
import { openOutputFile } from '../../io/node/output-file.ts';
import { SimulatedEngine } from '../sim/containers.ts';
import { noProcesses } from './no-processes.ts';

const TASK: ContainerTask = {
  ...{ image: 'image', argv: ['{"stays":true}'], environment: {}, network: 'none', ports: [], mounts: [], devices: [] },
  ...{ limits: { memoryBytes: 33_554_432 }, pull: 'missing' },
};

/** Says that a signal was sent only when the end is told, or would have been long ago. */
class SlowWord extends SimulatedEngine {
  readonly #told: Promise<unknown>;
  readonly #lost: boolean;

  constructor(told: Promise<unknown>, lost: boolean) {
    super('image');
    this.#told = told;
    this.#lost = lost;
  }

  override async signal(name: string, signal: string): Promise<boolean> {
    const sent = await super.signal(name, signal);
    await Promise.race([this.#told, new Promise((resolve) => setTimeout(resolve, 300))]);
    if (this.#lost) throw new Error('the engine went away');
    return sent;
  }
}

async function killed(t: ExecutionContext, lost: boolean): Promise<TaskExit> {
  const root = mkdtempSync(join(tmpdir(), 'mesq-killed-'));
  t.teardown(() => rmSync(root, { recursive: true }));
  let tell: (exit: TaskExit) => void = () => undefined;
  const told = new Promise<TaskExit>((resolve) => {
    tell = resolve;
  });
  const containers = new SlowWord(told, lost);
  const log = { debug: t.log, info: t.log, warn: t.log, error: t.log };
  const found = { ...(await containers.version()), containers, socket: '/run/engine' };
  const engine = new LateEngine({ find: async () => found, isThere: async () => true, log });
  await engine.look();
  const output = (folder: string, stream: string) => openOutputFile(join(root, folder, stream), 1_000_000);
  const launcher = await launchContainers({ engine, root, processes: noProcesses(root), output, log });
  t.teardown(() => launcher.close());
  launcher.onExit(tell);
  const started = new Promise((resolve) => launcher.onStarted(resolve));
  await launcher.launch({ folder: 'batch/a.0/0', argv: [], environment: {}, container: TASK });
  await started;
  if (lost) await t.throwsAsync(launcher.signal('batch/a.0/0', 'SIGKILL'));
  else t.true(await launcher.signal('batch/a.0/0', 'SIGKILL'));
  return await told;
}

test('who was killed from here did not run out of memory, also if its end is heard of before the engine’s answer', async (t) => {
  t.deepEqual(await killed(t, false), { folder: 'batch/a.0/0', code: 137 });
});

test('nor is it said of one whose engine went away before it answered', async (t) => {
  t.deepEqual(await killed(t, true), { folder: 'batch/a.0/0', code: 137 });
});
