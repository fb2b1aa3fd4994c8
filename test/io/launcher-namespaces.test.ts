import { existsSync, mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { hostname, networkInterfaces } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import type { TaskExit } from '../../io/launcher.ts';
import { checkNamespaces, NAMESPACES } from '../../io/node/namespaces.ts';
import { findUser } from '../../io/node/users.ts';
import { launcherScenes, runToEnd } from './launcher-scene.ts';
import { textOf } from './launcher-world.ts';

const here = join('/tmp', `mesq-namespaces-${process.pid}`, 'work');
mkdirSync(here, { recursive: true });
const able = await checkNamespaces(NAMESPACES, here).then(
  () => true,
  (error: Error) => {
    console.warn(`SKIPPED: tests of tasks with namespaces of their own (${error.message})`);
    return false;
  },
);
rmSync(join(here, '..'), { recursive: true });

const scene = launcherScenes(() => able);

const someDevice = readdirSync('/dev').find(
  (name) =>
    statSync(join('/dev', name)).isCharacterDevice() &&
    !/^(null|zero|full|random|urandom|tty|console|ptmx)$/.test(name),
);

for (const user of ['root', 'nobody'].filter((name) => findUser(name) !== undefined))
  scene(
    `a task of ${user} finds its own devices in /dev and no others, and a /tmp of its own`,
    { user, namespaces: ['mount'] },
    async (t, world, launcher) => {
      t.deepEqual(launcher.isolation.namespaces, ['mount']);
      const script =
        'ls /dev; echo kept >/tmp/mine; ls /tmp; echo $((6 * 7)) >>/dev/stdout; head -c 4 /dev/zero | wc -c >>/dev/fd/1; echo x >/dev/null';
      const devices = someDevice === undefined ? [] : [`/dev/${someDevice}`, '/dev/is-not-there'];
      const exit = await runToEnd(launcher, {
        folder: 'fw/one/0',
        argv: ['sh', '-c', script],
        environment: {},
        devices,
      });
      const folder = join(world.root, 'fw/one/0');
      t.is(exit.code, 0, textOf(join(folder, 'stderr')));
      const base = [
        'fd',
        'full',
        'null',
        'ptmx',
        'pts',
        'random',
        'shm',
        'stderr',
        'stdin',
        'stdout',
        'tty',
        'urandom',
        'zero',
      ];
      const wanted = [...base, ...(someDevice === undefined ? [] : [someDevice])].sort();
      t.deepEqual(textOf(join(folder, 'stdout')).split('\n'), [...wanted, 'mine', '42', '4', '']);
      t.false(existsSync('/tmp/mine'));
      t.is(textOf(join(folder, 'tmp/mine')), 'kept\n', 'on disk, beside the sandbox');
      t.is((await runToEnd(launcher, { folder: 'fw/two/0', argv: ['ls', '/tmp'], environment: {} })).code, 0);
      t.is(textOf(join(world.root, 'fw/two/0/stdout')), '', 'nothing of another task');
      await launcher.remove('fw/one/0');
      t.false(existsSync(folder), 'nothing is mounted here');
    },
  );

scene(
  'a task has a name of the machine, message queues and a network of its own, and is signalled as any',
  { namespaces: ['ipc', 'uts', 'net'] },
  async (t, world, launcher) => {
    const argv = [
      'sh',
      '-c',
      'hostname elsewhere && hostname; ls /sys/class/net >/dev/null; tail -n +3 /proc/net/dev | wc -l; readlink /proc/self/ns/ipc',
    ];
    const before = hostname();
    t.is(
      (await runToEnd(launcher, { folder: 'one', argv, environment: {} })).code,
      0,
      textOf(join(world.root, 'one/stderr')),
    );
    const [name, interfaces, ipc] = textOf(join(world.root, 'one/stdout')).split('\n');
    t.is(name, 'elsewhere');
    t.is(hostname(), before);
    t.is(Number(interfaces), 1, 'its own lo');
    t.true(Object.keys(networkInterfaces()).length >= 1);
    t.not(ipc, textOf('/proc/self/ns/ipc'));
    const end = new Promise<TaskExit>((resolve) => launcher.onExit((exit) => exit.folder === 'two' && resolve(exit)));
    const begun = new Promise<void>((resolve) => launcher.onStarted(({ folder }) => folder === 'two' && resolve()));
    await launcher.launch({ folder: 'two', argv: ['sleep', '1000'], environment: {} });
    await begun;
    await world.processes('two', 1);
    t.true(await launcher.signal('two', 'SIGTERM'));
    t.is((await end).code, 143);
  },
);

test('what cannot be made is said before a task needs it', async (t) => {
  await t.throwsAsync(checkNamespaces(['mount'], '/no/such/folder'), { message: /cannot have their own mount: / });
});
