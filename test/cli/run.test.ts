import test from 'ava';
import type { TestTask } from '../../sdk/test-tasks.ts';
import { BatchWorld } from '../frameworks/batch-world.ts';
import { ScriptedShell } from './scripted-terminal.ts';

function shell(onLaunch: (task: TestTask) => void = (task) => task.update('TASK_FINISHED')): ScriptedShell {
  const world = new BatchWorld(1, { onLaunch });
  world.master.addAgent({ name: 'a1', resources: 'cpus:4;mem:1024' });
  return new ScriptedShell(world);
}

test('Ctrl-C at any moment from the submission on leaves no job behind', async (t) => {
  let cancelled = 0;
  for (let waitMs = 0; waitMs < 40; waitMs++) {
    const at = shell((task) => task.update('TASK_RUNNING'));
    const code = at.type('run', '--', 'sleep', '600');
    await at.world.clock.until(() => at.listens('SIGINT') || at.world.batch.records.size > 0);
    t.true(at.listens('SIGINT'), 'before the cluster hears of it');
    await at.world.clock.advance(waitMs);
    at.signal('SIGINT');
    t.is(await at.world.settled(code), 130);
    await at.world.clock.advance(1_000);
    const jobs = [...at.world.batch.records.values()].map(({ job }) => job);
    t.true(
      jobs.every(({ finished }) => finished !== undefined),
      `after ${waitMs} ms`,
    );
    cancelled += jobs.filter((job) => job.cancelled).length;
  }
  t.is(cancelled, 40);
});

test('a second Ctrl-C leaves the job to the cluster, and says how to find it', async (t) => {
  const at = shell((task) => task.update('TASK_RUNNING'));
  at.world.master.addAgent({ name: 'a2', resources: 'cpus:1' });
  const code = at.type('run', '--', 'sleep', '600');
  await at.world.clock.until(() => at.world.master.launches.length === 1);
  at.signal('SIGINT');
  at.signal('SIGINT');
  t.is(await at.world.settled(code), 130);
  t.regex(at.stderr, /left job \w+ to the cluster; see how it goes: mesq logs -f \w+/);
});

test('a lost terminal leaves the job running', async (t) => {
  const at = shell((task) => task.update('TASK_RUNNING'));
  const code = at.type('run', '--', 'sleep', '600');
  await at.world.clock.until(() => at.world.master.launches.length === 1);
  at.signal('SIGHUP');
  t.is(await at.world.settled(code), 129);
  await at.world.clock.advance(60_000);
  t.deepEqual(
    [...at.world.batch.records.values()].map(({ job }) => job.finished),
    [undefined],
  );
});

test('run exits as its task exits; time limit, never started and not placed have numbers of their own', async (t) => {
  const ends: Record<string, (task: TestTask) => void> = {
    0: (task) => task.update('TASK_FINISHED', { exitCode: 0 }),
    3: (task) => task.update('TASK_FAILED', { exitCode: 3, reason: 'COMMAND_FAILED' }),
    124: (task) => task.update('TASK_FAILED', { exitCode: 137, reason: 'MAX_COMPLETION_TIME_REACHED' }),
    127: (task) => task.update('TASK_FAILED', { exitCode: 127, reason: 'COMMAND_NOT_FOUND' }),
    125: (task) => task.update('TASK_ERROR', { message: 'no such thing' }),
  };
  for (const [code, end] of Object.entries(ends)) {
    const { code: got, stdout } = await shell(end).mesq('run', '--', 'true');
    t.is(got, Number(code));
    t.is(stdout, '', 'standard output is the task’s alone');
  }
});

test('an array shows its progress on one line of a terminal, and in plain lines elsewhere', async (t) => {
  const plain = shell();
  const { code, stderr } = await plain.mesq('run', '--count', '5', '--', 'true');
  t.is(code, 0);
  t.false(stderr.includes('\r'));
  const wide = shell();
  wide.columns = 60;
  await wide.mesq('run', '--count', '5', '--', 'true');
  t.true(wide.stderr.includes('\r'));
  for (const line of wide.stderr.split(/[\r\n]/)) t.true(line.length <= 80, line);
});

test('what becomes of a task out of reach is said on the command line too, and a slip there names its option', async (t) => {
  const at = shell((task) => task.update('TASK_FINISHED', { exitCode: 0 }));
  const away = ['--lost-after', '6h', '--stop-on-client-after', '30m', '--replace', '--reconcile', 'keep_original'];
  t.is((await at.mesq('run', ...away, '--', 'true')).code, 0);
  t.deepEqual([...at.world.batch.records.values()][0]?.job.spec.disconnect, {
    lostAfterMs: 6 * 3_600_000,
    stopOnClientAfterMs: 30 * 60_000,
    replace: true,
    reconcile: 'keep_original',
  });
  for (const [slip, says] of [
    [['--lost-after', 'bogus'], /--lost-after: /],
    [['--replace', '--reconcile', 'best'], /--reconcile: there is no "best"/],
    [['--reconcile', 'keep_original'], /--reconcile: .*(\n.*)?Add --replace/],
  ] as const) {
    const { code, stderr } = await shell().mesq('run', ...slip, '--', 'true');
    t.is(code, 125);
    t.regex(stderr, says);
  }
});

