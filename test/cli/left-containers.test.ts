import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { LeftContainers } from '../../cli/start-left-containers.ts';
import { LateEngine } from '../../io/late-engine.ts';
import type { ContainerTask } from '../../io/launcher.ts';
import { launchContainers } from '../../io/node/container-launcher.ts';
import { openOutputFile } from '../../io/node/output-file.ts';
import { noProcesses } from '../io/no-processes.ts';
import { SimulatedEngine } from '../sim/containers.ts';

const IMAGE = 'registry/model:1';
const nothing = (): void => undefined;
const SILENT = { debug: nothing, info: nothing, warn: nothing, error: nothing };

/** A data folder with a container task that runs, and is left by its agent. */
async function leftFolder(t: ExecutionContext, engine: SimulatedEngine): Promise<string> {
  const data = await mkdtemp(join(tmpdir(), 'mesq-left-'));
  t.teardown(() => rm(data, { recursive: true, force: true }));
  const root = join(data, 'tasks');
  await mkdir(root);
  await writeFile(join(data, 'images.json'), `${JSON.stringify({ images: [{ image: IMAGE, bytes: 1 }] })}\n`);
  const late = new LateEngine({
    find: async () => ({ ...(await engine.version()), containers: engine, socket: '/run/a' }),
    isThere: () => Promise.resolve(true),
    log: SILENT,
  });
  await late.look();
  const launcher = await launchContainers({
    engine: late,
    root,
    processes: noProcesses(),
    output: (folder, stream) => openOutputFile(join(root, folder, stream), 1_000),
    log: SILENT,
  });
  const started = new Promise((resolve) => launcher.onStarted(resolve));
  const container: ContainerTask = {
    image: IMAGE,
    argv: ['{"stays":true}'],
    environment: {},
    network: 'none',
    ports: [],
    mounts: [],
    devices: [],
    limits: {},
    pull: 'missing',
  };
  await launcher.launch({ folder: 'batch/t/0', argv: [], environment: {}, container });
  await started;
  await launcher.close();
  return data;
}

test('what an agent that goes has with an engine is counted, ended and removed, and nothing of anybody else', async (t) => {
  const engine = new SimulatedEngine(IMAGE, 'other');
  const data = await leftFolder(t, engine);
  const other = await leftFolder(t, engine);
  const left = new LeftContainers(engine, data);
  t.is(await left.running(), 1);
  t.deepEqual(await left.remove(), { removed: 1, left: [] });
  t.is(await left.running(), 0);
  t.is(await new LeftContainers(engine, other).running(), 1);
  t.deepEqual(await left.removeImages(), []);
  t.not(await engine.image(IMAGE), undefined, 'the other one still needs it');
  await new LeftContainers(engine, other).remove();
  t.deepEqual(await left.removeImages(), []);
  t.is(await engine.image(IMAGE), undefined);
  t.not(await engine.image('other'), undefined);
});

test('of an engine that does not answer, what it may still have is said', async (t) => {
  const engine = new SimulatedEngine(IMAGE);
  const left = new LeftContainers(engine, await leftFolder(t, engine));
  engine.down = true;
  t.is(await left.running(), undefined);
  t.deepEqual(await left.remove(), { removed: 0, left: ['containers: nobody answers'] });
  t.deepEqual(await left.removeImages(), [`image ${IMAGE}: nobody answers`]);
});
