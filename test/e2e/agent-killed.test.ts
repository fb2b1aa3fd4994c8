import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { Cluster, copyMachine, eventually } from './cluster.ts';

/** Writes a line a start into a file outside of its sandbox, then waits for a file called `go`. */
function countedTask(folder: string, code = 0): string[] {
  return [
    'sh',
    '-c',
    `echo "$MESQ_TASK_ID $MESQ_ATTEMPT $MESQ_RESTART" >> ${folder}/starts; until [ -e ${folder}/go ]; do sleep 0.05; done; exit ${code}`,
  ];
}

async function starts(folder: string): Promise<string[]> {
  const text = await readFile(join(folder, 'starts'), 'utf8').catch(() => '');
  return text.split('\n').filter((line) => line !== '');
}

async function go({ folder }: Cluster): Promise<void> {
  await writeFile(join(folder, 'go'), '');
}

function started({ folder }: Cluster): Promise<true> {
  return eventually(async () => (await starts(folder)).length > 0 || undefined);
}

async function launcherOf(cluster: Cluster, agent: string): Promise<number> {
  const text = await readFile(join(cluster.dataOf(agent), 'launcher', 'launcher.pid'), 'utf8');
  return Number(text.split(' ')[0]);
}

test('an agent killed in the middle of a task takes it up again, with its true exit code', async (t) => {
  const cluster = await Cluster.start(t);
  const job = await cluster.submit('--', ...countedTask(cluster.folder, 7));
  await started(cluster);
  await cluster.agents.get('a1')?.end('SIGKILL');
  await cluster.startAgent('a1');
  t.is((await cluster.task(job, 'TASK_RUNNING')).attempt, 0);
  await go(cluster);
  t.is((await cluster.mesq('wait', job)).code, 7);
  t.deepEqual((await starts(cluster.folder)).length, 1);
});

test('a task that ended while its agent was dead has its true exit code', async (t) => {
  const cluster = await Cluster.start(t);
  const job = await cluster.submit('--', ...countedTask(cluster.folder, 9));
  await started(cluster);
  await cluster.agents.get('a1')?.end('SIGKILL');
  await go(cluster);
  const exit = join(cluster.dataOf('a1'), 'tasks', 'batch', `${job}.0.0`, '0', 'exit');
  await eventually(() => readFile(exit, 'utf8').catch(() => undefined));
  await cluster.startAgent('a1');
  t.is((await cluster.mesq('wait', job)).code, 9);
  t.is((await starts(cluster.folder)).length, 1);
});

for (const launcherDies of [false, true]) {
  const also = launcherDies ? ', and the launcher with it' : '';
  test(`an agent killed between the arrival of a launch and its start${also}: never lost, never twice`, async (t) => {
    const cluster = await Cluster.start(t);
    // The launcher stands still: what the agent accepts from now on cannot start.
    const launcher = await launcherOf(cluster, 'a1');
    process.kill(launcher, 'SIGSTOP');
    const job = await cluster.submit('--count', '4', '--', ...countedTask(cluster.folder));
    const folder = join(cluster.dataOf('a1'), 'tasks', 'batch', `${job}.3.0`, '0', 'run');
    await eventually(() => readFile(folder, 'utf8').catch(() => undefined));
    await cluster.agents.get('a1')?.end('SIGKILL');
    t.deepEqual(await starts(cluster.folder), []);
    if (launcherDies) process.kill(launcher, 'SIGKILL');
    // The restarted agent sends what was not claimed once more: now each may lie in the pipe twice.
    await cluster.startAgent('a1');
    if (!launcherDies) process.kill(launcher, 'SIGCONT');
    await go(cluster);
    t.is((await cluster.mesq('wait', job)).code, 0);
    t.is(new Set(await starts(cluster.folder)).size, 4);
    t.is((await starts(cluster.folder)).length, 4);
  });
}

test('an agent killed again and again while launches arrive and tasks end: each starts once, in its first attempt', async (t) => {
  const cluster = await Cluster.start(t, { a1: { resources: 'cpus:4;mem:1024' } });
  const count = 150;
  const script = `echo "$MESQ_TASK_ID $MESQ_ATTEMPT $MESQ_RESTART" >> ${cluster.folder}/starts; exit $((MESQ_TASK_INDEX % 2 * 3))`;
  const job = await cluster.submit(
    ...['--count', String(count), '--cpus', '0.1', '--mem', '8', '--', 'sh', '-c', script],
  );
  for (let kill = 0; kill < 5; kill++) {
    await eventually(async () => (await starts(cluster.folder)).length > kill * 25 || undefined);
    await cluster.agents.get('a1')?.end('SIGKILL');
    cluster.spawnAgent('a1', { resources: 'cpus:4;mem:1024' });
  }
  t.is((await cluster.mesq('wait', job)).code, 3);
  const lines = await starts(cluster.folder);
  t.deepEqual(lines.sort(), Array.from({ length: count }, (_, index) => `${job}.${index} 0 0`).sort());
  const tasks = await cluster.tasks(job);
  t.is(tasks.length, count);
  t.true(tasks.every(({ index, exitCode }) => exitCode === (index % 2) * 3));
});

