import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { otherVersion } from './board.ts';
import { Cluster, eventually, MESQ } from './cluster.ts';
import { RealSystemd } from './real-systemd.ts';

/** What a task sees of the unit's sandbox, then waits. */
const LOOK = `
for folder in /usr /etc /root; do touch $folder/x 2>/dev/null && echo "wrote $folder"; done
touch /var/tmp/mesq-x && echo "wrote /var/tmp"
date -s 2020-01-01 >/dev/null 2>&1 && echo 'set the clock'
grep NoNewPrivs /proc/self/status
`;

test('with a real systemd: tasks live in the sandbox, and outlive a restart, an upgrade and a version that fails', async (t) => {
  const cluster = await Cluster.start(t, {});
  const shared = join(cluster.folder, 'shared');
  await mkdir(shared);
  const systemd = await RealSystemd.boot(cluster.folder, [shared, process.cwd()]);
  if (systemd instanceof Error) {
    t.log(`skipped: ${systemd.message}`);
    t.pass();
    return;
  }
  t.teardown(() => systemd.stop());
  const agent = (...argv: string[]) => systemd.run(process.execPath, MESQ, 'agent', ...argv);
  const mainPid = async (): Promise<string> =>
    (await systemd.run('systemctl', 'show', '--property=MainPID', 'mesq-agent.service')).stdout;
  const active = (): Promise<true> =>
    eventually(async () => {
      const agents = await cluster.json<{ name: string; state: string }[]>('agents');
      return agents.some(({ name, state }) => name === 'board' && state === 'active') || undefined;
    });

  const installed = await agent('install', '--master', cluster.url, '--name', 'board');
  t.is(installed.code, 0, installed.stdout + installed.stderr);
  t.regex(installed.stdout, /running\nsystemd-analyze verify: clean\n/);
  await active();
  const stop = join(shared, 'stop');
  const job = await cluster.submit('--', 'bash', '-c', `${LOOK}until [ -e ${stop} ]; do sleep 0.1; done; echo end`);
  const running = await cluster.task(job, 'TASK_RUNNING');

  const first = await mainPid();
  t.is((await systemd.run('systemctl', 'restart', 'mesq-agent.service')).code, 0);
  t.not(await mainPid(), first);
  await active();
  const next = await otherVersion(join(shared, 'v2'), '0.2.0');
  const upgraded = await agent('upgrade', next);
  t.is(upgraded.stdout, '0.1.0 → 0.2.0\n', upgraded.stderr);
  const broken = "if (process.argv[2] === '--version') console.log('0.3.0'); else process.exit(1);";
  const failed = await agent('upgrade', await otherVersion(join(shared, 'v3'), '0.3.0', broken), '--wait', '3s');
  t.is(failed.code, 1);
  t.regex(failed.stderr, /0\.2\.0 runs again/);

  const [after] = await cluster.tasks(job);
  t.like(after, { state: 'TASK_RUNNING', attempt: running.attempt, started: running.started });
  t.is((await agent('uninstall')).code, 1, 'a task runs');
  await writeFile(stop, '');
  t.is(await cluster.end(job), 'TASK_FINISHED');
  const { stdout } = await cluster.mesq('logs', job);
  t.is(stdout, 'wrote /var/tmp\nNoNewPrivs:\t1\nend\n');

  const gone = await agent('uninstall', '--force');
  t.is(gone.code, 0, gone.stderr);
  t.is((await systemd.run('systemctl', 'is-active', 'mesq-agent.service')).stdout, 'inactive\n');
  t.is((await systemd.run('ls', '/etc/mesq', '/opt/mesq', '/var/lib/mesq')).stdout, '');
});
