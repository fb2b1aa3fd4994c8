import type { ExecutionContext } from 'ava';
import type { Launcher, TaskExit, TaskStart, TaskState } from '../../io/launcher.ts';

const MB = 1_048_576;

/** What a task of these tests does; every world says it in its own words. */
export interface Errand {
  /** Written when all else that is asked of it is in place. */
  readonly output?: string;
  /** It ends only by a signal. */
  readonly stays?: boolean;
  readonly code?: number;
  readonly ignoresTerm?: boolean;
  /** Leaves a child in the group that ends only by a signal. */
  readonly forks?: boolean;
  /** Leaves a child in a session of its own, which signals to the group do not reach. */
  readonly escapes?: boolean;
  /** MB of memory that it takes before it does the rest. */
  readonly uses?: number;
}

/** A machine with a launcher, and an agent attached to it. */
export interface LauncherWorld {
  attach(): Promise<Launcher>;
  argv(errand: Errand): TaskStart['argv'];
  /** Waits for `promise` while the world's time passes. */
  wait<T>(promise: Promise<T>): Promise<T>;
  /** The agent attached last is gone without a word; waits for nothing. */
  killAgent(): Promise<void>;
  /** kill -9 of the launcher process's main loop. */
  killLauncher(): Promise<void>;
  /** The launcher process reads nothing more until `thaw`. */
  freeze(): Promise<void>;
  thaw(): Promise<void>;
  stdout(folder: string): Promise<string>;
  /** Resolves when the task has exactly `count` processes. */
  processes(folder: string, count: number): Promise<void>;
  /** Ends everything and removes every trace. */
  end(): Promise<void>;
}

