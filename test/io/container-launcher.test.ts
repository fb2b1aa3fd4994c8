import { execFileSync } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import anyTest, { type ExecutionContext, type TestFn } from 'ava';
import { LateEngine } from '../../io/late-engine.ts';
import type { ContainerTask, Launcher, TaskExit } from '../../io/launcher.ts';
import { launchContainers } from '../../io/node/container-launcher.ts';
import { openOutputFile } from '../../io/node/output-file.ts';
import { quietPort } from '../quiet-port.ts';
import { noProcesses } from './no-processes.ts';
import { type OwnPodman, podmanMissing, startPodman } from './podman.ts';
import { startRegistry } from './registry.ts';

const missing = podmanMissing();
const SILENT = { debug: nothing, info: nothing, warn: nothing, error: nothing };
const CAP = 16 * 1_048_576;
let podman: OwnPodman;

if (missing !== undefined && process.env['CI'] !== 'true') {
  anyTest.skip(`tasks in containers: ${missing}`, () => undefined);
} else {
  const test = anyTest.serial as unknown as TestFn;
  anyTest.before(async () => {
    podman = await startPodman();
  });
  anyTest.after.always(() => podman?.stop());

  test('a container task has its output in its files and its exit status told; nothing is left of it', async (t) => {
    const place = await placeOf(t);
    const { launcher, ended } = await place.attach();
    await launcher.launch(start('batch/t1/0', 'printf out; echo error >&2; exit 7'));
    t.deepEqual(await ended('batch/t1/0'), { folder: 'batch/t1/0', code: 7 });
    t.is(await place.read('batch/t1/0/stdout'), 'out');
    t.is(await place.read('batch/t1/0/stderr'), 'error\n');
    t.deepEqual(await launcher.adopt('batch/t1/0'), { state: 'exited', code: 7 });
    await gone(t);
  });

  test('root in a container makes no device and no program with rights, and no user of the machine comes into its sandbox', async (t) => {
    const place = await placeOf(t);
    await mkdir(place.path('batch/t0/0/work'), { recursive: true });
    await chmod(place.path('batch/t0/0'), 0o711);
    const { launcher, ended } = await place.attach();
    const script = 'while read -r key value; do [ "$key" = CapBnd: ] && echo "$value"; done </proc/self/status';
    await launcher.launch(start('batch/t0/0', script));
    await ended('batch/t0/0');
    const rights = BigInt(`0x${(await place.read('batch/t0/0/stdout')).trim()}`);
    t.true(rights > 0n);
    // capabilities(7): CAP_MKNOD is 27, CAP_SETFCAP 31.
    for (const right of [27n, 31n]) t.is((rights >> right) & 1n, 0n, `${right}`);
    t.is((await stat(place.path('batch/t0/0'))).mode & 0o777, 0o700);
    await gone(t);
  });

  test('another launcher finds a running container, and every line of its output once', async (t) => {
    const place = await placeOf(t);
    const first = await place.attach();
    // The second half comes when it is asked for, and not before the other launcher is there.
    const script =
      'for i in $(seq 300); do echo line $i; while [ $i = 150 ] && [ ! -e /asks/on ]; do sleep 0.01; done; done; exit 5';
    const asks = place.path('asks');
    await mkdir(asks);
    const mounts = [{ source: asks, target: '/asks', readOnly: true }];
    await first.launcher.launch(start('batch/t2/0', script, { mounts }));
    await first.started('batch/t2/0');
    await place.holds('batch/t2/0/stdout', 'line 120\n');
    await first.launcher.close();
    const before = await place.read('batch/t2/0/stdout');
    t.false(before.includes('line 300\n'));
    const second = await place.attach();
    const exit = second.ended('batch/t2/0');
    t.like(await second.launcher.adopt('batch/t2/0'), { state: 'running', supervised: true });
    await writeFile(join(asks, 'on'), '');
    t.is((await exit).code, 5);
    const lines = Array.from({ length: 300 }, (_, index) => `line ${index + 1}\n`);
    t.is(await place.read('batch/t2/0/stdout'), lines.join(''));
  });

  test('what ended while nobody looked is found with its output and its exit status', async (t) => {
    const place = await placeOf(t);
    const first = await place.attach();
    await first.launcher.launch(start('batch/t3/0', 'echo early; sleep 0.5; echo late; exit 9'));
    await place.holds('batch/t3/0/stdout', 'early\n');
    await first.launcher.close();
    const [name = ''] = (await podman.podman('ps', '--all', '--format', '{{.Names}}')).trim().split('\n');
    await podman.podman('wait', name);
    const { launcher } = await place.attach();
    t.deepEqual(await launcher.adopt('batch/t3/0'), { state: 'exited', code: 9 });
    t.is(await place.read('batch/t3/0/stdout'), 'early\nlate\n');
    await gone(t);
  });

  test('of the machine’s devices it has those that were chosen, and can use them', async (t) => {
    const nodes = ['gpu0', 'gpu1'].map((name) => `/dev/mesq-${name}-${process.pid}`);
    t.teardown(() => Promise.all(nodes.map((node) => rm(node, { force: true }))));
    // As /dev/zero is, under the names of two GPUs.
    for (const node of nodes) execFileSync('mknod', [node, 'c', '1', '5']);
    const place = await placeOf(t);
    const { launcher, ended } = await place.attach();
    const script = `cd /dev; echo mesq-gpu*; dd if=${nodes[1]} bs=4 count=1 2>&1 >/dev/null | tail -n 1`;
    await launcher.launch(
      start('batch/t20/0', script, { devices: nodes.slice(1), environment: { NVIDIA_VISIBLE_DEVICES: '1' } }),
    );
    t.is((await ended('batch/t20/0')).code, 0);
    t.regex(await place.read('batch/t20/0/stdout'), new RegExp(`^mesq-gpu1-${process.pid}\n1\\+0 records out`));
  });

  test('signals reach it; the kernel’s word on memory is told', async (t) => {
    const place = await placeOf(t);
    const { launcher, ended, started } = await place.attach();
    await launcher.launch(start('batch/t4/0', 'trap "exit 3" TERM; while :; do sleep 0.05; done'));
    await started('batch/t4/0');
    await launcher.launch(start('batch/t5/0', 'while :; do sleep 1; done', { limits: { memoryBytes: 33_554_432 } }));
    await started('batch/t5/0');
    await launcher.launch(start('batch/t6/0', 'tail /dev/zero; exit $?', { limits: { memoryBytes: 33_554_432 } }));
    t.deepEqual(await ended('batch/t6/0'), { folder: 'batch/t6/0', code: 137, outOfMemory: 'limit' } as TaskExit);
    t.true(await launcher.signal('batch/t4/0', 'SIGTERM'));
    t.is((await ended('batch/t4/0')).code, 3);
    t.true(await launcher.signal('batch/t5/0', 'SIGKILL'));
    t.deepEqual(await ended('batch/t5/0'), { folder: 'batch/t5/0', code: 137 });
    t.false(await launcher.signal('batch/t5/0', 'SIGKILL'));
    await gone(t);
  });

  test('no such image, no image of that name, no command, no such program: an exit status, and why', async (t) => {
    const place = await placeOf(t);
    const { launcher, ended, said } = await place.attach();
    await launcher.launch(start('batch/t7/0', '', { image: 'localhost/none:1', pull: 'never' }));
    t.is((await ended('batch/t7/0')).code, 125);
    t.regex(await place.read('batch/t7/0/stderr'), /localhost\/none:1 is not on this machine/);
    await launcher.launch(start('batch/t8/0', '', { argv: ['/bin/no-such-program'] }));
    t.is((await ended('batch/t8/0')).code, 127);
    // Podman has no 4xx for either.
    await launcher.launch(start('batch/t16/0', '', { image: 'no/Such:1' }));
    t.is((await ended('batch/t16/0')).code, 125);
    t.regex(await place.read('batch/t16/0/stderr'), /^mesq: image no\/Such:1: .*repository name must be lowercase\n$/);
    await launcher.launch(start('batch/t17/0', '', { argv: [] }));
    t.is((await ended('batch/t17/0')).code, 125);
    t.regex(await place.read('batch/t17/0/stderr'), /^mesq: .*no command or entrypoint/);
    t.deepEqual(
      said.filter((message) => message.includes('again')),
      [],
    );
    await gone(t);
  });

  test('an engine that fails at making a container is asked again, later each time, and that is said', async (t) => {
    const place = await placeOf(t);
    const { launcher, words, said } = await place.attach();
    await launcher.launch(start('batch/t18/0', '', { devices: ['/dev/no-such-device'] }));
    await words(/^no container yet, again in 1 s: .*no-such-device/);
    t.true(await launcher.claim('batch/t18/0'));
    t.is(said.length, 1);
  });

  test('a claimed folder starts no container', async (t) => {
    const place = await placeOf(t);
    const { launcher, started, ended } = await place.attach();
    const [won] = await Promise.all([
      launcher.launch(start('batch/t9/0', 'echo ran')).then(() => launcher.claim('batch/t9/0')),
    ]);
    t.true(won);
    t.deepEqual(await launcher.adopt('batch/t9/0'), { state: 'withdrawn' });
    await launcher.launch(start('batch/t10/0', 'exit 0'));
    await started('batch/t10/0');
    t.false(await launcher.claim('batch/t10/0'));
    t.is((await ended('batch/t10/0')).code, 0);
    t.is(await place.read('batch/t9/0/stdout'), '');
    await gone(t);
  });

  test('an engine whose service dies is asked again, and nothing of the output is lost or doubled', async (t) => {
    const place = await placeOf(t);
    const { launcher, ended } = await place.attach();
    await launcher.launch(start('batch/t11/0', 'for i in $(seq 40); do echo $i; sleep 0.05; done; exit 4'));
    await place.holds('batch/t11/0/stdout', '5\n');
    await podman.endService();
    await podman.startService();
    t.is((await ended('batch/t11/0')).code, 4);
    t.is(await place.read('batch/t11/0/stdout'), Array.from({ length: 40 }, (_, index) => `${index + 1}\n`).join(''));
  });

  test('on a bridge a port of the machine leads to one of the container', async (t) => {
    const port = await quietPort();
    const place = await placeOf(t);
    const { launcher, ended, started } = await place.attach();
    // Whoever connects before the way is whole may be cut off within: the next one is answered too.
    const answer = "while :; do /bin/busybox nc -l -p 80 -e /bin/printf 'from inside'; done";
    const ports = [{ host: port, container: 80 }];
    await launcher.launch(start('batch/t15/0', answer, { network: 'bridge', ports }));
    await started('batch/t15/0');
    t.is(await heard(port), 'from inside');
    t.true(await launcher.signal('batch/t15/0', 'SIGKILL'));
    t.is((await ended('batch/t15/0')).code, 137);
  });

  test('an image is pulled, the break of a connection survived, and what came whole is not fetched again', async (t) => {
    const registry = await startRegistry(await podman.layers());
    t.teardown(() => registry.stop());
    await podman.trust(registry.address);
    const place = await placeOf(t);
    const { launcher, ended, words } = await place.attach();
    registry.broken = 1;
    await launcher.launch(start('batch/t12/0', '', { image: registry.image, argv: [] }));
    await words(/broke off, again in 2 s/);
    const before = registry.asked.length;
    registry.broken = undefined;
    t.is((await ended('batch/t12/0')).code, 0);
    t.is(await place.read('batch/t12/0/stdout'), 'from the image');
    t.deepEqual(registry.asked.slice(before), ['1']);
    await launcher.launch(start('batch/t13/0', '', { image: `${registry.address}/mesq/test:2` }));
    t.is((await ended('batch/t13/0')).code, 125);
    t.regex(await place.read('batch/t13/0/stderr'), /cannot be pulled: .*manifest unknown/);
  });

  test('a task whose image is on its way can be withdrawn', async (t) => {
    const registry = await startRegistry([]);
    await registry.stop();
    const place = await placeOf(t);
    const { launcher, words } = await place.attach();
    await launcher.launch(start('batch/t14/0', '', { image: registry.image, argv: [] }));
    await words(/broke off/);
    t.true(await launcher.claim('batch/t14/0'));
    t.deepEqual(await launcher.adopt('batch/t14/0'), { state: 'withdrawn' });
  });
}

