import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import anyTest, { type TestFn } from 'ava';
import { type OwnPodman, podmanMissing, startPodman } from '../io/podman.ts';
import { Cluster, eventually } from './cluster.ts';

const missing = podmanMissing();
let podman: OwnPodman;

if (missing !== undefined && process.env['CI'] !== 'true') {
  anyTest.skip(`tasks in containers: ${missing}`, () => undefined);
} else {
  const test = anyTest.serial as unknown as TestFn;
  anyTest.before(async () => {
    podman = await startPodman();
  });
  anyTest.after.always(() => podman?.stop());
  const withEngine = (...more: readonly string[]) => ({ more: ['--containers', podman.socket, ...more] });
  const without = { more: ['--containers', 'none'] };
  const image = (): string[] => ['--image', podman.image, '--network', 'none'];

  test('a task in a container: its output, its exit code, what it is told, where it may go', async (t) => {
    const cluster = await Cluster.start(t, { a1: without, a2: withEngine() });
    const script =
      'echo "$MESQ_AGENT $MESQ_TASK_INDEX $LEVEL"; echo kept > $MESQ_SANDBOX/file; ls $MESQ_SANDBOX; exit 6';
    const run = await cluster.mesq('run', ...image(), '--env', 'LEVEL=3', '--', '/bin/sh', '-c', script);
    t.is(run.stdout, 'a2 0 3\nfile\n', run.stderr);
    t.is(run.code, 6);
  });

  test('where nothing runs containers such a job waits, and why is said', async (t) => {
    const cluster = await Cluster.start(t, { a1: without });
    const job = await cluster.submit(...image(), '--', '/bin/true');
    const why = await cluster.mesq('why', job);
    t.regex(why.stdout, /containers~=docker\|podman/);
  });

  test('an agent killed while a container runs takes it up again, with all of its output and its exit code', async (t) => {
    const cluster = await Cluster.start(t, { a1: withEngine() });
    const script = 'for i in $(seq 60); do echo $i; sleep 0.05; done; exit 9';
    const job = await cluster.submit(...image(), '--', '/bin/sh', '-c', script);
    await cluster.task(job, 'TASK_RUNNING');
    await cluster.agents.get('a1')?.end('SIGKILL');
    await cluster.startAgent('a1');
    t.is((await cluster.mesq('wait', job)).code, 9);
    const numbers = Array.from({ length: 60 }, (_, index) => `${index + 1}\n`).join('');
    t.is((await cluster.mesq('logs', job)).stdout, numbers);
  });

  test('a container that takes more memory than was written is ended, and why is told', async (t) => {
    const cluster = await Cluster.start(t, { a1: withEngine() });
    // Keeps what might be the last line of an endless one.
    const run = await cluster.mesq('run', ...image(), '--mem', '32', '--', '/bin/tail', '/dev/zero');
    t.is(run.code, 137, run.stderr);
    t.regex(run.stderr, /memory/);
    const [task] = await cluster.tasks((await cluster.json<{ id: string }[]>('jobs'))[0]?.id ?? '');
    t.like(task, { state: 'TASK_FAILED', reason: 'CONTAINER_LIMITATION_MEMORY' });
  });

  test('a cancelled container gets its SIGTERM, then its end', async (t) => {
    const cluster = await Cluster.start(t, { a1: withEngine() });
    // The first process of a container ignores every signal that it does not handle.
    const job = await cluster.submit(
      ...image(),
      '--grace',
      '300ms',
      '--',
      '/bin/sh',
      '-c',
      'while :; do sleep 1; done',
    );
    await cluster.task(job, 'TASK_RUNNING');
    await cluster.mesq('cancel', job);
    await cluster.task(job, 'TASK_KILLED');
    await eventually(async () => (await podman.podman('ps', '--all', '--quiet')).trim() === '' || undefined);
    t.pass();
  });

  test('mesq exec is in the container of the task, with pipes or a terminal, and exits as its program does', async (t) => {
    const cluster = await Cluster.start(t, { a1: withEngine() });
    const job = await cluster.submit(...image(), '--', '/bin/sh', '-c', 'echo $$ >/inside; exec sleep 1000');
    await cluster.task(job, 'TASK_RUNNING');
    const plain = 'cat /inside; echo $MESQ_TASK_ID; echo apart >&2; [ -t 0 ] && echo terminal; exit 4';
    const piped = await eventually(async () => {
      const ended = await cluster.mesq('exec', job, '--', '/bin/sh', '-c', plain);
      return ended.stderr === 'apart\n' ? ended : undefined;
    });
    t.like(piped, { code: 4, stdout: `1\n${job}.0\n` });
    const typed = await cluster.mesq('exec', '--tty', job, '--', '/bin/sh', '-c', '[ -t 0 ] && echo terminal; exit 5');
    t.like(typed, { code: 5, stdout: 'terminal\r\n' });
    t.is((await cluster.mesq('exec', job, '--', '/bin/nothing')).code, 127);
    const held = cluster.spawn(['exec', job, '--', '/bin/sh', '-c', 'echo here; exec sleep 999']);
    await held.said(/here/);
    await held.end('SIGINT');
    const processes = async (): Promise<string> => podman.podman('top', '--latest', 'args');
    await eventually(async () => !(await processes()).includes('sleep 999') || undefined);
    t.regex(await processes(), /sleep 1000/);
  });

  test('a folder of the machine only where its operator allows it', async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'mesq-allowed-'));
    t.teardown(() => rm(folder, { recursive: true, force: true }));
    await writeFile(join(folder, 'greeting'), 'hello\n');
    const cluster = await Cluster.start(t, { a1: withEngine('--allow-mounts', folder) });
    const file = (host: string): string =>
      `command: [/bin/cat, /given/greeting]\ncontainer: {image: '${podman.image}', network: none, volumes: [{host: ${host}, path: /given, readOnly: true}]}\n`;
    await writeFile(join(cluster.folder, 'allowed.yaml'), file(folder));
    await writeFile(join(cluster.folder, 'barred.yaml'), file('/etc'));
    const allowed = (await cluster.mesq('submit', join(cluster.folder, 'allowed.yaml'))).stdout.trim();
    t.is((await cluster.mesq('wait', allowed)).code, 0);
    t.is((await cluster.mesq('logs', allowed)).stdout, 'hello\n');
    const barred = (await cluster.mesq('submit', join(cluster.folder, 'barred.yaml'))).stdout.trim();
    const refused = await eventually(async () => {
      const [task] = await cluster.tasks(barred);
      return task?.message?.includes('/etc') === true ? task : undefined;
    });
    t.regex(refused.message ?? '', /gives no container its \/etc/);
  });

  test('an engine that is started after the agent is found, and what waited for it is placed', async (t) => {
    await podman.endService();
    const cluster = await Cluster.start(t, { a1: withEngine() });
    await cluster.agents.get('a1')?.said(/no container engine answers/);
    const job = await cluster.submit(...image(), '--', '/bin/sh', '-c', 'echo late; exit 4');
    t.regex((await cluster.mesq('why', job)).stdout, /containers~=docker\|podman/);
    await podman.startService();
    t.is((await cluster.mesq('wait', job)).code, 4);
    t.is((await cluster.mesq('logs', job)).stdout, 'late\n');
    t.regex((await cluster.mesq('agents', '--json')).stdout, /podman/);
  });
}