/** Registers with `test` what every {@link Launcher} must do that has control groups for its tasks. */
export function cgroupConformance(register: Register, name: string, makeWorld: () => Promise<LauncherWorld>): void {
  const scene = scenes(register, name, makeWorld);

  scene('a task that takes more memory than its limit is ended, and it is told why', async (t, world, launcher) => {
    const told = new Map<string, TaskExit>();
    launcher.onExit((exit) => told.set(exit.folder, exit));
    const end = exits(launcher, 2);
    for (const [folder, mb] of [
      ['small', 48],
      ['roomy', 256],
    ] as const)
      await launcher.launch({
        folder,
        argv: world.argv({ uses: 96, code: 3 }),
        environment: {},
        limits: { memoryBytes: mb * 1_048_576 },
      });
    const codes = await world.wait(end);
    t.is(codes.get('small'), 137);
    t.is(told.get('small')?.outOfMemory, 'limit');
    t.is(told.get('small')?.usage?.memoryPeakBytes, 48 * 1_048_576);
    t.is(codes.get('roomy'), 3);
    t.is(told.get('roomy')?.outOfMemory, undefined);
    t.true((told.get('roomy')?.usage?.memoryPeakBytes ?? 0) >= 96 * 1_048_576);
  });

  scene('an agent that comes back hears why a task ended, also once it is swept', async (t, world, first) => {
    const end = exits(first, 1);
    const limits = { memoryBytes: 48 * 1_048_576 };
    await first.launch({ folder: 'one', argv: world.argv({ uses: 96 }), environment: {}, limits });
    await world.wait(end);
    await world.killAgent();
    const second = await world.attach();
    t.like(await second.adopt('one'), { state: 'exited', code: 137, outOfMemory: 'limit' });
    await second.sweep('one');
    await world.killAgent();
    t.like(await (await world.attach()).adopt('one'), { state: 'exited', code: 137, outOfMemory: 'limit' });
  });

  scene('SIGKILL reaches what left the group of the task', async (t, world, launcher) => {
    const end = exits(launcher, 1);
    const argv = world.argv({ stays: true, forks: true, escapes: true, output: 'ready' });
    await started(world, launcher, { folder: 'one', argv, environment: {} });
    await world.processes('one', 3);
    t.true(await launcher.signal('one', 'SIGKILL'));
    t.is((await world.wait(end)).get('one'), 137);
    await world.processes('one', 0);
    t.false(await launcher.signal('one', 'SIGKILL'));
  });

  scene('a sweep ends what an ended task left behind, wherever it went', async (t, world, first) => {
    const end = exits(first, 1);
    await first.launch({ folder: 'one', argv: world.argv({ forks: true, escapes: true }), environment: {} });
    await world.wait(end);
    await world.processes('one', 2);
    await world.killAgent();
    const second = await world.attach();
    await second.sweep('one');
    await world.processes('one', 0);
    t.false(await second.signal('one', 'SIGKILL'));
  });

  scene('limits that are changed before a task begins are those it has', async (t, world, launcher) => {
    const told = new Map<string, TaskExit>();
    launcher.onExit((exit) => told.set(exit.folder, exit));
    const end = exits(launcher, 3);
    await world.freeze();
    for (const [folder, mb, then] of [
      ['grown', 12, 64],
      ['freed', 12, undefined],
      ['cut', 64, 12],
    ] as const) {
      const argv = world.argv({ uses: 24, code: 3 });
      await launcher.launch({ folder, argv, environment: {}, limits: { memoryBytes: mb * MB } });
      t.is(await launcher.limit(folder, then === undefined ? {} : { memoryBytes: then * MB }), 'held');
    }
    await world.thaw();
    t.deepEqual([...(await world.wait(end))].toSorted(), [
      ['cut', 137],
      ['freed', 3],
      ['grown', 3],
    ]);
    t.is(told.get('cut')?.outOfMemory, 'limit');
  });

  scene('a limit that is cut below what a task uses ends nobody, and stays what it was', async (t, world, launcher) => {
    const limits = { memoryBytes: 64 * MB };
    const argv = world.argv({ uses: 24, stays: true, output: 'ready' });
    await started(world, launcher, { folder: 'one', argv, environment: {}, limits });
    await printed(world, 'one', 'ready');
    t.is(await launcher.limit('one', { memoryBytes: 12 * MB }), 'inUse');
    const usage = await launcher.usage('one');
    t.true((usage?.memoryBytes ?? 0) >= 24 * MB);
    t.is(usage?.processes, 1);
    // The usage allows it.
    t.is(await launcher.limit('one', { memoryBytes: 56 * MB }), 'held');
    const end = exits(launcher, 1);
    t.true(await launcher.signal('one', 'SIGTERM'));
    t.is((await world.wait(end)).get('one'), 143);
    t.like(await launcher.adopt('one'), { state: 'exited', code: 143, outOfMemory: undefined });
  });

  scene('limits are changed by an agent that comes back, and of nothing that is not there', async (t, world, first) => {
    await world.freeze();
    const argv = world.argv({ uses: 24, code: 3 });
    await first.launch({ folder: 'one', argv, environment: {}, limits: { memoryBytes: 12 * MB } });
    await world.killAgent();
    const second = await world.attach();
    t.is(await second.limit('none', {}), 'absent');
    await second.resend('one');
    t.is(await second.limit('one', { cpuShare: 2_000, cpuMost: 1_500, memoryBytes: 64 * MB, processes: 99 }), 'held');
    const end = exits(second, 1);
    await world.thaw();
    t.is((await world.wait(end)).get('one'), 3);
    await second.sweep('one');
    while ((await second.limit('one', {})) !== 'absent') await pause(world);
  });

  scene('usage is there while a task runs, and gone once it is swept', async (t, world, launcher) => {
    const argv = world.argv({ uses: 32, stays: true, output: 'ready' });
    await started(world, launcher, { folder: 'one', argv, environment: {} });
    await printed(world, 'one', 'ready');
    const usage = await launcher.usage('one');
    t.true((usage?.memoryBytes ?? 0) >= 32 * 1_048_576);
    t.is(usage?.processes, 1);
    const end = exits(launcher, 1);
    await launcher.signal('one', 'SIGKILL');
    await world.wait(end);
    await launcher.sweep('one');
    while ((await launcher.usage('one')) !== undefined) await pause(world);
    t.is(await launcher.usage('none'), undefined);
  });
}

/** What these tests say; AVA's own, or that of a small runner where AVA is too heavy. */
export type Asserts = Pick<ExecutionContext, 'is' | 'true' | 'false' | 'deepEqual' | 'like' | 'throwsAsync'>;

/** Takes a test, to be run after those before it. */
export type Register = (title: string, act: (t: Asserts) => Promise<void>) => void;

/** One test each, in a world of its own. */
export function scenes<World extends LauncherWorld>(register: Register, name: string, makeWorld: () => Promise<World>) {
  return (title: string, act: (t: Asserts, world: World, launcher: Launcher) => Promise<void>): void => {
    register(`${name}: ${title}`, async (t) => {
      const world = await makeWorld();
      try {
        await act(t, world, await world.attach());
      } finally {
        await world.end();
      }
    });
  };
}

/**
 * Registers with `test`, under the name of the implementation, what every {@link Launcher} must do. Where tasks are no
 * `processes` that outlive their agent, have groups and can refuse a signal, what is said of those is left out.
 */
