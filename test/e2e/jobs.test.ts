import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { LIMITS } from '../../protocol/limits.ts';
import { Cluster, eventually, MESQ, type Running, start, survivors } from './cluster.ts';

const MB = 1_048_576;
/** Three times what an idle one takes: far below the flood. */
const MOST_MEMORY = 220 * MB;

test('a command succeeds, fails, is not found and cannot be invoked: its code is passed through', async (t) => {
  const cluster = await Cluster.start(t);
  const well = await cluster.mesq('run', '--', 'sh', '-c', 'echo out; echo err >&2');
  t.deepEqual([well.code, well.stdout], [0, 'out\n']);
  t.regex(well.stderr, /^err$/m);
  t.is((await cluster.mesq('run', '--', 'sh', '-c', 'exit 3')).code, 3);
  t.is((await cluster.mesq('run', '--', '/no/such/program')).code, 127);
  t.is((await cluster.mesq('run', '--', '/etc/passwd')).code, 126);
  t.is((await cluster.mesq('run', '--', 'sh', '-c', 'kill -9 $$')).code, 137);
  const late = await cluster.mesq('run', '--time', '200ms', '--', 'sleep', '600');
  t.is(late.code, 124);
  const never = await cluster.mesq('run', '--cpus', '99', '--', 'true');
  t.is(never.code, 125);
  t.regex(never.stderr, /cpus/);
  t.notRegex(never.stderr, /not cancelled/);
  const [job] = await cluster.json<{ state: string }[]>('jobs');
  t.is(job?.state, 'cancelled');
});

test('an array counts its tasks, gives each its ports and a folder, and passes the highest code on', async (t) => {
  const cluster = await Cluster.start(t, { a1: {}, a2: {} });
  const script =
    'echo "$MESQ_TASK_INDEX of $MESQ_TASK_COUNT"; test -n "$MESQ_PORT" && test "$PWD" = "$MESQ_SANDBOX"; exit $((MESQ_TASK_INDEX % 3))';
  const array = await cluster.mesq('run', '--count', '6', '--ports', '1', '--', 'sh', '-c', script);
  t.is(array.code, 2);
  const lines = array.stdout.trim().split('\n').sort();
  t.deepEqual(lines, ['0 of 6', '1 of 6', '2 of 6', '3 of 6', '4 of 6', '5 of 6']);
});

test('a retried task shows the output of every attempt in order, and exits as its last one does', async (t) => {
  const cluster = await Cluster.start(t);
  const script = 'echo "try $MESQ_ATTEMPT"; test "$MESQ_ATTEMPT" = 1';
  const second = await cluster.mesq('run', '--retries', '2', '--', 'sh', '-c', script);
  t.is(second.stdout, 'try 0\ntry 1\n');
  t.is(second.code, 0, second.stderr);
  const never = await cluster.mesq('run', '--retries', '1', '--', 'sh', '-c', 'echo "try $MESQ_ATTEMPT"; exit 3');
  t.is(never.stdout, 'try 0\ntry 1\n');
  t.is(never.code, 3, never.stderr);
  const again = 'echo "start $MESQ_RESTART"; echo "why $MESQ_RESTART" >&2; test $MESQ_RESTART = 1';
  const restarted = await cluster.mesq('run', '--name', 'again', '--restart', 'on-failure', '--', 'sh', '-c', again);
  t.is(restarted.stdout, 'start 0\nstart 1\n', restarted.stderr);
  t.is(restarted.stderr.replace(/^task .* restart 1 in 1 s\n/m, ''), 'why 0\nwhy 1\n');
  const [{ id: job } = { id: '' }] = (await cluster.json<{ id: string; name: string }[]>('jobs')).filter(
    ({ name }) => name === 'again',
  );
  t.is((await cluster.mesq('logs', job)).stdout, 'start 1\n');
  t.is((await cluster.mesq('logs', '--previous', job)).stdout, 'start 0\n');
  t.is((await cluster.mesq('logs', '--previous', `${job}.0.1`)).code, 3);
  const array = await cluster.mesq('run', '--count', '2', '--retries', '1', '--', 'sh', '-c', script);
  t.is(array.code, 0, array.stderr);
  t.deepEqual(
    array.stdout
      .trim()
      .split('\n')
      .filter((line) => line === 'try 1').length,
    2,
  );
});

