import test from 'ava';
import { TestFramework } from '../../examples/test-framework/test-framework.ts';
import { startTestCluster, type TestClusterOptions } from '../../sdk/index.ts';
import { startCluster } from '../../tools/cluster.ts';
import { MESQ, start } from '../e2e/cluster.ts';

const MAIN = 'build/examples/test-framework/main.js';

test('on a cluster of processes, all tasks run and it exits with 0', async (t) => {
  const cluster = await startCluster(MESQ);
  t.teardown(() => cluster.stop());
  const five = await start(process.execPath, [MAIN], { MESQ_URL: cluster.url }).ended;
  t.is(five.code, 0, five.stderr);
  t.is(five.stdout.match(/is in state TASK_FINISHED/g)?.length, 5);
  const twelve = await start(process.execPath, [MAIN, '--tasks', '12', '--url', cluster.url]).ended;
  t.is(twelve.code, 0, twelve.stderr);
  t.is(new Set(twelve.stdout.match(/^Task \d+ is in state TASK_FINISHED$/gm)).size, 12);
});

test('with an executor, one process on each agent runs all of them', async (t) => {
  const cluster = await startCluster(MESQ, ['--agents', '1']);
  t.teardown(() => cluster.stop());
  const argv = [MAIN, '--url', cluster.url, '--executor', 'build/examples/test-framework/test-executor.js'];
  const { code, stdout, stderr } = await start(process.execPath, argv).ended;
  t.is(code, 0, stderr);
  t.is(new Set(stdout.match(/^Task \d+ is in state TASK_FINISHED$/gm)).size, 5);
});

/** Runs it on a cluster in memory. */
async function ranIn(options: TestClusterOptions, tasks: number) {
  const cluster = await startTestCluster(options);
  const lines: string[] = [];
  const scheduler = new TestFramework({ tasks, run: 'r', print: (line) => lines.push(line) });
  const driver = cluster.createDriver({ name: 'test-framework', roles: ['*'], scheduler });
  let status = driver.start();
  void driver.join().then((end) => {
    status = end;
  });
  await cluster.clock.until(() => status !== 'DRIVER_RUNNING');
  return { ...cluster, status, lines };
}

test('it packs as many tasks as fit in each offer, and is torn down at the end', async (t) => {
  const { status, master, lines } = await ranIn({ agents: [{ name: 'a1', resources: 'cpus:3;mem:512' }] }, 5);
  t.is(status, 'DRIVER_STOPPED');
  t.deepEqual(
    lines.filter((line) => line.startsWith('Launching')).map((line) => line.replace(/ on .*/, '')),
    [0, 1, 2, 3, 4].map((number) => `Launching task ${number}`),
  );
  t.true(lines.indexOf('Launching task 2 on a1') < lines.indexOf('Task 0 is in state TASK_RUNNING'), 'three at once');
  t.deepEqual(master.rolesOf('test-framework').roles, []);
});

test('a task that fails ends it badly; a launch that got lost is made again', async (t) => {
  const failing = await ranIn({ onLaunch: (task) => task.update('TASK_FAILED', { exitCode: 1 }) }, 2);
  t.is(failing.status, 'DRIVER_ABORTED');
  let lost = 0;
  const dropped = await ranIn({ onLaunch: (task) => task.update(lost++ === 0 ? 'TASK_DROPPED' : 'TASK_FINISHED') }, 2);
  t.is(dropped.status, 'DRIVER_STOPPED');
  t.deepEqual(
    dropped.master.launches.map(({ task, attempt }) => `${task} ${attempt}`),
    ['r-0 0', 'r-1 0', 'r-0 1'],
  );
});
