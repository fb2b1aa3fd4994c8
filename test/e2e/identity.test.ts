import { join } from 'node:path';
import test from 'ava';
import { Cluster, cloneFolder, copyMachine } from './cluster.ts';

interface AgentRow {
  readonly id: string;
  readonly name: string;
  readonly state: string;
}

test('a second agent under a live name is refused in words, and the first does not notice', async (t) => {
  const cluster = await Cluster.start(t);
  const [first] = await cluster.json<AgentRow[]>('agents');
  const second = cluster.spawn([
    ...['agent', '--master', cluster.url, '--name', 'a1', '--data', join(cluster.folder, 'second')],
    ...['--resources', 'cpus:1;mem:64'],
  ]);
  const { code, stderr } = await second.ended;
  t.not(code, 0);
  t.regex(stderr, /a1/);
  t.regex(stderr, /--name/);
  t.is((await cluster.mesq('run', '--', 'true')).code, 0);
  t.deepEqual(
    (await cluster.json<AgentRow[]>('agents')).map(({ id, state }) => [id, state]),
    [[first?.id, 'active']],
  );
  t.is(cluster.agents.get('a1')?.process.exitCode, null);
});

test('a cloned card is refused on the other machine, alive or not, and the first goes on', async (t) => {
  const cluster = await Cluster.start(t, {});
  const here = await copyMachine(join(cluster.folder, 'here'), { machine: '0123456789abcdef0123456789abcdef' });
  const there = await copyMachine(join(cluster.folder, 'there'), { machine: 'fedcba9876543210fedcba9876543210' });
  await cluster.startAgent('a1', { sysroot: here });
  const [first] = await cluster.json<AgentRow[]>('agents');
  const clone = join(cluster.folder, 'clone');
  await cloneFolder(cluster.dataOf('a1'), clone);
  const other = (name: string): string[] => [
    ...['agent', '--master', cluster.url, '--name', name, '--data', clone, '--resources', 'cpus:1;mem:64'],
    ...['--sysroot', there],
  ];

  const sameName = await cluster.mesq(...other('a1'));
  t.not(sameName.code, 0);
  const otherName = await cluster.mesq(...other('a2'));
  t.not(otherName.code, 0);
  t.regex(otherName.stderr, /hardware|machine|clone/i);
  t.regex(otherName.stderr, /data/);

  await cluster.agents.get('a1')?.end('SIGTERM');
  const alone = await cluster.mesq(...other('a1'));
  t.not(alone.code, 0);
  t.regex(alone.stderr, /hardware|machine|clone/i);
  await cluster.startAgent('a1', { sysroot: here });
  t.deepEqual(
    (await cluster.json<AgentRow[]>('agents')).map(({ id }) => id),
    [first?.id],
  );
  t.is((await cluster.mesq('run', '--', 'true')).code, 0);
});

test('a copied data folder on the same machine is refused while the first agent lives, and harms no task', async (t) => {
  const cluster = await Cluster.start(t);
  const [first] = await cluster.json<AgentRow[]>('agents');
  const job = await cluster.submit('--', 'sleep', '600');
  const { started } = await cluster.task(job, 'TASK_RUNNING');
  const copy = join(cluster.folder, 'copy');
  await cloneFolder(cluster.dataOf('a1'), copy);
  for (const name of ['a1', 'a2']) {
    const { code, stderr } = await cluster.mesq(
      ...['agent', '--master', cluster.url, '--name', name, '--data', copy, '--resources', 'cpus:1;mem:64'],
    );
    t.not(code, 0);
    t.regex(stderr, name === 'a1' ? /connected already/ : /connected as a1/);
    t.regex(stderr, /--name|--data/);
  }
  const agents = await cluster.json<AgentRow[]>('agents');
  t.deepEqual(
    agents.map(({ id, name, state }) => [id, name, state]),
    [[first?.id, 'a1', 'active']],
  );
  const task = await cluster.task(job, 'TASK_RUNNING');
  t.deepEqual([task.attempt, task.started], [0, started]);
  t.is((await cluster.mesq('cancel', job)).code, 0);
  t.is((await cluster.task(job, 'TASK_KILLED')).agent, 'a1');
});
