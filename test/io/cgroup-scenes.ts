import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Isolation, Launcher } from '../../io/launcher.ts';
import { type Register, scenes } from '../conformance/launcher.ts';
import { type RealLauncherWorld, textOf } from './launcher-world.ts';

/** Whether these scenes can be played here. */
export function hasCgroups({ cgroups, cpu, memory, processes }: Isolation): boolean {
  return cgroups !== 'none' && cpu && memory === 'task' && processes === 'task';
}

/** Registers what only a real kernel can show of control groups, of the version that it has. */
export function cgroupScenes(
  register: Register,
  version: 'v1' | 'v2',
  makeWorld: () => Promise<RealLauncherWorld>,
): void {
  const real = scenes(register, version, makeWorld);

  real('only the task is in its group, and nothing is left of it after the sweep', async (t, made, launcher) => {
    const end = exitOf(launcher, 'tasks/one');
    await launcher.launch({
      folder: 'tasks/one',
      argv: ['sh', '-c', 'cat /proc/self/cgroup; exit 4'],
      environment: {},
      limits: { processes: 64 },
    });
    t.is(await end, 4);
    const text = textOf(join(made.root, 'tasks/one/stdout'));
    for (const base of bases(made)) t.true(text.includes(base.slice(base.indexOf('/mesq/'))), `${base}: ${text}`);
    t.true(groupsOf(made, 't+tasks+one').length > 0);
    await launcher.sweep('tasks/one');
    await until(() => groupsOf(made, 't+tasks+one').length === 0);
  });

  real('shares, limits and their defaults arrive in the kernel', async (t, made, launcher) => {
    const ends = ['plain', 'held'].map((folder) => exitOf(launcher, folder));
    await launcher.launch({ folder: 'plain', argv: ['sleep', '1000'], environment: {} });
    const limits = { cpuShare: 2_500, cpuMost: 1_500, memoryBytes: 64 * 1_048_576, processes: 99 };
    await launcher.launch({ folder: 'held', argv: ['sleep', '1000'], environment: {}, limits });
    const v2 = version === 'v2';
    t.is(kernelSays(made, 'held', 'pids.max'), '99');
    t.is(kernelSays(made, 'held', 'memory.max', 'memory.limit_in_bytes'), String(64 * 1_048_576));
    t.is(kernelSays(made, 'held', 'cpu.weight', 'cpu.shares'), v2 ? '250' : '2560');
    t.is(kernelSays(made, 'held', 'cpu.max', 'cpu.cfs_quota_us'), v2 ? '150000 100000' : '150000');
    t.is(kernelSays(made, 'plain', 'pids.max'), 'max');
    t.is(kernelSays(made, 'plain', 'cpu.weight', 'cpu.shares'), v2 ? '100' : '1024');
    for (const folder of ['plain', 'held']) await until(() => launcher.signal(folder, 'SIGKILL'));
    t.deepEqual(await Promise.all(ends), [137, 137]);
  });

  real('limits of a task that runs are changed, and lifted, in the kernel', async (t, made, launcher) => {
    const v2 = version === 'v2';
    const unlimited = v2 ? 'max' : '9223372036854771712';
    const says = (): (string | undefined)[] => [
      kernelSays(made, 'one', 'pids.max'),
      kernelSays(made, 'one', 'memory.max', 'memory.limit_in_bytes'),
      kernelSays(made, 'one', 'cpu.weight', 'cpu.shares'),
      kernelSays(made, 'one', 'cpu.max', 'cpu.cfs_quota_us'),
    ];
    const end = exitOf(launcher, 'one');
    await launcher.launch({ folder: 'one', argv: ['sleep', '1000'], environment: {} });
    const free = ['max', unlimited, v2 ? '100' : '1024', v2 ? 'max 100000' : '-1'];
    t.deepEqual(says(), free);
    for (const mb of [64, 128, 32]) {
      const limits = { cpuShare: 10 * mb, cpuMost: 5 * mb, memoryBytes: mb * 1_048_576, processes: mb };
      t.is(await launcher.limit('one', limits), 'held');
      t.deepEqual(says(), [
        String(mb),
        String(mb * 1_048_576),
        String(v2 ? mb : Math.round(10.24 * mb)),
        v2 ? `${500 * mb} 100000` : String(500 * mb),
      ]);
      const swap = kernelSays(made, 'one', 'memory.swap.max', 'memory.memsw.limit_in_bytes');
      t.true([undefined, v2 ? '0' : String(mb * 1_048_576)].includes(swap), `with swap: ${swap}`);
    }
    t.is(await launcher.limit('one', {}), 'held');
    t.deepEqual(says(), free);
    const swap = kernelSays(made, 'one', 'memory.swap.max', 'memory.memsw.limit_in_bytes');
    t.true([undefined, unlimited].includes(swap), `with swap: ${swap}`);
    if (v2) t.is(kernelSays(made, 'one', 'memory.high'), 'max');
    await until(() => launcher.signal('one', 'SIGKILL'));
    t.is(await end, 137);
  });

  real('a task gets no more CPU than its limit', async (t, made, launcher) => {
    const end = exitOf(launcher, 'one');
    await launcher.launch({
      folder: 'one',
      argv: ['sh', '-c', 'while :; do :; done'],
      environment: {},
      limits: { cpuMost: 200 },
    });
    // The kernel counts the periods in which it had to wait; no clock of ours is asked.
    await until(() => Number(/nr_throttled (\d+)/.exec(kernelSays(made, 'one', 'cpu.stat') ?? '')?.[1] ?? 0) >= 3);
    t.true(((await launcher.usage('one'))?.cpuMs ?? 0) > 0);
    await launcher.signal('one', 'SIGKILL');
    t.is(await end, 137);
  });

  real('a task has no more processes than its limit, and a fork bomb ends as a whole', async (t, made, launcher) => {
    const end = exitOf(launcher, 'bomb');
    await launcher.launch({
      folder: 'bomb',
      argv: ['bash', '-c', 'f() { setsid bash -c "$0" "$0" & f & wait; }; f', 'sleep 1000'],
      environment: {},
      limits: { processes: 60 },
    });
    await until(() => Number(/max (\d+)/.exec(kernelSays(made, 'bomb', 'pids.events') ?? '')?.[1] ?? 0) > 0);
    t.true(((await launcher.usage('bomb'))?.processes ?? 0) <= 60);
    t.true(await launcher.signal('bomb', 'SIGKILL'));
    await end;
    await until(() => kernelSays(made, 'bomb', 'cgroup.procs') === undefined);
    await launcher.sweep('bomb');
    await until(() => groupsOf(made, 't+bomb').length === 0);
  });

  real(
    'SIGSTOP freezes what left the group too, SIGCONT thaws it, and SIGKILL ends it frozen',
    async (t, made, launcher) => {
      const script = 'setsid sh -c "while :; do :; done" & while :; do :; done';
      const end = exitOf(launcher, 'one');
      await launcher.launch({ folder: 'one', argv: ['sh', '-c', script], environment: {} });
      await made.processes('one', 2);
      t.true(await launcher.signal('one', 'SIGSTOP'));
      const frozen = (): boolean => {
        const state = kernelSays(made, 'one', 'freezer.state', 'cgroup.events') ?? '';
        return state === 'FROZEN' || state.includes('frozen 1');
      };
      await until(frozen);
      t.like(await launcher.adopt('one'), { state: 'running' });
      const used = async (): Promise<number> => (await launcher.usage('one'))?.cpuMs ?? 0;
      const before = await used();
      t.is(await used(), before);
      t.true(await launcher.signal('one', 'SIGCONT'));
      await until(async () => !frozen() && (await used()) > before);
      t.true(await launcher.signal('one', 'SIGSTOP'));
      await until(frozen);
      t.true(await launcher.signal('one', 'SIGKILL'));
      t.is(await end, 137);
      await made.processes('one', 0);
    },
  );

  real(
    'an agent that was killed finds its tasks in their groups, and removes what it no longer knows',
    async (t, made, first) => {
      const began = new Promise<void>((resolve) => first.onStarted(() => resolve()));
      await first.launch({ folder: 'one', argv: ['sleep', '1000'], environment: {} });
      await began;
      const end = exitOf(first, 'two');
      await first.launch({ folder: 'two', argv: ['true'], environment: {} });
      await end;
      const before = bases(made);
      await made.killAgent();
      const second = await made.attach();
      t.deepEqual(bases(made), before);
      t.is((await second.usage('one'))?.processes, 1);
      t.true(groupsOf(made, 't+two').length > 0);
      await second.remove('two');
      await until(() => groupsOf(made, 't+two').length === 0);
      const over = exitOf(second, 'one');
      t.true(await second.signal('one', 'SIGKILL'));
      t.is(await over, 137);
    },
  );

  real('a start that is sent again after a reboot has its group and its limits again', async (t, made, first) => {
    await made.freeze();
    const limits = { processes: 77 };
    await first.launch({ folder: 'one', argv: ['sleep', '1000'], environment: {}, limits });
    await made.killAgent();
    // Nothing has entered them: as after a reboot, they are gone.
    made.removeGroups();
    t.false(existsSync(join(bases(made)[0] ?? '', 't+one')));
    await made.killLauncher();
    const second = await made.attach();
    const began = new Promise<void>((resolve) => second.onStarted(() => resolve()));
    t.deepEqual(await second.adopt('one'), { state: 'unclaimed' });
    await second.resend('one');
    await began;
    t.is(kernelSays(made, 'one', 'pids.max'), '77');
    const over = exitOf(second, 'one');
    t.true(await second.signal('one', 'SIGKILL'));
    t.is(await over, 137);
  });

  real('an agent that leaves without tasks leaves no group behind', async (t, made, launcher) => {
    const before = bases(made);
    t.true(before.every((base) => existsSync(base)));
    await launcher.stop();
    t.deepEqual(before.filter(existsSync), []);
    t.true(readdirSync(made.root).includes('launcher'));
  });
}

/** Where the test's groups are. */
function bases(made: RealLauncherWorld): string[] {
  const { trees } = JSON.parse(readFileSync(join(made.root, 'launcher/cgroups'), 'utf8')) as {
    trees: { base: string }[];
  };
  return trees.map(({ base }) => base);
}

const groupsOf = (made: RealLauncherWorld, name: string): string[] =>
  bases(made)
    .map((base) => join(base, name))
    .filter(existsSync);

function exitOf(launcher: Launcher, folder: string): Promise<number> {
  return new Promise((resolve) => launcher.onExit((exit) => exit.folder === folder && resolve(exit.code)));
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 5));
}

/** The first of these files that is there, of any of the test's groups. */
function kernelSays(made: RealLauncherWorld, folder: string, ...files: string[]): string | undefined {
  for (const group of groupsOf(made, `t+${folder}`))
    for (const file of files) {
      const text = textOf(join(group, file)).trim();
      if (text !== '') return text;
    }
  return undefined;
}
