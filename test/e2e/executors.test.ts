import { execFileSync } from 'node:child_process';
import { access, readdir, readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import type { ExecutorInfo, TaskLaunch } from '../../sdk/index.ts';
import { Cluster, eventually, survivors } from './cluster.ts';
import { CollectingScheduler, EACH } from './collecting-scheduler.ts';

const NODE: ExecutorInfo = {
  executor: 'default',
  argv: [process.execPath, resolve('build/examples/test-framework/test-executor.js')],
  shutdownGraceMs: 120_000,
};
const PYTHON: ExecutorInfo = {
  executor: 'python',
  argv: ['python3', resolve('examples/python-executor/executor.py')],
  shutdownGraceMs: 120_000,
};

/** Runs `data` with sh. */
function pythonTask(task: string, data: string): TaskLaunch {
  return { task, attempt: 0, resources: EACH, executor: PYTHON, data };
}

/** Says when it is there, and ends when `go` is. */
function waits(folder: string, task: string, code = 0): string {
  return `echo ${task} >> ${folder}/starts; until [ -e ${folder}/go ]; do sleep 0.05; done; exit ${code}`;
}

function hasPython(t: ExecutionContext): boolean {
  try {
    execFileSync('python3', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    if (process.env['CI'] === 'true') t.fail('python3 is missing');
    else {
      t.log('skipped: python3 is missing');
      t.pass();
    }
    return false;
  }
}

async function starts(folder: string): Promise<string[]> {
  const text = await readFile(join(folder, 'starts'), 'utf8').catch(() => '');
  return text.split('\n').filter((line) => line !== '');
}

function pidOf(cluster: Cluster, scheduler: CollectingScheduler, executor: ExecutorInfo): Promise<number> {
  const data = cluster.dataOf('a1');
  const command = executor.argv.at(-1) ?? '';
  return eventually(async () => {
    const found = execFileSync('ps', ['-eo', 'pid=,args='], { encoding: 'utf8' })
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line.includes(command));
    for (const line of found) {
      const pid = Number(line.split(' ')[0]);
      const environment = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '');
      if (environment.includes(`MESQ_SANDBOX=${data}/tasks/${scheduler.driver.name}/executors/`)) return pid;
    }
    return undefined;
  });
}

test("Mesos's test executor runs five tasks in one process, and answers its scheduler", async (t) => {
  const cluster = await Cluster.start(t);
  const scheduler = await CollectingScheduler.start(t, cluster);
  const names = ['0', '1', '2', '3', '4'];
  scheduler.launch(...names.map((task) => ({ task, attempt: 0, resources: EACH, executor: NODE })));
  for (const name of names) await scheduler.status(name, 'TASK_FINISHED');
  t.deepEqual(scheduler.states('0'), ['TASK_RUNNING', 'TASK_FINISHED']);
  const { agent = '' } = scheduler.statuses[0] ?? {};
  scheduler.driver.sendFrameworkMessage('default', agent, 'a word');
  const answer = await eventually(() => scheduler.messages[0]);
  t.deepEqual(answer, { executor: 'default', agent, data: 'a word' });
  // Idle, it waits; its framework ends it.
  scheduler.driver.shutdownExecutor('default', agent);
  t.deepEqual(await eventually(() => scheduler.executorsLost[0]), { executor: 'default', status: 0 });
  const logs = await cluster.mesq('logs', 'fw/3');
  t.true(logs.stdout.includes('Running task 3\n'), `what it wrote is there after its end: ${logs.stderr}`);
  t.is((await cluster.mesq('logs', 'fw/nothing')).code, 3);
  t.is((await cluster.mesq('logs', 'fw/3/0/1')).code, 2);
  t.deepEqual(scheduler.faults, []);
});

test('an executor in thirty lines of Python: its tasks end as their commands do, and are killed', async (t) => {
  if (!hasPython(t)) return;
  const cluster = await Cluster.start(t);
  const scheduler = await CollectingScheduler.start(t, cluster);
  scheduler.launch(pythonTask('ok', 'true'), pythonTask('bad', 'exit 7'), pythonTask('stays', 'sleep 600'));
  t.is((await scheduler.status('ok', 'TASK_FINISHED')).exitCode, 0);
  t.is((await scheduler.status('bad', 'TASK_FAILED')).exitCode, 7);
  await scheduler.status('stays', 'TASK_RUNNING');
  scheduler.driver.killTask('stays');
  t.is((await scheduler.status('stays', 'TASK_KILLED')).reason, 'KILLED_BY_REQUEST');
});

test("an executor's control group has the limits of its tasks together, and of those that are left", async (t) => {
  if (!hasPython(t)) return;
  const cluster = await Cluster.start(t);
  const noted = await readFile(join(cluster.dataOf('a1'), 'launcher/cgroups'), 'utf8').catch(() => '{"trees":[]}');
  const { trees } = JSON.parse(noted) as { trees: { base: string; controllers: string[] }[] };
  const base = trees.find(({ controllers }) => controllers.includes('memory'))?.base;
  if (base === undefined) {
    t.not(process.env['CI'], 'true', 'control groups for memory must be there');
    t.log('SKIPPED: no control group for memory here');
    return;
  }
  const memory = async (): Promise<number> => {
    const [group = ''] = (await readdir(base)).filter((name) => name.startsWith('t+fw+executors+python+'));
    const file = (name: string): Promise<string> => readFile(join(base, group, name), 'latin1');
    return Number(await file('memory.limit_in_bytes').catch(() => file('memory.max'))) / 1_048_576;
  };
  const scheduler = await CollectingScheduler.start(t, cluster);
  const limited = (task: string, mb: number): TaskLaunch => ({
    ...pythonTask(task, 'sleep 600'),
    limits: { mem: mb * 1_000 },
  });
  scheduler.launch(limited('a', 96));
  await scheduler.status('a', 'TASK_RUNNING');
  t.is(await memory(), 96);
  scheduler.launch(limited('b', 160));
  await scheduler.status('b', 'TASK_RUNNING');
  t.is(await memory(), 256);
  scheduler.driver.killTask('a');
  await scheduler.status('a', 'TASK_KILLED');
  await eventually(async () => (await memory()) === 160 || undefined);
  t.is(scheduler.states('b').at(-1), 'TASK_RUNNING');
});

