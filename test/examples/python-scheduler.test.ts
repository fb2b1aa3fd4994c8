import { spawnSync } from 'node:child_process';
import test from 'ava';
import { Cluster, eventually, type Running, start } from '../e2e/cluster.ts';

const SCHEDULER = 'examples/python-scheduler/scheduler.py';
/** Debian's, and whatever else the path has first. */
const PYTHONS = ['python3', '/usr/bin/python3'];

/** A Python that has paho; with CI=true there must be one. */
function pythonWithPaho(): string | undefined {
  const found = PYTHONS.find((python) => spawnSync(python, ['-c', 'import paho.mqtt.client']).status === 0);
  return found ?? (process.env['CI'] === 'true' ? PYTHONS[0] : undefined);
}

const python = pythonWithPaho();

test('a scheduler in Python runs its tasks through the death of its master', async (t) => {
  if (python === undefined) {
    t.log('skipped: there is no Python with paho.mqtt (apt install python3-paho-mqtt)');
    return t.pass();
  }
  const cluster = await Cluster.start(t, { a1: { resources: 'cpus:1;mem:512' } });
  const scheduler = start(python, [SCHEDULER, '--tasks', '6', '--sleep', '0.5'], { MESQ_URL: cluster.url });
  t.teardown(() => scheduler.end('SIGKILL'));
  await scheduler.said(/run-1-1 TASK_RUNNING/);
  await cluster.master?.end('SIGKILL');
  await cluster.startMaster();
  const { code, stdout, stderr } = await scheduler.ended;
  t.is(code, 0, stderr);
  t.is(new Set(stdout.match(/^run-1-\d TASK_FINISHED/gm)).size, 6);
  t.true((stdout.match(/^subscribed$/gm)?.length ?? 0) > 1, 'with each leader');
  return t.regex(stdout, /all 6 tasks have finished/);
});

test('one that is started again finds its tasks by their names, and runs none twice', async (t) => {
  if (python === undefined) return t.pass();
  const cluster = await Cluster.start(t, { a1: { resources: 'cpus:1;mem:512' } });
  const { stdout: token } = await cluster.mesq('token', 'create', '--role', 'framework', '--name', 'snake');
  const environment = { MESQ_URL: cluster.url, MESQ_TOKEN: token.trim() };
  const begin = (): Running =>
    start(python, [SCHEDULER, '--tasks', '4', '--sleep', '1', '--run', 'again'], environment);
  const first = begin();
  await first.said(/again-0 TASK_FINISHED/);
  await first.end('SIGKILL');
  const second = begin();
  t.teardown(() => second.end('SIGKILL'));
  const { code, stderr } = await second.ended;
  t.is(code, 0, stderr);
  const client = await cluster.client();
  const tasks = await eventually(async () => {
    const answer = await client.request('tasks', {});
    return 'tasks' in answer ? answer.tasks : undefined;
  });
  t.deepEqual(
    tasks.map(({ id, attempt }) => `${id} ${attempt}`).sort(),
    [0, 1, 2, 3].map((at) => `again-${at} 0`),
  );
  return t.true(tasks.every(({ restart, state }) => (restart ?? 0) <= 1 && state === 'TASK_FINISHED'));
});