test('a killed launcher is replaced: what runs goes on, and what comes is started', async (t) => {
  const cluster = await Cluster.start(t);
  const job = await cluster.submit('--', ...countedTask(cluster.folder, 5));
  await started(cluster);
  process.kill(await launcherOf(cluster, 'a1'), 'SIGKILL');
  t.is((await cluster.mesq('run', '--', 'echo', 'after')).stdout, 'after\n');
  await go(cluster);
  t.is((await cluster.mesq('wait', job)).code, 5);
  t.is((await starts(cluster.folder)).length, 1);
});

test('a task whose supervisor was killed runs to its end; that its status is not known is said', async (t) => {
  const cluster = await Cluster.start(t);
  const script = `echo "$PPID" > ${cluster.folder}/supervisor; ${countedTask(cluster.folder, 0).at(-1)}`;
  const job = await cluster.submit('--no-requeue', '--', 'sh', '-c', script);
  await started(cluster);
  const supervisor = Number(await readFile(join(cluster.folder, 'supervisor'), 'utf8'));
  for (const pid of [supervisor, await launcherOf(cluster, 'a1')]) process.kill(pid, 'SIGKILL');
  await cluster.agents.get('a1')?.end('SIGKILL');
  await cluster.startAgent('a1');
  t.is((await cluster.task(job, 'TASK_RUNNING')).attempt, 0);
  await go(cluster);
  const { reason, message, exitCode } = await cluster.task(job, 'TASK_FAILED');
  t.deepEqual([reason, exitCode], ['LAUNCHER_LOST', null]);
  t.regex(message ?? '', /exit status is not known/);
  t.is((await cluster.mesq('wait', job)).code, 125);
  t.is((await starts(cluster.folder)).length, 1);
});

test('a reboot ends the attempt of a task that never restarts, and starts the others again without a word from a master', async (t) => {
  const cluster = await Cluster.start(t, {});
  const sysroot = await copyMachine(join(cluster.folder, 'machine'), {});
  await cluster.startAgent('a1', { sysroot });
  const script = (word: string): string[] => [
    'sh',
    '-c',
    `echo "${word} $MESQ_RESTART" >> ${cluster.folder}/starts; until [ -e ${cluster.folder}/go ]; do sleep 0.05; done`,
  ];
  const never = await cluster.submit('--retries', '0', '--', ...script('never'));
  const barred = await cluster.submit('--no-requeue', '--', ...script('barred'));
  const failing = await cluster.submit('--restart', 'on-failure', '--', ...script('on-failure'));
  const always = await cluster.submit('--restart', 'always', '--', ...script('always'));
  await eventually(async () => (await starts(cluster.folder)).length === 4 || undefined);

  // The power goes, for the agent, its launcher and all that ran; the master is somewhere else, and is down.
  await cluster.agents.get('a1')?.end('SIGKILL');
  await cluster.powerCut('a1');
  await cluster.master?.end('SIGKILL');
  await copyMachine(sysroot, { boot: '11111111-2222-4333-8444-555555555555' });
  const agent = cluster.spawnAgent('a1', { sysroot });
  await eventually(async () => (await starts(cluster.folder)).length >= 6 || undefined);
  t.deepEqual((await starts(cluster.folder)).slice(4).sort(), ['always 1', 'on-failure 1']);

  await cluster.startMaster();
  // The attempt of `never` has ended with the reboot; a new one counts as no retry.
  await eventually(
    async () => (await starts(cluster.folder)).filter((line) => line === 'never 0').length === 2 || undefined,
  );
  t.is((await cluster.tasks(never))[0]?.attempt, 1);
  const ended = await cluster.task(barred, 'TASK_FAILED');
  t.deepEqual([ended.attempt, ended.reason], [0, 'AGENT_REBOOTED']);
  t.is((await cluster.mesq('wait', barred)).code, 125);
  await go(cluster);
  t.is((await cluster.mesq('wait', never)).code, 0);
  t.is((await cluster.mesq('wait', failing)).code, 0);
  t.is((await cluster.mesq('cancel', always)).code, 0);
  t.is(agent.process.exitCode, null);
});
