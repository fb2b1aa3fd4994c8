import { execFile, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { copyFile, mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import test, { type ExecutionContext } from 'ava';
import { podmanMissing, startPodman } from '../io/podman.ts';
import { Cluster, eventually } from './cluster.ts';
import { debianRoot } from './debian-root.ts';
import { securedMaster } from './secured-master.ts';

const run = promisify(execFile);
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' };
const architecture = ARCHITECTURES[process.arch];

function missing(): string | undefined {
  if (architecture === undefined) return `no image is made for ${process.arch}`;
  if (!existsSync('/usr/libexec/podman/catatonit')) return 'no catatonit, which is --init of podman';
  if (spawnSync('dpkg-query', ['--version']).status !== 0) return 'no Debian here that a base could be made of';
  return podmanMissing();
}

function skipped(t: ExecutionContext, why: string): void {
  if (process.env['CI'] === 'true') t.fail(why);
  else {
    t.log(`skipped: ${why}`);
    console.error(`the container image is not tested: ${why}`);
    t.pass();
  }
}

/** The command of docs/install.md that starts with `docker run`, as words. */
async function documentedRun(): Promise<string[]> {
  const [, command = ''] = /```sh\n(docker run [\s\S]*?)```/.exec(await readFile('docs/install.md', 'utf8')) ?? [];
  return command.replaceAll('\\\n', ' ').trim().split(/\s+/);
}

test('an image is built without a network, and an agent in it joins, runs tasks, and is itself again after its container was stopped', async (t) => {
  const why = missing();
  if (why !== undefined) return skipped(t, why);
  const podman = await startPodman();
  t.teardown(() => podman.stop());
  await podman.podman('import', debianRoot(join(podman.folder, 'debian.tar')) ?? '', 'localhost/debian:here');
  const built = join(podman.folder, 'image');
  const argv = ['--quick', '--arch', architecture ?? '', '--engine', 'podman', '--base', 'localhost/debian:here'];
  const { stdout } = await run(process.execPath, ['build/tools/image.js', ...argv, '--out', built], {
    env: podman.environment,
  });
  const [file = ''] = stdout.split(' ');
  // As on a board, which has nothing but the file.
  await podman.podman('rmi', '--force', 'localhost/mesquite-agent:0.1.0', 'localhost/debian:here');
  await run('sh', ['-c', 'gunzip -c "$0" | podman load', file], { env: podman.environment });

  const cluster = await Cluster.start(t, {});
  const { secure, certificate } = await securedMaster(cluster);
  const { token } = await cluster.json<{ token: string }>('token', 'create', '--role', 'join', '--name', 'roof');
  const [etc, data] = [join(cluster.folder, 'etc'), join(cluster.folder, 'lib')];
  await mkdir(etc);
  await mkdir(data);
  await copyFile(certificate, join(etc, 'ca.pem'));
  const [, verb, ...words] = await documentedRun();
  const here = words.map((word) =>
    word
      .replace(/^\/etc\/mesq:/, `${etc}:`)
      .replace(/^\/var\/lib\/mesq:/, `${data}:`)
      .replace(/^mqtts:.*/, secure),
  );
  await run('podman', [verb ?? '', ...here], { env: { ...podman.environment, MESQ_TOKEN: token, TZ: 'UTC' } });
  const credential = (): Promise<{ name?: string }> =>
    readFile(join(data, 'agent/credential.json'), 'utf8').then(JSON.parse, () => ({}));
  const said = async (): Promise<string> => {
    const { stdout, stderr } = await run('podman', ['logs', 'mesq-agent'], { env: podman.environment });
    return stdout + stderr;
  };
  const active = (): Promise<string> =>
    eventually(async () => {
      const restarts = await podman.podman('inspect', '--format', '{{.RestartCount}}', 'mesq-agent');
      if (restarts.trim() !== '0') throw new Error(`the agent ended: ${await said()}`);
      const agents = await cluster.json<{ name: string; state: string }[]>('agents');
      return agents.find(({ state }) => state === 'active')?.name;
    });
  const name = await active();
  t.is((await credential()).name, name);
  t.notRegex(await said(), /unrecognized/, 'nor does its own Node, which is not the one that tests run with, complain');

  const greeting = await cluster.mesq(
    'run',
    '--',
    'sh',
    '-c',
    'echo "$MESQ_AGENT"; . /etc/os-release; echo $ID; exit 6',
  );
  t.like(greeting, { code: 6, stdout: `${name}\ndebian\n` }, greeting.stderr);
  const stats = await cluster.mesq('agent', 'stats', name);
  t.regex(stats.stdout, /tasks +started, restarted +1, 0/, stats.stderr);

  const once = await cluster.submit('--no-requeue', '--', 'sleep', '600');
  const always = await cluster.submit('--restart', 'always', '--', 'sleep', '600');
  await cluster.task(once, 'TASK_RUNNING');
  const before = await cluster.task(always, 'TASK_RUNNING');
  await podman.podman('stop', 'mesq-agent');
  await podman.podman('start', 'mesq-agent');
  await cluster.end(once);
  t.like(
    (await cluster.tasks(once))[0],
    { state: 'TASK_FAILED', reason: 'LAUNCHER_LOST' },
    'its process went with the container',
  );
  const after = await eventually(async () =>
    (await cluster.tasks(always)).find(({ state, restart }) => state === 'TASK_RUNNING' && restart === 1),
  );
  t.is(after.attempt, before.attempt, 'restarted by the agent, not placed anew');
  const agents = await cluster.json<{ name: string; state: string }[]>('agents');
  t.deepEqual(
    agents.map(({ name, state }) => [name, state]),
    [[name, 'active']],
    'the agent that it was',
  );
});
