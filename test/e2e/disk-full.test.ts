import { spawnSync } from 'node:child_process';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { Fault } from '../../sdk/index.ts';
import { spec } from '../frameworks/batch-world.ts';
import { Cluster, eventually, MESQ, start } from './cluster.ts';
import { Quorum } from './quorum.ts';

/** A disk of 16 MB that only what is started with it can see: a mount namespace of their own. */
const SMALL_DISK = 'mount -t tmpfs -o size=16m tmpfs "$0" && exec "$@"';

const able = spawnSync('unshare', ['-rm', 'sh', '-c', 'mount -t tmpfs tmpfs /tmp']).status === 0;

test("the agent's disk fills up: running tasks go on, new ones are refused in words, and with space it works again", async (t) => {
  if (!able && process.env['CI'] !== 'true') {
    t.log('skipped: no mount namespace can be made here (unshare -rm)');
    return t.pass();
  }
  const cluster = await Cluster.start(t, {});
  const data = cluster.dataOf('a1');
  await mkdir(data);
  const argv = ['agent', '--master', cluster.url, '--name', 'a1', '--data', data, '--log', 'debug'];
  const agent = start('unshare', [
    ...['-rm', 'sh', '-c', SMALL_DISK, data, process.execPath, MESQ, ...argv],
    ...['--resources', 'cpus:4;mem:1024;disk:16'],
  ]);
  cluster.agents.set('a1', agent);
  await cluster.active('a1');
  const free = join(cluster.folder, 'free');
  const full = join(cluster.folder, 'full');
  const script = [
    'head -c 100M /dev/zero > ../filler 2>/dev/null',
    'while echo x >> ../filler; do :; done 2>/dev/null',
    `: > ${full}; until [ -e ${free} ]; do sleep 0.05; done`,
    'rm ../filler; exit 6',
  ].join('; ');
  const filling = await cluster.submit('--', 'sh', '-c', script);
  await eventually(() => readFile(full, 'utf8').catch(() => undefined));

  const refused = await cluster.submit('--retries', '0', '--', 'true');
  const why = await eventually(async () => {
    const [task] = await cluster.tasks(refused);
    return task?.reason ?? undefined;
  });
  t.is(why, 'AGENT_DISK_FULL');
  t.is(agent.process.exitCode, null);
  t.is((await cluster.task(filling, 'TASK_RUNNING')).attempt, 0);

  await writeFile(free, '');
  t.is((await cluster.mesq('wait', filling)).code, 6);
  t.is((await cluster.mesq('run', '--', 'echo', 'well again')).stdout, 'well again\n');
  return t.is(agent.process.exitCode, null);
});

test("a leader's disk fills up: it ends and says why, the others go on, and with space it catches up", async (t) => {
  if (!able && process.env['CI'] !== 'true') {
    t.log('skipped: no mount namespace can be made here (unshare -rm)');
    return t.pass();
  }
  let disk = '';
  const quorum = await Quorum.start(t, 1, {
    data: async (id, folder) => {
      if (id !== 'm1') return undefined;
      const mounted = join(folder, 'small');
      await mkdir(mounted);
      const keep = ['sh', '-c', 'echo mounted; exec sleep infinity'];
      const keeper = start('unshare', ['-rm', 'sh', '-c', SMALL_DISK, mounted, ...keep], { DISK: mounted });
      await keeper.said(/mounted/);
      disk = join(`/proc/${keeper.pid}/root`, mounted);
      return join(disk, 'm1');
    },
  });
  await quorum.handOver('m1');
  await start('sh', ['-c', 'cat /dev/zero > "$0"', join(disk, 'filler')]).ended;
  let full = false;
  const ended = quorum.masters.get('m1')?.ended.then((end) => {
    full = true;
    return end;
  });
  // What the log has set aside is written first.
  const client = await quorum.client();
  for (let count = 0; !full; count++) {
    const job = spec({ job: `big-${count}`, environment: { PADDING: 'x'.repeat(16_000) } });
    const answer = await client.request('submit', job, { framework: 'batch', request: job.job, timeoutMs: 60_000 });
    if (answer instanceof Fault) throw new Error(answer.message);
  }
  const end = await ended;
  t.is(end?.code, 1);
  t.regex(end?.stderr ?? '', /ENOSPC/);
  const run = await quorum.spawn(['run', '--', 'echo', 'without it']).ended;
  t.like(run, { code: 0, stdout: 'without it\n' }, run.stderr);

  await rm(join(disk, 'filler'));
  quorum.startMaster('m1');
  await quorum.whole();
  await quorum.handOver('m1');
  return t.is((await quorum.spawn(['run', '--', 'echo', 'well again']).ended).stdout, 'well again\n');
});
