import { closeSync, constants, openSync, readdirSync, readFileSync, readSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import type { Launcher, TaskStart } from '../../io/launcher.ts';
import { launcherConformance } from '../conformance/launcher.ts';
import { simulatedLauncherWorld } from '../sim/launcher-world.ts';
import { type RealLauncherWorld, realLauncherWorld, textOf } from './launcher-world.ts';

launcherConformance(test.serial, 'simulated', simulatedLauncherWorld);
launcherConformance(test.serial, 'real', () => realLauncherWorld());

/** What only a real machine can show. */
const real = (
  title: string,
  act: (t: ExecutionContext, world: RealLauncherWorld, launcher: Launcher) => Promise<void>,
  environment?: NodeJS.ProcessEnv,
) => {
  test.serial(`real: ${title}`, async (t) => {
    const world = await realLauncherWorld({}, environment);
    try {
      await act(t, world, await world.attach());
    } finally {
      await world.end();
    }
  });
};

/** Runs a task to its end; what it wrote and its exit code. */
async function run(
  world: RealLauncherWorld,
  launcher: Launcher,
  task: TaskStart,
): Promise<{ code: number; stdout: string; stderr: string }> {
  const code = new Promise<number>((resolve) =>
    launcher.onExit((exit) => exit.folder === task.folder && resolve(exit.code)),
  );
  await launcher.launch(task);
  return {
    code: await code,
    stdout: textOf(join(world.root, task.folder, 'stdout')),
    stderr: textOf(join(world.root, task.folder, 'stderr')),
  };
}

/** A string that a program can be given: anything but a NUL. */
const word = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 30 }),
  fc.string({
    unit: fc.constantFrom(
      "'",
      '"',
      '\\',
      '$',
      '`',
      '(',
      ')',
      '\n',
      ' ',
      '\t',
      '*',
      '~',
      '!',
      '#',
      ';',
      '&',
      '|',
      '<',
      '>',
      '{',
      '}',
      '\u0001',
      '\u007f',
      '\u0081',
      'é',
      '🐪',
      'a',
    ),
    maxLength: 20,
  }),
);
const passable = word.filter((text) => !text.includes('\0'));

real('arguments reach the program byte by byte', async (t, world, launcher) => {
  let count = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(passable, { maxLength: 20 }), async (words) => {
      const { code, stdout } = await run(world, launcher, {
        folder: `tasks/t${count++}`,
        argv: ['/usr/bin/printf', '%s\\0', 'begin', ...words],
        environment: {},
      });
      t.is(code, 0);
      t.is(stdout, ['begin', ...words, ''].join('\0'));
    }),
    { numRuns: 100, examples: [[['', "a'b", "'", '$(touch x)', '-n', '--', '\n', '\\']]] },
  );
});

real('the environment reaches the program byte by byte', async (t, world, launcher) => {
  let count = 0;
  const own = [
    'UID',
    'RANDOM',
    'LC_ALL',
    'LANG',
    'IFS',
    'BASH_ENV',
    'SHELLOPTS',
    'SHLVL',
    'PWD',
    'OPTIND',
    'ENV',
    '_',
    'a.b',
    'x-y',
    '1',
    'BASH_FUNC_cd%%',
  ];
  const names = fc.oneof(fc.stringMatching(/^[A-Za-z_][A-Za-z0-9_]{0,8}$/), fc.constantFrom(...own));
  await fc.assert(
    fc.asyncProperty(fc.dictionary(names, passable, { maxKeys: 8 }), async (given) => {
      const { PATH: _, ...environment } = given;
      const { code, stdout, stderr } = await run(world, launcher, {
        folder: `tasks/t${count++}`,
        argv: ['/usr/bin/env', '-0'],
        environment,
      });
      t.is(code, 0, stderr);
      t.is(stderr, '');
      const inside = new Set(stdout.split('\0'));
      for (const [name, value] of Object.entries(environment))
        t.true(inside.has(`${name}=${value}`), `${name}: ${stdout}`);
    }),
    { numRuns: 100, examples: [[Object.fromEntries(own.map((name) => [name, "it's\n$(x)"]))]] },
  );
});