export function launcherConformance(
  register: Register,
  name: string,
  makeWorld: () => Promise<LauncherWorld>,
  { processes }: { readonly processes: boolean } = { processes: true },
): void {
  const scene = scenes(register, name, makeWorld);
  /** One of processes alone. */
  const sceneOfProcesses: typeof scene = (title, act) => {
    if (processes) scene(title, act);
  };

  scene('a task starts, writes into its file, ends, and both are told in order', async (t, world, launcher) => {
    const told: string[] = [];
    launcher.onStarted(({ folder, pid }) => told.push(`${folder} started ${pid > 0}`));
    const end = exits(launcher, 1);
    launcher.onExit(({ folder, code }) => told.push(`${folder} ended ${code}`));
    await launcher.launch({ folder: 'tasks/one', argv: world.argv({ output: 'hello\n', code: 3 }), environment: {} });
    await world.wait(end);
    t.deepEqual(told, ['tasks/one started true', 'tasks/one ended 3']);
    t.is(await world.stdout('tasks/one'), 'hello\n');
    t.like(await launcher.adopt('tasks/one'), { state: 'exited', code: 3 });
  });

  scene('a folder that is sent again and again starts once', async (t, world, launcher) => {
    let starts = 0;
    launcher.onStarted(() => starts++);
    const end = exits(launcher, 2);
    const task = { folder: 'tasks/one', argv: world.argv({ output: 'once\n' }), environment: {} };
    await launcher.launch(task);
    await launcher.launch(task);
    for (let time = 0; time < 5; time++) await launcher.resend('tasks/one');
    // What was sent later is read later: when this one has ended, the repetitions are behind us.
    await launcher.launch({ folder: 'tasks/last', argv: world.argv({}), environment: {} });
    await world.wait(end);
    await launcher.resend('tasks/one');
    const again = exits(launcher, 1);
    await launcher.launch({ folder: 'tasks/very-last', argv: world.argv({}), environment: {} });
    await world.wait(again);
    t.is(starts, 3);
    t.is(await world.stdout('tasks/one'), 'once\n');
  });

  scene('every exit status arrives as it is', async (t, world, launcher) => {
    const end = exits(launcher, 256);
    const codes = Array.from({ length: 256 }, (_, code) => code);
    await Promise.all(
      codes.map((code) => launcher.launch({ folder: `tasks/t${code}`, argv: world.argv({ code }), environment: {} })),
    );
    const told = await world.wait(end);
    t.deepEqual(
      [...told].map(([folder, code]) => `${folder}=${code}`).toSorted(),
      codes.map((code) => `tasks/t${code}=${code}`).toSorted(),
    );
    for (const code of [0, 1, 125, 126, 127, 143, 255])
      t.like(await launcher.adopt(`tasks/t${code}`), { state: 'exited', code });
  });

  sceneOfProcesses('SIGTERM ends a task, and its children with it', async (t, world, launcher) => {
    const end = exits(launcher, 1);
    await started(world, launcher, {
      folder: 'one',
      argv: world.argv({ stays: true, forks: true, output: 'ready' }),
      environment: {},
    });
    await world.processes('one', 2);
    t.true(await launcher.signal('one', 'SIGTERM'));
    t.is((await world.wait(end)).get('one'), 143);
    await world.processes('one', 0);
    t.false(await launcher.signal('one', 'SIGTERM'));
  });

  sceneOfProcesses('a task that ignores SIGTERM goes on until SIGKILL', async (t, world, launcher) => {
    const end = exits(launcher, 2);
    await started(world, launcher, {
      folder: 'one',
      argv: world.argv({ stays: true, ignoresTerm: true, output: 'ready' }),
      environment: {},
    });
    await printed(world, 'one', 'ready');
    t.true(await launcher.signal('one', 'SIGTERM'));
    const other = exits(launcher, 1);
    await launcher.launch({ folder: 'two', argv: world.argv({}), environment: {} });
    t.deepEqual([...(await world.wait(other))], [['two', 0]]);
    t.true(await launcher.signal('one', 'SIGKILL'));
    t.is((await world.wait(end)).get('one'), 137);
  });

  sceneOfProcesses('what a main process leaves behind can still be signalled', async (t, world, launcher) => {
    const end = exits(launcher, 1);
    await launcher.launch({ folder: 'one', argv: world.argv({ forks: true }), environment: {} });
    await world.wait(end);
    await world.processes('one', 1);
    t.true(await launcher.signal('one', 'SIGKILL'));
    await world.processes('one', 0);
    t.false(await launcher.signal('one', 'SIGKILL'));
  });

  sceneOfProcesses('a stopped task has not ended, and goes on when continued', async (t, world, launcher) => {
    const told: TaskExit[] = [];
    launcher.onExit((exit) => told.push(exit));
    await started(world, launcher, { folder: 'one', argv: world.argv({ stays: true }), environment: {} });
    await world.processes('one', 1);
    t.true(await launcher.signal('one', 'SIGSTOP'));
    const other = exits(launcher, 1);
    await launcher.launch({ folder: 'two', argv: world.argv({}), environment: {} });
    await world.wait(other);
    t.is((await launcher.adopt('one')).state, 'running');
    t.true(await launcher.signal('one', 'SIGCONT'));
    const end = exits(launcher, 1);
    t.true(await launcher.signal('one', 'SIGTERM'));
    await world.wait(end);
    t.deepEqual(told, [
      { folder: 'two', code: 0 },
      { folder: 'one', code: 143 },
    ]);
  });

  scene('nothing is signalled where nothing started', async (t, world, launcher) => {
    t.false(await launcher.signal('none', 'SIGKILL'));
    await world.freeze();
    await launcher.launch({ folder: 'one', argv: world.argv({}), environment: {} });
    t.false(await launcher.signal('one', 'SIGKILL'));
  });

  scene('a claim decides, once, whether a task starts', async (t, world, launcher) => {
    t.deepEqual(await launcher.adopt('one'), { state: 'missing' });
    await world.freeze();
    await launcher.launch({ folder: 'one', argv: world.argv({ output: 'ran' }), environment: {} });
    t.deepEqual(await launcher.adopt('one'), { state: 'unclaimed' });
    t.true(await launcher.claim('one'));
    t.false(await launcher.claim('one'));
    t.deepEqual(await launcher.adopt('one'), { state: 'withdrawn' });
    const end = exits(launcher, 1);
    // It counts as running from its claim on, and can be signalled only once its process is there.
    const runs = new Promise<void>((resolve) => launcher.onStarted(() => resolve()));
    await launcher.launch({ folder: 'two', argv: world.argv({ stays: true }), environment: {} });
    await world.thaw();
    await world.wait(runs);
    t.false(await launcher.claim('two'));
    t.true(await launcher.signal('two', 'SIGKILL'));
    t.deepEqual([...(await world.wait(end))], [['two', 137]]);
    t.is(await world.stdout('one'), '');
    t.deepEqual(await launcher.adopt('one'), { state: 'withdrawn' });
  });

  scene('of an agent and the launcher process that claim at once, one wins', async (t, world, launcher) => {
    const folders = Array.from({ length: 60 }, (_, index) => `tasks/t${index}`);
    const ran = new Set<string>();
    launcher.onExit(({ folder }) => ran.add(folder));
    const sent = folders.map(async (folder) => {
      await launcher.launch({ folder, argv: world.argv({ output: 'ran' }), environment: {} });
      return { folder, won: await launcher.claim(folder) };
    });
    const claims = await Promise.all(sent);
    const last = new Promise<void>((resolve) => launcher.onExit(({ folder }) => folder === 'last' && resolve()));
    await launcher.launch({ folder: 'last', argv: world.argv({}), environment: {} });
    await world.wait(last);
    for (const { folder, won } of claims) {
      if (!won) await until(world, launcher, folder, 'exited');
      t.is(await world.stdout(folder), won ? '' : 'ran', folder);
      t.is((await launcher.adopt(folder)).state, won ? 'withdrawn' : 'exited', folder);
    }
  });

  sceneOfProcesses('an agent that comes back finds what ended, and hears what ends', async (t, world, first) => {
    for (const folder of ['ended', 'running']) {
      await started(world, first, { folder, argv: world.argv({ stays: true, output: folder }), environment: {} });
      await printed(world, folder, folder);
    }
    await world.freeze();
    await first.launch({ folder: 'unclaimed', argv: world.argv({ code: 5 }), environment: {} });
    await world.killAgent();
    const second = await world.attach();
    const end = exits(second, 1);
    t.true(await second.signal('ended', 'SIGTERM'));
    await world.wait(end);
    await second.close();

    const third = await world.attach();
    t.deepEqual(await third.adopt('ended'), { state: 'exited', code: 143 });
    t.like(await third.adopt('running'), { state: 'running', supervised: true });
    t.deepEqual(await third.adopt('unclaimed'), { state: 'unclaimed' });
    const rest = exits(third, 2);
    await third.resend('unclaimed');
    await world.thaw();
    t.true(await third.signal('running', 'SIGTERM'));
    const told = await world.wait(rest);
    t.is(told.get('running'), 143);
    t.is(told.get('unclaimed'), 5);
  });

  sceneOfProcesses(
    'a killed launcher process is replaced; tasks go on, and what was not started yet starts once',
    async (t, world, launcher) => {
      const starts: string[] = [];
      launcher.onStarted(({ folder }) => starts.push(folder));
      await started(world, launcher, { folder: 'before', argv: world.argv({ stays: true }), environment: {} });
      await world.freeze();
      await launcher.launch({ folder: 'waiting', argv: world.argv({ code: 7 }), environment: {} });
      const restarted = new Promise<void>((resolve) => launcher.onRestarted(resolve));
      const waiting = exits(launcher, 1);
      await world.killLauncher();
      await world.wait(restarted);
      t.is((await world.wait(waiting)).get('waiting'), 7);
      const end = exits(launcher, 1);
      t.true(await launcher.signal('before', 'SIGTERM'));
      t.is((await world.wait(end)).get('before'), 143);
      const after = exits(launcher, 1);
      await launcher.launch({ folder: 'after', argv: world.argv({ code: 9 }), environment: {} });
      t.is((await world.wait(after)).get('after'), 9);
      t.deepEqual(starts, ['before', 'waiting', 'after']);
    },
  );

  scene('a removed folder is missing, and its name is free again', async (t, world, launcher) => {
    for (const code of [1, 2]) {
      const end = exits(launcher, 1);
      await launcher.launch({ folder: 'one', argv: world.argv({ code }), environment: {} });
      t.is((await world.wait(end)).get('one'), code);
      await launcher.remove('one');
      t.deepEqual(await launcher.adopt('one'), { state: 'missing' });
    }
    await launcher.remove('one');
  });

  scene('every folder there is can be told, whoever made it', async (t, world, first) => {
    const end = exits(first, 2);
    t.deepEqual(await first.folders(), []);
    for (const folder of ['batch/j.0.0/0', 'batch/j.0.0/1'])
      await first.launch({ folder, argv: world.argv({}), environment: {} });
    await world.wait(end);
    await world.killAgent();
    const second = await world.attach();
    t.deepEqual((await second.folders()).sort(), ['batch/j.0.0/0', 'batch/j.0.0/1']);
    await second.remove('batch/j.0.0/0');
    t.deepEqual(await second.folders(), ['batch/j.0.0/1']);
  });

  sceneOfProcesses('after stop, tasks go on and the next agent hears of them', async (t, world, first) => {
    await started(world, first, { folder: 'one', argv: world.argv({ stays: true }), environment: {} });
    await world.processes('one', 1);
    await first.stop();
    await t.throwsAsync(first.launch({ folder: 'two', argv: world.argv({}), environment: {} }), { code: 'CLOSED' });
    const second = await world.attach();
    t.like(await second.adopt('one'), { state: 'running' });
    const end = exits(second, 1);
    t.true(await second.signal('one', 'SIGKILL'));
    t.is((await world.wait(end)).get('one'), 137);
  });
}

