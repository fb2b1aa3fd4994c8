import { chmodSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { systemProber } from '../../io/node/prober.ts';
import { findUser } from '../../io/node/users.ts';
import { volumeFolders } from '../../io/node/volume-folders.ts';
import { launcherScenes, runToEnd } from './launcher-scene.ts';
import { realLauncherWorld, textOf } from './launcher-world.ts';

const USER = 'nobody';
const nobody = findUser(USER) ?? { name: USER, uid: -1, gid: -1, groups: [] };
const asRoot = process.getuid?.() === 0 && nobody.uid > 0;
if (!asRoot) console.warn(`SKIPPED: tests of tasks with a user of their own (they take root, and a user ${USER})`);

const scene = launcherScenes(({ user }) => user === undefined || asRoot);

scene(
  'a task runs as its user, with none of root’s rights, in a sandbox of its own',
  { user: USER },
  async (t, world, launcher) => {
    t.is(launcher.isolation.user, USER);
    // The first folder of its framework is of a start that never was: the way to the others is open all the same.
    await launcher.claim('fw/none/0');
    const script = [
      'id -u; id -g; echo "$HOME $USER"; grep -E "^(CapEff|CapPrm|CapInh|CapAmb|NoNewPrivs):" /proc/self/status',
      'echo mine >file; cat "$SANDBOX/file"; echo more >>/dev/stdout',
      'cat ../run 2>&1; ls .. 2>&1; echo x 2>&1 >../exit; kill -0 $PPID 2>&1',
    ].join('\n');
    const sandbox = join(world.root, 'fw/one/0/work');
    const exit = await runToEnd(launcher, {
      folder: 'fw/one/0',
      argv: ['sh', '-c', script],
      environment: { SANDBOX: sandbox, SECRET: 's3cret' },
    });
    const stdout = textOf(join(world.root, 'fw/one/0/stdout'));
    const [uid, gid, home, ...rest] = stdout.split('\n');
    t.is(exit.code, 1, stdout);
    t.deepEqual([uid, gid, home], [String(nobody.uid), String(nobody.gid), `${sandbox} ${USER}`]);
    t.true(rest.includes('NoNewPrivs:\t1'), stdout);
    t.is(rest.filter((line) => /^Cap\w+:\s0+$/.test(line)).length, 4, stdout);
    t.true(rest.includes('mine') && rest.includes('more'), stdout);
    t.is(stdout.match(/denied|not permitted/g)?.length, 4, stdout);
    t.false(stdout.includes('s3cret'));
    t.is(statSync(sandbox).uid, nobody.uid);
    t.is(statSync(join(world.root, 'fw/one/0/run')).uid, 0);
  },
);

scene('a program that is missing says so as another user too', { user: USER }, async (t, world, launcher) => {
  t.is((await runToEnd(launcher, { folder: 'a', argv: ['no-such-program'], environment: {} })).code, 127);
  t.is(textOf(join(world.root, 'a/stderr')), 'no-such-program: No such file or directory\n');
  t.is((await runToEnd(launcher, { folder: 'b', argv: ['/etc/passwd'], environment: {} })).code, 126);
  t.is((await runToEnd(launcher, { folder: 'c', argv: ['sh', '-c', 'exit 9'], environment: { 'x.y': '1' } })).code, 9);
});

scene(
  'a user that may not reach its sandbox is noted, and its tasks run all the same',
  { user: USER },
  async (t, world, launcher) => {
    t.deepEqual(
      launcher.isolation.notes.filter((note) => note.includes('may not pass')),
      [],
    );
    // The world's own folder is a temporary one of mode 0700 until the launcher opens it.
    const outer = mkdtempSync(join(tmpdir(), 'mesq-closed-'));
    chmodSync(outer, 0o700);
    const closed = await realLauncherWorld({ user: USER }, undefined, outer);
    try {
      const second = await closed.attach();
      t.is(second.isolation.notes.filter((note) => note.includes('may not pass')).length, 1);
      t.is(
        (await runToEnd(second, { folder: 'one', argv: ['sh', '-c', 'echo x >file; cat file'], environment: {} })).code,
        0,
      );
    } finally {
      await closed.end();
      rmSync(outer, { recursive: true });
    }
    t.true(world.root.length > 0);
  },
);

scene(
  'without control groups a memory limit holds for what each process may allocate',
  {},
  async (t, world, launcher) => {
    t.like(launcher.isolation, { cgroups: 'none', memory: 'process', cpu: false, processes: 'none' });
    const limits = { memoryBytes: 48 * 1_048_576 };
    const argv = (mb: number) => world.argv({ uses: mb, output: 'done', code: 3 });
    const greedy = await runToEnd(launcher, { folder: 'greedy', argv: argv(96), environment: {}, limits });
    t.not(greedy.code, 3);
    t.is(greedy.outOfMemory, undefined);
    t.is(textOf(join(world.root, 'greedy/stdout')), '');
    t.is((await runToEnd(launcher, { folder: 'modest', argv: argv(8), environment: {}, limits })).code, 3);
    t.is((await runToEnd(launcher, { folder: 'free', argv: argv(96), environment: {} })).code, 3);
  },
);

scene(
  'without control groups the processes of all tasks of a user have a bound',
  { user: USER },
  async (t, world, launcher) => {
    t.is(launcher.isolation.processes, 'user');
    const limits = { processes: 123 };
    await runToEnd(launcher, {
      folder: 'one',
      argv: ['sh', '-c', 'grep processes /proc/self/limits'],
      environment: {},
      limits,
    });
    t.regex(textOf(join(world.root, 'one/stdout')), /Max processes +123 +123 /);
  },
);

(asRoot ? test : test.skip)('volumes and checks belong to the user of the tasks', async (t) => {
  const root = mkdtempSync(join(tmpdir(), 'mesq-volumes-'));
  try {
    chmodSync(root, 0o711);
    await volumeFolders(join(root, 'volumes')).make('old/-data');
    for (const path of ['old/-data', 'role/sub/-data']) {
      await volumeFolders(join(root, 'volumes'), nobody).make(path);
      const folder = join(root, 'volumes', path);
      t.is(statSync(folder).uid, nobody.uid);
      t.is(statSync(join(folder, '..')).mode & 0o777, 0o711);
      const prober = systemProber(1, nobody);
      const argv = ['sh', '-c', '[ "$(id -u)" = "$WHO" ] && echo x >mark'];
      const environment = { WHO: String(nobody.uid) };
      t.deepEqual(await prober.probe({ kind: 'command', argv, environment, folder }, 60_000), { exitCode: 0 });
      t.is(statSync(join(folder, 'mark')).uid, nobody.uid);
      prober.stop();
    }
  } finally {
    rmSync(root, { recursive: true });
  }
});

test('a user is found by name, with all its groups', (t) => {
  const etc = mkdtempSync(join(tmpdir(), 'mesq-etc-'));
  try {
    writeFileSync(join(etc, 'passwd'), 'root:x:0:0::/root:/bin/sh\npi:x:1000:1001:,,,:/home/pi:/bin/bash\nbad:x:\n');
    writeFileSync(join(etc, 'group'), 'video:x:44:pi,other\ngpio:x:997:pi\npi:x:1001:\nodd\nother:x:5:pin\n');
    t.deepEqual(findUser('pi', etc), { name: 'pi', uid: 1000, gid: 1001, groups: [1001, 44, 997] });
    t.is(findUser('bad', etc), undefined);
    t.is(findUser('p', etc), undefined);
    t.is(findUser('pi', join(etc, 'none')), undefined);
  } finally {
    rmSync(etc, { recursive: true });
  }
});