test('a pipe that nobody reads any more ends the job; a name that is too short for a task kills none of several', async (t) => {
  const cluster = await Cluster.start(t);
  const piped = start('/bin/sh', ['-c', `"${process.execPath}" "${MESQ}" run -- yes | head -1`], {
    MESQ_URL: cluster.url,
  });
  t.is((await piped.ended).stdout, 'y\n');
  await eventually(async () => {
    const [job] = await cluster.json<{ state: string }[]>('jobs');
    return job?.state === 'cancelled' || undefined;
  });
  const array = await cluster.submit('--count', '2', '--cpus', '0.1', '--', 'sleep', '600');
  t.is((await cluster.mesq('kill', array)).code, 2);
  t.is((await cluster.mesq('why', `${array}.1`)).code, 0);
  t.is((await cluster.mesq('cancel', array)).code, 0);
});

test('cancelled, by the command and by Ctrl-C: the whole group is gone, ignored SIGTERM or not', async (t) => {
  const cluster = await Cluster.start(t);
  const stubborn = 'trap "" TERM; (trap "" TERM; sleep 600) & echo up; while :; do sleep 600; done';

  const first = await cluster.submit('--grace', '300ms', '--', 'sh', '-c', stubborn);
  await eventually(async () => (await cluster.mesq('logs', first)).stdout.includes('up') || undefined);
  t.is((await cluster.mesq('cancel', first)).code, 0);
  t.is((await cluster.task(first, 'TASK_KILLED')).state, 'TASK_KILLED');

  const second = cluster.spawn(['run', '--grace', '300ms', '--', 'sh', '-c', stubborn]);
  await second.said(/up/);
  const { code } = await second.end('SIGINT');
  t.is(code, 130);
  const jobs = await cluster.json<{ state: string }[]>('jobs');
  t.deepEqual(
    jobs.map(({ state }) => state),
    ['cancelled', 'cancelled'],
  );
  const tasks = join(cluster.dataOf('a1'), 'tasks');
  await eventually(async () => (await survivors(tasks)).length <= 1 || undefined);
  t.pass();
});

test('children that a task leaves behind end with it', async (t) => {
  const cluster = await Cluster.start(t);
  const run = await cluster.mesq('run', '--', 'sh', '-c', '(sleep 600 & sleep 600 &) ; sleep 600 & echo done');
  t.deepEqual([run.code, run.stdout], [0, 'done\n']);
  const tasks = join(cluster.dataOf('a1'), 'tasks');
  // The launcher alone has that folder in its command line.
  await eventually(async () => (await survivors(tasks)).length <= 1 || undefined);
  t.pass();
});

test('a flood of 100 MB stays within the cap, says what it lost, and holds up nobody', async (t) => {
  const cluster = await Cluster.start(t);
  const flood = await cluster.submit('--', 'sh', '-c', 'head -c 104857600 /dev/zero | tr "\\0" x; echo; echo the end');
  t.is((await cluster.mesq('run', '--', 'echo', 'meanwhile')).stdout, 'meanwhile\n');
  t.is((await cluster.mesq('wait', flood)).code, 0);

  const tail = await cluster.mesq('logs', '--tail', '1', flood);
  t.is(tail.stdout, 'the end\n');
  const all = await cluster.mesq('logs', flood);
  t.is(all.code, 0);
  t.true(all.stdout.endsWith('x\nthe end\n'));
  const [, dropped = ''] = /(\d+) bytes before this were dropped/.exec(all.stderr) ?? [];

  t.is(Number(dropped) + all.stdout.length, 100 * MB + 1 + 'the end\n'.length);
  t.true(all.stdout.length <= LIMITS.outputBytes, `${all.stdout.length} bytes`);
  const kept = await blocksOf(join(cluster.dataOf('a1'), 'tasks'));
  t.true(kept <= LIMITS.outputBytes + MB, `${kept} bytes on disk`);
  for (const running of [cluster.master, cluster.agents.get('a1')])
    t.true((await peakMemory(running)) < MOST_MEMORY, `${await peakMemory(running)} bytes of memory`);
});