test('while something is fetched, it is said how far it is', async (t) => {
  const at = shell((task) => {
    task.update('TASK_STARTING', { message: 'fetching x: 0 MB' });
    at.world.clock.after(60_000, () => task.update('TASK_STARTING', { message: 'fetching x: 3 MB' }));
    at.world.clock.after(90_000, () => task.update('TASK_FINISHED', { exitCode: 0 }));
  });
  const { code, stderr } = await at.mesq('run', '--', 'true');
  t.is(code, 0);
  t.regex(stderr, /task \w+\.0: fetching x: 0 MB\n.*task \w+\.0: fetching x: 3 MB\n/s);
});

test('what is wrong with an option names it, and of several of a kind the one', async (t) => {
  for (const [argv, says] of [
    [['--count', '0'], /--count: 0 is below 1\n {2}See mesq run --help/],
    [['--time', '0'], /--time: 0 is no time at all; the least is 1ms/],
    [['--count', '-5'], /--count: "-5" is below 0\n {2}Write a whole number from 1 to 10000, in digits/],
    [['--count', '1000000000000'], /--count: "1000000000000" is more than there can be\n {2}Write .* from 1 to 10000/],
    [['--count', '1e9'], /--count: "1e9" is no whole number\n {2}Write a whole number from 1 to 10000, in digits/],
    [['--retries', 'x'], /--retries: "x" is no whole number\n {2}Write a whole number from 0 to 1000, in digits/],
    [['--name', 'a'.repeat(80)], /--name: has 80 characters, at most 64/],
    [['--image', 'x', '--pull', 'sometimes'], /--pull: "sometimes" is none of "never", "missing", "always"/],
    [['--image', '-x'], /--image: an image is written like/],
    [['--env', '1=2'], /--env 1: an environment name/],
    [['--artifact', 'http://h/a,chekcsum=1'], /--artifact: there is no option "chekcsum"\n {2}Did you mean sha256=…\?/],
    [['--artifact', 'http://h/a', '--artifact', 'http://h/b,exract'], /--artifact "http:\/\/h\/b,exract": there is/],
    [['--constraint', 'a=b', '--constraint', 'c==d'], /--constraint "a=b": in "a=b", character 2/],
    [['--constraint', 'a=b'], /--constraint: in "a=b", character 2/],
  ] as const) {
    const { code, stderr, stdout } = await shell().mesq('run', ...argv, '--', 'true');
    t.is(code, 125);
    t.is(stdout, '');
    t.regex(stderr, says);
  }
  t.regex((await shell().mesq('run', '--', '')).stderr, /the command: the program is empty/);
});

test('of a job is shown what was asked for, and no more; of its environment only the names', async (t) => {
  // No agent: nothing is placed, and the leader has no tasks to list.
  const at = new ScriptedShell(new BatchWorld(1, { onRequest: () => ({ tasks: [] }) }));
  const lines = async (id: string): Promise<string[]> => {
    const { code, stdout, stderr } = await at.mesq('job', id.trim());
    t.is(code, 0, stderr);
    return stdout.split('\n\n')[0]?.split('\n') ?? [];
  };
  const plain = await lines((await at.mesq('run', '--detach', '--', 'true')).stdout);
  t.deepEqual(
    plain.map((line) => line.split(' ')[0]),
    ['job', 'state', 'tasks', 'command', 'needs', 'created'],
  );
  at.files.set(
    'job.yaml',
    [
      'command: [serve]',
      'env: {LEVEL: 3, SECRET: hunter2}',
      'limitCpus: 1.5',
      'limitMem: unlimited',
      'time: 90m',
      'grace: 1.5s',
      'retries: 2',
      'restart: always',
      'requeue: false',
      'disconnect: {lost_after: 6h, stop_on_client_after: 2d, replace: true, reconcile: keep_original}',
    ].join('\n'),
  );
  const told = await lines((await at.mesq('submit', 'job.yaml')).stdout);
  t.deepEqual(told.slice(5, -1), [
    'limits    cpus:1.5;mem:unlimited, each',
    'env       LEVEL, SECRET',
    'time      at most 90m an attempt',
    'grace     1500ms from SIGTERM to SIGKILL',
    'retries   2',
    'restart   always',
    'requeue   never',
    'unreached lost after 6h, stopped by its agent after 2d, replaced at once, keep_original',
  ]);
});

test('a job that was cancelled has tasks that were killed, and none that failed', async (t) => {
  const world = new BatchWorld(1, {
    onLaunch: (task) => task.update('TASK_RUNNING'),
    onRequest: () => ({ tasks: [] }),
  });
  world.master.addAgent({ name: 'a1', resources: 'cpus:4;mem:1024' });
  const at = new ScriptedShell(world);
  const { stdout: id } = await at.mesq('run', '--detach', '--count', '3', '--', 'true');
  t.is((await at.mesq('cancel', id.trim())).code, 0);
  await at.mesq('wait', id.trim());
  t.regex(
    (await at.mesq('job', id.trim())).stdout,
    /^tasks +3: 0 pending, 0 running, 0 finished, 0 failed, 3 killed$/m,
  );
  const [job] = JSON.parse((await at.mesq('jobs', '--json')).stdout) as { state: string; tasks: object }[];
  t.deepEqual(job?.tasks, { total: 3, pending: 0, running: 0, finished: 0, failed: 3, killed: 3 });
  const [heading = '', row = ''] = (await at.mesq('jobs')).stdout
    .split('\n')
    .map((line) => line.trim().split(/ +/).join(' '));
  t.regex(heading, /FINISHED FAILED KILLED AGE$/);
  t.regex(row, / cancelled 3 0 0 0 0 3 \d+s$/);
});