test('an agent killed in the middle of the tasks of an executor finds it again, and what ended meanwhile', async (t) => {
  if (!hasPython(t)) return;
  const cluster = await Cluster.start(t);
  const scheduler = await CollectingScheduler.start(t, cluster);
  scheduler.launch(pythonTask('long', waits(cluster.folder, 'long', 5)), pythonTask('short', 'sleep 0.5'));
  await scheduler.status('short', 'TASK_RUNNING');
  await eventually(async () => (await starts(cluster.folder)).length === 1 || undefined);
  await cluster.agents.get('a1')?.end('SIGKILL');
  await cluster.startAgent('a1');
  await scheduler.status('short', 'TASK_FINISHED');
  await writeFile(join(cluster.folder, 'go'), '');
  t.is((await scheduler.status('long', 'TASK_FAILED')).exitCode, 5);
  t.deepEqual(await starts(cluster.folder), ['long']);
  t.deepEqual(scheduler.executorsLost, []);
});

test('an executor that is killed takes its tasks along, and says so to its scheduler', async (t) => {
  if (!hasPython(t)) return;
  const cluster = await Cluster.start(t);
  const scheduler = await CollectingScheduler.start(t, cluster);
  scheduler.launch(pythonTask('a', 'sleep 600'), pythonTask('b', 'sleep 600'));
  await scheduler.status('a', 'TASK_RUNNING');
  await scheduler.status('b', 'TASK_RUNNING');
  process.kill(await pidOf(cluster, scheduler, PYTHON), 'SIGKILL');
  t.is((await scheduler.status('a', 'TASK_FAILED')).reason, 'EXECUTOR_TERMINATED');
  t.is((await scheduler.status('b', 'TASK_FAILED')).reason, 'EXECUTOR_TERMINATED');
  t.deepEqual(await eventually(() => scheduler.executorsLost[0]), { executor: 'python', status: 137 });
  // Its tasks lead process groups of their own: they are found all the same.
  t.deepEqual(await survivors(join(cluster.dataOf('a1'), 'tasks', 'fw')), []);
});

test('a framework that is removed leaves no executor behind', async (t) => {
  if (!hasPython(t)) return;
  const cluster = await Cluster.start(t);
  const scheduler = await CollectingScheduler.start(t, cluster);
  scheduler.launch(pythonTask('a', 'sleep 600'));
  await scheduler.status('a', 'TASK_RUNNING');
  const pid = await pidOf(cluster, scheduler, PYTHON);
  scheduler.driver.stop();
  t.is((await cluster.mesq('teardown', 'fw')).code, 0);
  await eventually(() =>
    access(`/proc/${pid}`).then(
      () => undefined,
      () => true,
    ),
  );
  t.pass();
});

test('a group goes to one agent whole or not at all, and ends together', async (t) => {
  const cluster = await Cluster.start(t, { a1: { resources: 'cpus:1;mem:256' } });
  const scheduler = await CollectingScheduler.start(t, cluster);
  const command = (task: string, script: string): TaskLaunch => ({
    task,
    attempt: 0,
    resources: EACH,
    argv: ['sh', '-c', script],
  });
  scheduler.launchGroup('pod', command('web', 'sleep 600'), command('side', waits(cluster.folder, 'side', 3)));
  await scheduler.status('web', 'TASK_RUNNING');
  await eventually(async () => (await starts(cluster.folder)).length === 1 || undefined);
  await writeFile(join(cluster.folder, 'go'), '');
  t.is((await scheduler.status('side', 'TASK_FAILED')).exitCode, 3);
  const { reason, message = '' } = await scheduler.status('web', 'TASK_KILLED');
  t.is(reason, 'TASK_GROUP_FAILED');
  t.regex(message, /side/);
  const large: TaskLaunch = { ...command('large', 'true'), resources: [{ name: 'cpus', scalar: 64_000 }] };
  scheduler.launchGroup('too-large', command('small', 'true'), large);
  t.is((await scheduler.status('small', 'TASK_DROPPED')).state, 'TASK_DROPPED');
  t.is((await scheduler.status('large', 'TASK_DROPPED')).reason, 'INVALID_OFFERS');
});

test('the executor that the documentation shows runs a task', async (t) => {
  if (!hasPython(t)) return;
  const cluster = await Cluster.start(t);
  const [, script = ''] = /```python\n([^`]+)```/.exec(await readFile('docs/executors.md', 'utf8')) ?? [];
  const path = join(cluster.folder, 'executor.py');
  await writeFile(path, script);
  const scheduler = await CollectingScheduler.start(t, cluster);
  const executor: ExecutorInfo = { ...PYTHON, executor: 'least', argv: ['python3', path] };
  scheduler.launch({ ...pythonTask('well', 'true'), executor }, { ...pythonTask('badly', 'false'), executor });
  await scheduler.status('well', 'TASK_FINISHED');
  const { agent = '' } = await scheduler.status('badly', 'TASK_FAILED');
  scheduler.driver.shutdownExecutor('least', agent);
  t.deepEqual(await eventually(() => scheduler.executorsLost[0]), { executor: 'least', status: 0 });
});
