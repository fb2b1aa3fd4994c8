import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { EngineError } from '../../io/containers.ts';
import type { ContainerTask, TaskExit } from '../../io/launcher.ts';
import { SimulatedEngine } from '../sim/containers.ts';
import { simulatedContainerLauncher } from './simulated-container-launcher.ts';

const TASK: ContainerTask = {
  ...{ image: 'image', argv: ['{"stays":true}'], environment: {}, network: 'none', ports: [], mounts: [], devices: [] },
  ...{ limits: { memoryBytes: 33_554_432 }, pull: 'missing' },
};

/** Says that a signal was sent only when the end is told, or would have been long ago. */
class SlowWord extends SimulatedEngine {
  readonly #told: Promise<unknown>;
  readonly #failure: EngineError | undefined;

  constructor(told: Promise<unknown>, failure: EngineError | undefined) {
    super('image');
    this.#told = told;
    this.#failure = failure;
  }

  override async signal(name: string, signal: string): Promise<boolean> {
    const sent = await super.signal(name, signal);
    await Promise.race([this.#told, new Promise((resolve) => setTimeout(resolve, 300))]);
    if (this.#failure !== undefined) throw this.#failure;
    return sent;
  }
}

async function killed(t: ExecutionContext, failure?: EngineError): Promise<TaskExit> {
  const root = mkdtempSync(join(tmpdir(), 'mesq-killed-'));
  t.teardown(() => rmSync(root, { recursive: true }));
  let tell: (exit: TaskExit) => void = () => undefined;
  const told = new Promise<TaskExit>((resolve) => {
    tell = resolve;
  });
  const launcher = await simulatedContainerLauncher(t, root, new SlowWord(told, failure));
  launcher.onExit(tell);
  const started = new Promise((resolve) => launcher.onStarted(resolve));
  await launcher.launch({ folder: 'batch/a.0/0', argv: [], environment: {}, container: TASK });
  await started;
  if (failure !== undefined) await t.throwsAsync(launcher.signal('batch/a.0/0', 'SIGKILL'));
  else t.true(await launcher.signal('batch/a.0/0', 'SIGKILL'));
  return await told;
}

test('who was killed from here did not run out of memory, also if its end is heard of before the engine’s answer', async (t) => {
  t.deepEqual(await killed(t), { folder: 'batch/a.0/0', code: 137 });
});

test('nor is it said of one whose engine went away before it answered', async (t) => {
  t.deepEqual(await killed(t, new EngineError('UNAVAILABLE', 'it went away')), { folder: 'batch/a.0/0', code: 137 });
});

test('a signal that the engine refused to send has killed nobody: the kernel has', async (t) => {
  const refused = new EngineError('REFUSED', 'no signals here');
  t.deepEqual(await killed(t, refused), { folder: 'batch/a.0/0', code: 137, outOfMemory: 'limit' });
});