real(
  'a task has the minimal environment, no input, its own group, default signals and its sandbox',
  async (t, world, launcher) => {
    const { stdout } = await run(world, launcher, {
      folder: 'one',
      argv: {
        shell:
          'cat; pwd; ls -A; cat /proc/self/stat /proc/self/status; tr "\\0" "\\n" </proc/$$/environ; echo "$$"; ls -l /proc/self/fd',
      },
      environment: { GIVEN: 'yes' },
    });
    const lines = stdout.split('\n');
    t.is(lines[0], join(world.root, 'one/work'));
    t.true(stdout.includes('GIVEN=yes') && stdout.includes('TZ=UTC'));
    t.false(/secret|NODE_OPTIONS|OLDPWD|BASH|MESQ/.test(stdout.replaceAll(world.root, '')), stdout);
    t.regex(stdout, /SigBlk:\s0+\n/);
    t.regex(stdout, /SigIgn:\s0+\n/);
    const stat = /^(\d+) \(cat\) \S (\d+) (\d+)/m.exec(stdout);
    t.is(stat?.[3], stat?.[2], 'the group is that of the task, whose child cat is');
    t.false(/launcher\/(starts|alive|lock)/.test(stdout), 'no descriptor of the launcher is inherited');
    t.is(stdout.match(/ -> /g)?.length, 4, 'the standard three, and the one that ls reads');
    t.is(statSync(join(world.root, 'one')).mode & 0o777, 0o700);
    t.is(statSync(join(world.root, 'launcher/launcher.sh')).mode & 0o777, 0o600);
    t.is(statSync(join(world.root, 'one/run')).mode & 0o777, 0o700);
  },
  { PATH: '/usr/bin:/bin', TZ: 'UTC', MESQ_TOKEN: 'secret', NODE_OPTIONS: '--no-warnings' },
);

real('a program that is missing or not executable says so', async (t, world, launcher) => {
  const missing = await run(world, launcher, { folder: 'a', argv: ['no-such-program'], environment: {} });
  t.is(missing.code, 127);
  t.is(missing.stderr, 'no-such-program: not found\n', 'and nothing of how it was started');
  t.is((await run(world, launcher, { folder: 'b', argv: [''], environment: { 'x.y': '1' } })).code, 127);
  const refused = await run(world, launcher, { folder: 'c', argv: ['/etc/passwd'], environment: {} });
  t.deepEqual(refused, { code: 126, stdout: '', stderr: '/etc/passwd: Permission denied\n' });
  const folder = await run(world, launcher, { folder: 'd', argv: ['/tmp'], environment: {} });
  t.deepEqual(folder, { code: 126, stdout: '', stderr: '/tmp: Is a directory\n' });
  const own = { shell: 'echo "./run: line 1: mine" >&2; echo more >&2; exit 127' };
  const said = await run(world, launcher, { folder: 'f', argv: own, environment: {} });
  t.is(said.stderr, './run: line 1: mine\nmore\n', 'what a program writes is its own');
  const wrapped = await run(world, launcher, {
    folder: 'e',
    argv: ['/bin/echo', 'a=b'],
    wrapper: ['nice', '-n', '3'],
    environment: { 'x.y': '1' },
  });
  t.deepEqual(wrapped, { code: 0, stdout: 'a=b\n', stderr: '' });
  for (const task of [
    { argv: [] },
    { argv: ['a\0b'] },
    { argv: ['a'], environment: { '': 'x' } },
    { argv: ['a'], environment: { 'a=b': 'x' } },
  ]) {
    await t.throwsAsync(launcher.launch({ folder: 'f', environment: {}, ...task }), { code: 'NOT_SENDABLE' });
  }
  for (const folder of ['../up', '/abs', 'a b', 'a\nb', '', '.', 'a//b'])
    await t.throwsAsync(launcher.launch({ folder, argv: ['a'], environment: {} }), { message: /broken invariant/ });
});