test('a flood that nobody reads costs nobody memory, and holds up no other job', async (t) => {
  const cluster = await Cluster.start(t);
  const go = join(cluster.folder, 'go');
  const script = `echo begins; until [ -e ${go} ]; do sleep 0.05; done; yes | head -c 104857600; echo ended >&2`;
  const flood = cluster.spawn(['run', '--', 'sh', '-c', script]);
  await flood.said(/begins/);
  flood.process.kill('SIGSTOP');
  await writeFile(go, '');
  for (const word of ['one', 'two', 'three']) t.is((await cluster.mesq('run', '--', 'echo', word)).stdout, `${word}\n`);
  const [job = { id: '' }] = (await cluster.json<{ id: string }[]>('jobs')).slice(-1);
  t.is((await cluster.mesq('wait', job.id)).code, 0);
  for (const running of [cluster.master, cluster.agents.get('a1')])
    t.true((await peakMemory(running)) < MOST_MEMORY, `${await peakMemory(running)} bytes of memory`);
  flood.process.kill('SIGCONT');
  const { code, stderr } = await flood.ended;
  t.is(code, 0);
  t.regex(stderr, /^ended$/m);
  t.regex(stderr, /bytes of stdout were dropped/);
  t.true((await peakMemory(cluster.master)) < MOST_MEMORY);
});

/** The most that a process has held so far. */
async function peakMemory(running: Running | undefined): Promise<number> {
  const status = await readFile(`/proc/${running?.pid}/status`, 'utf8');
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]) * 1_024;
}

/** Bytes that the files below `folder` take on the disk. */
async function blocksOf(folder: string): Promise<number> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const sizes = await Promise.all(
    entries
      .filter((entry) => entry.isFile())
      .map((entry) => stat(join(entry.parentPath, entry.name)).then(({ blocks }) => blocks * 512)),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}

test('health checks ask real tasks: one that is well goes on and is shown so, one that is not ends and says why', async (t) => {
  const cluster = await Cluster.start(t);
  const often = 'delay: 100ms, interval: 100ms, timeout: 30s, failures: 2';
  const submit = async (name: string, lines: string): Promise<string> => {
    const file = join(cluster.folder, `${name}.yaml`);
    await writeFile(file, `cpus: 0.1\nports: 1\nrestart: never\n${lines}\n`);
    return (await cluster.mesq('submit', '--quiet', file)).stdout.trim();
  };
  const well = await submit(
    'well',
    `command: "touch ready; exec sleep 600"\nhealthCheck: { command: "test -e ready && test $MESQ_TASK_INDEX = 0", grace: 10m, ${often} }`,
  );
  const sick = await submit('sick', `command: [sleep, "600"]\nhealthCheck: { http: {}, grace: 0s, ${often} }`);
  const ended = await cluster.task(sick, 'TASK_FAILED');
  t.like(ended, { reason: 'HEALTH_CHECK_FAILED', exitCode: 143 });
  t.regex(ended.message ?? '', /unhealthy: .*ECONNREFUSED/);
  await eventually(async () => (await cluster.tasks(well))[0]?.healthy === true || undefined);
  t.is((await cluster.mesq('cancel', well)).code, 0);
  await cluster.task(well, 'TASK_KILLED');
});
