import { readFile, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { Cluster, eventually } from './cluster.ts';

/** Writes down its own start, and goes on until it is let go. */
function waiting(folder: string, name: string): string {
  return `echo ${name} >> ${folder}/starts; until [ -e ${folder}/go ]; do sleep 0.05; done; echo ${name} ends`;
}

async function starts(folder: string): Promise<string[]> {
  const text = await readFile(join(folder, 'starts'), 'utf8').catch(() => '');
  return text.split('\n').filter((line) => line !== '');
}

/** Waits until `mesq ps` shows the job's task in that state: batch does not know the job. */
function orphan(cluster: Cluster, job: string, state: string): Promise<unknown> {
  return eventually(async () => {
    const tasks = await cluster.json<{ job: string; state: string }[]>('ps');
    return tasks.find((task) => task.job === job && task.state === state);
  });
}

/** The agent follows the generation, and is active. */
async function follows(cluster: Cluster, generation: number): Promise<void> {
  const file = join(cluster.dataOf('a1'), 'cluster.json');
  await eventually(async () => (await readFile(file, 'utf8')).includes(`"generation":${generation}`) || undefined);
  await cluster.active('a1');
}

test('a restored backup takes agents and tasks over without killing one, those it has forgotten too', async (t) => {
  const cluster = await Cluster.start(t);
  const { folder } = cluster;
  const known = await cluster.submit('--name', 'known', '--', 'sh', '-c', waiting(folder, 'known'));
  await cluster.task(known, 'TASK_RUNNING');
  const backup = join(folder, 'mesq.backup');
  const said = await cluster.json<{ cluster: string; generation: number }>('backup', backup);
  t.is(said.generation, 1);
  t.is((await stat(backup)).mode & 0o777, 0o600);
  const forgotten = await cluster.submit('--name', 'forgotten', '--', 'sh', '-c', waiting(folder, 'forgotten'));
  await cluster.task(forgotten, 'TASK_RUNNING');

  await cluster.master?.end('SIGKILL');
  const refused = await cluster.mesq('restore', backup, '--data', join(folder, 'm1'));
  t.is(refused.code, 1);
  t.regex(refused.stderr, /has the log of a master already/);
  await rename(join(folder, 'm1'), join(folder, 'lost'));
  const restored = await cluster.json<{ cluster: string; generation: number }>(
    'restore',
    backup,
    '--data',
    join(folder, 'm1'),
  );
  t.like(restored, { cluster: said.cluster, generation: 2 });
  await cluster.startMaster();
  await follows(cluster, 2);

  await cluster.task(known, 'TASK_RUNNING');
  await orphan(cluster, forgotten, 'TASK_RUNNING');
  t.deepEqual(await starts(folder), ['known', 'forgotten'], 'neither was killed, neither started again');
  const killed = await cluster.mesq('kill', `${forgotten}.0`);
  t.is(killed.code, 0, killed.stderr);
  await orphan(cluster, forgotten, 'TASK_KILLED');

  const later = await cluster.submit('--', 'true');
  t.is(
    (await cluster.task(later, 'TASK_FINISHED')).attempt,
    1_000,
    'numbers of forgotten attempts are not given again',
  );
  const end = cluster.spawn(['wait', known]);
  await cluster.mesq('run', '--', 'touch', join(folder, 'go'));
  t.is((await end.ended).code, 0);
  t.deepEqual(await starts(folder), ['known', 'forgotten']);
});

test('a lost single master is recreated without a backup, by what the agent says of its cluster', async (t) => {
  const cluster = await Cluster.start(t);
  const { folder } = cluster;
  const job = await cluster.submit('--', 'sh', '-c', waiting(folder, 'one'));
  await cluster.task(job, 'TASK_RUNNING');
  await cluster.master?.end('SIGKILL');
  await rename(join(folder, 'm1'), join(folder, 'lost'));

  await cluster.startMaster();
  const [, uuid = '', generation = ''] =
    (await cluster.agents.get('a1')?.said(/restore --recreate (\S+) --generation (\d+)/)) ?? [];
  await cluster.master?.end('SIGKILL');
  await rename(join(folder, 'm1'), join(folder, 'stranger'));
  const made = ['restore', '--recreate', uuid, '--generation', generation, '--data', join(folder, 'm1')];
  const restored = await cluster.json<{ generation: number }>(...made);
  t.is(restored.generation, 2);
  await cluster.startMaster();
  // An agent that was refused asks again after a minute; one that is started anew asks at once.
  await cluster.agents.get('a1')?.end('SIGKILL');
  await cluster.startAgent('a1');
  await orphan(cluster, job, 'TASK_RUNNING');
  t.deepEqual(await starts(folder), ['one']);
});

test('what is no backup, or a damaged one, is refused and leaves the data folder as it was', async (t) => {
  const cluster = await Cluster.start(t, {});
  const { folder } = cluster;
  const backup = join(folder, 'mesq.backup');
  await cluster.json('backup', backup);
  const bytes = await readFile(backup);
  bytes[bytes.length - 40] = (bytes[bytes.length - 40] ?? 0) ^ 1;
  await writeFile(join(folder, 'damaged'), bytes);
  const into = ['--data', join(folder, 'new')];
  const attempts: [string[], number, RegExp][] = [
    [['restore', join(folder, 'damaged'), ...into], 2, /damaged/],
    [['restore', join(folder, 'none'), ...into], 2, /no file/],
    [['restore', '/etc/hostname', ...into], 2, /damaged/],
    [['restore', '--recreate', 'mine', ...into], 2, /no id of a cluster/],
    [['backup', '/etc/hostname'], 1, /is no backup/],
    [['restore', backup, '--generation', '1', ...into], 2, /--generation/],
    [['restore', ...into], 2, /--recreate/],
    [['backup', '-'], 2, /not to standard output[\s\S]*Name a file/],
    [
      ['restore', backup, '--data', folder],
      1,
      /is not empty, and no data folder of a master: it has [\s\S]*Pass a new folder/,
    ],
    [['restore', backup, '--data', join(folder, 'm1')], 1, /held by process/],
  ];
  for (const [argv, code, message] of attempts) {
    const ended = await cluster.mesq(...argv);
    t.regex(ended.stderr, message);
    t.is(ended.code, code, ended.stderr);
  }
  t.is((await cluster.mesq('restore', backup, ...into)).code, 0);
});