real('what ends while no agent is there is found, 2,000 times', async (t, world, first) => {
  const folders = Array.from({ length: 2_000 }, (_, index) => `tasks/t${index}`);
  await world.freeze();
  await Promise.all(
    folders.map((folder, index) =>
      first.launch({ folder, argv: [index % 2 === 0 ? 'true' : 'false'], environment: {} }),
    ),
  );
  await world.killAgent();
  await world.thaw();
  const exited = () =>
    readdirSync(join(world.root, 'tasks')).filter((name) => textOf(join(world.root, 'tasks', name, 'exit')) !== '')
      .length;
  // The pipe holds what of the 2,000 lines it can; the rest died with the agent and is sent again.
  const second = await world.attach();
  const states = await Promise.all(folders.map((folder) => second.adopt(folder)));
  await Promise.all(
    folders.filter((_, index) => states[index]?.state === 'unclaimed').map((folder) => second.resend(folder)),
  );
  await world.killAgent();
  while (exited() < 2_000) await new Promise((resolve) => setTimeout(resolve, 50));
  const third = await world.attach();
  const found = await Promise.all(folders.map((folder) => third.adopt(folder)));
  t.deepEqual(
    found,
    folders.map((_, index) => ({ state: 'exited', code: index % 2 })),
  );
  await world.processes('.', 0);
});

real('what a killed agent had written of a line spoils none of the next', async (t, world) => {
  const starts = join(world.root, 'launcher/starts');
  await world.killAgent();
  for (const left of ['>', '>one', '>tasks/t', 'qui']) {
    writeFileSync(starts, left);
    const next = await world.attach();
    t.like(await run(world, next, { folder: `after${left.length}`, argv: ['echo', left], environment: {} }), {
      code: 0,
      stdout: `${left}\n`,
    });
    await world.killAgent();
  }
});

real('another process with the number of a task is not taken for it', async (t, world, launcher) => {
  const told = new Promise<number>((resolve) => launcher.onStarted(({ pid }) => resolve(pid)));
  await launcher.launch({ folder: 'one', argv: ['sleep', '1000'], environment: {} });
  const pid = await told;
  const [, start, boot] = readFileSync(join(world.root, 'one/claimed'), 'latin1').trim().split(' ');
  for (const [index, identity] of [
    `${pid} 1 ${boot}`,
    `${pid} ${start} 00000000-0000-4000-8000-000000000000`,
  ].entries()) {
    await launcher.claim(`fake${index}`);
    writeFileSync(join(world.root, `fake${index}/claimed`), `${identity}\n`);
    t.false(await launcher.signal(`fake${index}`, 'SIGKILL'));
    t.deepEqual(await launcher.adopt(`fake${index}`), { state: 'vanished' });
  }
  t.like(await launcher.adopt('one'), { state: 'running', pid });
});

real('a task whose supervisor was killed still runs, and has vanished afterwards', async (t, world, launcher) => {
  const told = new Promise<number>((resolve) => launcher.onStarted(({ pid }) => resolve(pid)));
  await launcher.launch({ folder: 'one', argv: ['sleep', '1000'], environment: {} });
  const pid = await told;
  t.deepEqual(await launcher.adopt('one'), { state: 'running', pid, supervised: true });
  const supervisor = Number(readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]?.split(' ')[1]);
  process.kill(supervisor, 'SIGTERM');
  process.kill(supervisor, 'SIGINT');
  t.like(await launcher.adopt('one'), { state: 'running', supervised: true });
  process.kill(supervisor, 'SIGKILL');
  while (JSON.stringify(await launcher.adopt('one')) !== JSON.stringify({ state: 'running', pid, supervised: false }))
    await new Promise((resolve) => setTimeout(resolve, 5));
  t.true(await launcher.signal('one', 'SIGKILL'));
  await world.processes('one', 0);
  t.deepEqual(await launcher.adopt('one'), { state: 'vanished' });
});