/** The exit codes of the next `count` tasks to end. */
function exits(launcher: Launcher, count: number): Promise<Map<string, number>> {
  const told = new Map<string, number>();
  return new Promise((resolve) => {
    launcher.onExit(({ folder, code }) => {
      if (told.size === count) return;
      told.set(folder, code);
      if (told.size === count) resolve(told);
    });
  });
}

/** Launches, and waits until it is told that it runs. */
async function started(world: LauncherWorld, launcher: Launcher, task: TaskStart): Promise<void> {
  const told = new Promise<void>((resolve) => launcher.onStarted(({ folder }) => folder === task.folder && resolve()));
  await launcher.launch(task);
  await world.wait(told);
}

/** Waits until the task has written that. */
async function printed(world: LauncherWorld, folder: string, text: string): Promise<void> {
  while ((await world.stdout(folder)) !== text) await pause(world);
}

/** Asks until the folder is in that state: for what no listener is told. */
async function until(
  world: LauncherWorld,
  launcher: Launcher,
  folder: string,
  state: TaskState['state'],
): Promise<void> {
  while ((await launcher.adopt(folder)).state !== state) await pause(world);
}

function pause(world: LauncherWorld): Promise<void> {
  return world.wait(new Promise((resolve) => setTimeout(resolve, 5)));
}
