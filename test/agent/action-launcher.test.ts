import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { ActionLauncher } from '../../agent/action-launcher.ts';
import { removeFolders } from '../../io/node/remove-folders.ts';
import { fileStorage } from '../../io/node/storage.ts';
import { taskFolders } from '../../io/node/task-folders.ts';
import { type Errand, type LauncherWorld, launcherConformance } from '../conformance/launcher.ts';

const SILENT = { debug: ignore, info: ignore, warn: ignore, error: ignore };

interface ActionWorld extends LauncherWorld {
  attach(): Promise<ActionLauncher>;
  readonly root: string;
  /** What was begun, in order. */
  readonly begun: Errand[];
}

/** Actions that do what their only word says, in the folder of a real disk. */
async function actionWorld(): Promise<ActionWorld> {
  const root = await mkdtemp(join(tmpdir(), 'mesq-actions-'));
  const begun: Errand[] = [];
  let running = 0;
  let launcher: ActionLauncher | undefined;
  return {
    root,
    begun,
    attach: () => {
      launcher = new ActionLauncher({
        storage: fileStorage(root),
        folders: () => taskFolders(root),
        remove: (folders) => removeFolders(folders.map((folder) => join(root, folder))),
        run: ([text = '{}'], progress) => {
          const errand = JSON.parse(text) as Errand;
          begun.push(errand);
          running++;
          progress('begun');
          const end = { code: errand.code ?? 0, message: 'done', output: errand.output ?? '' };
          const result: Promise<typeof end> = errand.stays === true ? new Promise(ignore) : Promise.resolve(end);
          void result.then(() => running--);
          return { result, stop: () => running-- };
        },
        pid: process.pid,
        log: SILENT,
      });
      return Promise.resolve(launcher);
    },
    argv: (errand) => [JSON.stringify(errand)],
    wait: (promise) => promise,
    killAgent: () => Promise.resolve(),
    killLauncher: () => Promise.resolve(),
    freeze: () => Promise.resolve(launcher?.rest()),
    thaw: () => Promise.resolve(launcher?.wake()),
    stdout: (folder) => readFile(join(root, folder, 'stdout'), 'utf8').catch(() => ''),
    processes: async (_folder, count) => {
      while (running !== count) await new Promise((resolve) => setTimeout(resolve, 1));
    },
    end: async () => {
      await launcher?.close();
      await rm(root, { recursive: true, force: true });
    },
  };
}

launcherConformance(test, 'actions', actionWorld, { processes: false });

function task(world: ActionWorld, folder: string, errand: Errand) {
  return { folder, argv: world.argv(errand), environment: {} };
}

test('actions run one at a time, and tell how far they are and what became of them', async (t) => {
  const world = await actionWorld();
  t.teardown(() => world.end());
  const launcher = await world.attach();
  const told: string[] = [];
  launcher.onProgress((folder, text) => told.push(`${folder} ${text}`));
  const ended = new Promise<void>((resolve) =>
    launcher.onExit(({ folder, code, message }) => {
      told.push(`${folder} ${code} ${message}`);
      if (folder === 'b/0') resolve();
    }),
  );
  const first = new Promise<void>((resolve) => launcher.onStarted(() => resolve()));
  await launcher.launch(task(world, 'a/0', { stays: true }));
  await first;
  await launcher.launch(task(world, 'b/0', { output: 'second' }));
  t.deepEqual(await launcher.adopt('b/0'), { state: 'unclaimed' });
  t.true(await launcher.signal('a/0', 'SIGTERM'));
  t.false(await launcher.signal('a/0', 'SIGKILL'), 'it has ended');
  await ended;
  t.deepEqual(told, ['a/0 begun', 'a/0 143 given up; what the device has begun may go on', 'b/0 begun', 'b/0 0 done']);
  t.deepEqual(await launcher.adopt('b/0'), { state: 'exited', code: 0, message: 'done' });
});

test('one that was under way when its process ended has vanished, and does not begin again', async (t) => {
  const world = await actionWorld();
  t.teardown(() => world.end());
  const first = await world.attach();
  const begins = new Promise<void>((resolve) => first.onStarted(() => resolve()));
  await first.launch(task(world, 'a/0', { stays: true }));
  await begins;
  await first.launch(task(world, 'b/0', {}));
  const second = await world.attach();
  t.deepEqual(await second.adopt('a/0'), { state: 'vanished' });
  t.deepEqual(await second.adopt('b/0'), { state: 'missing' }, 'it never began');
  await second.launch(task(world, 'a/0', { stays: true }));
  const ended = new Promise<string>((resolve) => second.onExit(({ folder }) => resolve(folder)));
  await second.launch(task(world, 'b/0', { code: 3 }));
  t.is(await ended, 'b/0');
  t.is(world.begun.length, 2);
});

function ignore(): void {}