function nothing(): void {}

/** What is said at that port, once somebody says something: the program listens a moment after its process is there. */
async function heard(port: number): Promise<string> {
  for (;;) {
    const text = await new Promise<string>((resolve) => {
      let all = '';
      const socket = connect(port, '127.0.0.1');
      socket.setEncoding('utf8');
      socket.on('data', (piece: string) => {
        all += piece;
      });
      socket.on('error', () => undefined);
      socket.once('close', () => resolve(all));
    });
    if (text !== '') return text;
  }
}

function start(folder: string, script: string, rest: Partial<ContainerTask> = {}) {
  const container: ContainerTask = {
    image: podman.image,
    argv: ['/bin/sh', '-c', script],
    environment: {},
    network: 'none',
    ports: [],
    mounts: [],
    devices: [],
    limits: {},
    pull: 'missing',
    ...rest,
  };
  return { folder, argv: [], environment: {}, container };
}

async function placeOf(t: ExecutionContext) {
  const root = await mkdtemp(join(tmpdir(), 'mesq-containers-'));
  const launchers: Launcher[] = [];
  t.teardown(async () => {
    for (const launcher of launchers) await launcher.close();
    await rm(root, { recursive: true, force: true });
  });
  const output = (folder: string, stream: 'stdout' | 'stderr') => openOutputFile(join(root, folder, stream), CAP);
  const read = (path: string): Promise<string> => readFile(join(root, path), 'utf8');
  return {
    read,
    path: (path: string): string => join(root, path),
    /** Resolves once the file holds that. */
    holds: async (path: string, text: string): Promise<void> => {
      const at = path.lastIndexOf('/');
      const file = output(path.slice(0, at), path.slice(at + 1) as 'stdout');
      let stop = (): void => undefined;
      await new Promise<void>((resolve) => {
        const look = (): void => void read(path).then((all) => (all.includes(text) ? resolve() : undefined));
        stop = file.watch(look);
        look();
      });
      stop();
    },
    attach: async () => {
      const exits = new Map<string, TaskExit>();
      const running = new Set<string>();
      const said: string[] = [];
      const waiting = new Set<() => void>();
      const news = (): void => {
        for (const look of waiting) look();
      };
      const engine = new LateEngine({
        find: async () => ({ ...(await podman.engine.version()), containers: podman.engine, socket: podman.socket }),
        isThere: () => Promise.resolve(true),
        log: SILENT,
      });
      await engine.look();
      const launcher = await launchContainers({ engine, root, processes: noProcesses(), output, log: SILENT });
      launchers.push(launcher);
      launcher.onStarted(({ folder }) => {
        running.add(folder);
        news();
      });
      launcher.onFetching?.(({ message }) => {
        said.push(message);
        news();
      });
      launcher.onExit((exit) => {
        exits.set(exit.folder, exit);
        news();
      });
      const until = <Value>(found: () => Value | undefined): Promise<Value> =>
        new Promise((resolve) => {
          const look = (): void => {
            const value = found();
            if (value === undefined) return;
            waiting.delete(look);
            resolve(value);
          };
          waiting.add(look);
          look();
        });
      return {
        launcher,
        said,
        words: (pattern: RegExp) => until(() => said.find((message) => pattern.test(message))),
        ended: (folder: string) => until(() => exits.get(folder)),
        started: (folder: string) => until(() => (running.has(folder) ? true : undefined)),
      };
    },
  };
}

/** No container is left, once what is being removed is. */
async function gone(t: ExecutionContext): Promise<void> {
  for (;;) {
    const left = (await podman.podman('ps', '--all', '--format', '{{.Names}}')).trim();
    if (left === '') break;
    t.log(`still there: ${left}`);
  }
}

/** Starts no processes. */