real(
  'a sweep ends what an ended task left in sessions of its own, and nothing that only happens to be in its folder',
  async (t, world, launcher) => {
    const script = 'setsid sleep 1000 & env -i setsid sleep 1000 & exit 0';
    t.is(
      (await run(world, launcher, { folder: 'one', argv: ['sh', '-c', script], environment: { MARK: 'm1' } })).code,
      0,
    );
    await launcher.launch({ folder: 'two', argv: ['sleep', '1000'], environment: { MARK: 'm12' } });
    await world.processes('two', 1);
    await world.processes('one', 2);
    await launcher.sweep('one', 'MARK=m1');
    // A person may have gone there to look around.
    await world.processes('one', 1);
    await world.processes('two', 1);
  },
);

real('a launcher process of another version is replaced, and its tasks go on', async (t, world, first) => {
  const told = new Promise<void>((resolve) => first.onStarted(() => resolve()));
  await first.launch({ folder: 'one', argv: ['sleep', '1000'], environment: {} });
  await told;
  const old = world.launcherPid();
  writeFileSync(join(world.root, 'launcher/launcher.pid'), `${old} older\n`);
  await world.killAgent();
  const second = await world.attach();
  t.not(world.launcherPid(), old);
  const exit = new Promise<number>((resolve) => second.onExit(({ code }) => resolve(code)));
  t.true(await second.signal('one', 'SIGTERM'));
  t.is(await exit, 143);
});

real('what a killed launcher process had read and not begun is told to the next', async (t, world, launcher) => {
  await world.freeze();
  const exit = new Promise<number>((resolve) => launcher.onExit(({ code }) => resolve(code)));
  await launcher.launch({ folder: 'read', argv: ['sh', '-c', 'exit 7'], environment: {} });
  const pipe = openSync(join(world.root, 'launcher/starts'), constants.O_RDONLY | constants.O_NONBLOCK);
  const bytes = Buffer.alloc(1_000);
  t.true(bytes.toString('utf8', 0, readSync(pipe, bytes)).includes('>read\n'), 'as the process would read it');
  closeSync(pipe);
  await world.killLauncher();
  t.is(await exit, 7);
});

real(
  'what a killed launcher process had read half of a line of is not taken for a folder',
  async (t, world, launcher) => {
    await world.freeze();
    writeFileSync(join(world.root, 'launcher/starts'), 'asks/one\n\n>\n>none\n>../..\n');
    const ends: string[] = [];
    launcher.onExit(({ folder }) => ends.push(folder));
    await world.thaw();
    await run(world, launcher, { folder: 'two', argv: ['true'], environment: {} });
    t.deepEqual(ends, ['two']);
  },
);

real(
  'it remembers nothing of what it has started: its forks stay as cheap as they were',
  async (t, world, launcher) => {
    const anonymousKb = (): number =>
      Number(/^RssAnon:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${world.launcherPid()}/status`, 'utf8'))?.[1]);
    // Folders that are not there: a fork each, and no task.
    const start = async (count: number, next: string): Promise<number> => {
      writeFileSync(join(world.root, 'launcher/starts'), '>none\n'.repeat(count));
      await run(world, launcher, { folder: next, argv: ['true'], environment: {} });
      return anonymousKb();
    };
    const before = await start(100, 'one');
    const after = await start(600, 'two');
    t.true(after - before < 40, `${before} kB, after 600 more ${after} kB`);
  },
);

test.serial('real: without bash there is no launcher, and it says so', async (t) => {
  const world = await realLauncherWorld({}, { PATH: '/nonexistent' });
  await t.throwsAsync(world.attach(), { code: 'UNAVAILABLE' });
  await world.end();
});
