import { execFileSync, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { Cluster, eventually, MESQ, start } from './cluster.ts';
import { securedMaster } from './secured-master.ts';

/** A task that stays, once it runs. */
async function staying(cluster: Cluster): Promise<string> {
  const job = await cluster.submit('--', 'sleep', '1000');
  await cluster.task(job, 'TASK_RUNNING');
  return job;
}

/** `mesq exec` with pipes that the test holds; what it has written is waited for. */
function piped(cluster: Cluster, ...argv: string[]) {
  const child = spawn(process.execPath, [MESQ, 'exec', ...argv], {
    stdio: 'pipe',
    env: { ...process.env, MESQ_URL: cluster.url, MESQ_TOKEN: undefined, NO_COLOR: '1' },
  });
  let out = Buffer.alloc(0);
  let said = '';
  child.stdout.on('data', (bytes: Buffer) => {
    out = Buffer.concat([out, bytes]);
  });
  child.stderr.on('data', (bytes: Buffer) => {
    said += String(bytes);
  });
  return {
    child,
    type: (text: string | Uint8Array) => child.stdin.write(text),
    out: () => out,
    stderr: () => said,
    shows: (pattern: RegExp) => eventually(() => pattern.exec(out.toString('latin1')) ?? undefined),
    ended: once(child, 'close').then(([code]: unknown[]) => code as number | null),
  };
}

test('without a terminal there are three pipes: all bytes, streams apart, and the program ends it as it ends', async (t) => {
  const cluster = await Cluster.start(t);
  const job = await staying(cluster);
  const told = await cluster.mesq('exec', job, '--', 'sh', '-c', 'pwd; echo $MESQ_TASK_ID; echo apart >&2; exit 7');
  t.is(told.code, 7);
  t.regex(told.stdout, new RegExp(`^${cluster.dataOf('a1')}/tasks/\\S+/work\n${job}.0\n$`));
  t.is(told.stderr, 'apart\n');
  const none = await cluster.mesq('exec', job, '--', 'no-such-program');
  t.is(none.code, 127);
  t.is(none.stderr, 'there is no program no-such-program\n');
  t.is((await cluster.mesq('exec', job, '--', '/etc/passwd')).code, 126);
  t.is((await cluster.mesq('exec', job, '--', 'sh', '-c', 'kill -9 $$')).code, 137);

  const file = join(cluster.folder, 'five');
  const bytes = randomBytes(5_000_000);
  await writeFile(file, bytes);
  const copied = piped(cluster, job, '--', 'cat', file);
  copied.child.stdin.end();
  t.is(await copied.ended, 0);
  t.is(digest(copied.out()), digest(bytes));

  const there = piped(cluster, job, '--', 'sha256sum');
  there.child.stdin.end(bytes.subarray(0, 1_000_000));
  t.is(await there.ended, 0);
  t.is(there.out().toString().slice(0, 64), digest(bytes.subarray(0, 1_000_000)));

  const events = await cluster.mesq('events');
  t.regex(events.stdout, /exec .* runs "sha256sum" beside task/);
  t.notRegex(events.stdout, /\/five/, 'arguments may be secrets');
  t.regex(cluster.agents.get('a1')?.stderr() ?? '', /exec .*program=\S*sha256sum/);

  const gone = await cluster.mesq('exec', `${job}x`, '--', 'true');
  t.is(gone.code, 125);
  t.regex(gone.stderr, /there is no job \S+/);
});

test('with a terminal here there is one there: its size follows, Ctrl-C is for the program, and here all is as before', async (t) => {
  const cluster = await Cluster.start(t);
  const job = await staying(cluster);
  const mesq = `${process.execPath} ${MESQ} exec ${job}`;
  const inside = `echo outer=$(tty); stty rows 31 cols 91; before=$(stty -g); ${mesq}; echo code=$?; [ "$before" = "$(stty -g)" ] && echo restored`;
  const child = spawn('script', ['-qefc', inside, '/dev/null'], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, MESQ_URL: cluster.url, MESQ_TOKEN: undefined, SHELL: '/bin/sh', TERM: 'vt100' },
  });
  let screen = '';
  child.stdout.on('data', (bytes: Buffer) => {
    screen += String(bytes);
  });
  const ended = once(child, 'close');
  const shows = (pattern: RegExp) =>
    eventually(() => {
      const found = pattern.exec(screen);
      if (found === null && child.exitCode !== null) throw new Error(`it ended, and shows no ${pattern}: ${screen}`);
      return found ?? undefined;
    });
  const [, outer = ''] = await shows(/outer=(\/dev\/pts\/\d+)/);
  await shows(/[$#] $/);
  child.stdin.write('echo "inner=$(tty) $TERM $(stty size)."\r');
  const [, inner = ''] = await shows(/inner=(\/dev\/pts\/\d+) vt100 31 91\./);
  t.not(inner, outer);
  execFileSync('stty', ['-F', outer, 'rows', '40', 'cols', '132']);
  child.stdin.write('while [ "$(stty size)" != "40 132" ]; do sleep 0.1; done; echo resi""zed\r');
  await shows(/resized/);
  child.stdin.write('sh -c "echo sleep""ing; exec sleep 1000"\r');
  await shows(/sleeping/);
  child.stdin.write('\x03');
  child.stdin.write('echo code=$? still $((40 + 2))\r');
  await shows(/code=130 still 42/);
  child.stdin.write('exit 9\r');
  await shows(/code=9\r\n/);
  await ended;
  t.regex(screen, /restored/);
});

test('a killed master, and typing meanwhile, ends nothing and runs nothing twice', async (t) => {
  const cluster = await Cluster.start(t);
  const job = await staying(cluster);
  const session = piped(
    cluster,
    job,
    '--',
    'sh',
    '-c',
    'echo pid=$$; while read line; do echo "got $line"; done; exit 4',
  );
  await session.shows(/pid=/);
  session.type('one\n');
  await session.shows(/got one/);
  await cluster.master?.end('SIGKILL');
  session.type('two\n');
  await cluster.startMaster();
  session.type('three\n');
  await session.shows(/got three/);
  session.child.stdin.end();
  t.is(await session.ended, 4);
  t.regex(session.out().toString(), /^pid=\d+\ngot one\ngot two\ngot three\n$/);
});

test('an agent that dies takes along what was started beside its tasks, and says so; so does a task that ends', async (t) => {
  const cluster = await Cluster.start(t);
  const job = await staying(cluster);
  const session = piped(cluster, job, '--', 'sh', '-c', 'echo pid=$$; sleep 1000');
  const [, pid = ''] = await session.shows(/pid=(\d+)/);
  await cluster.agents.get('a1')?.end('SIGKILL');
  await eventually(() => !existsSync(`/proc/${pid}`) || undefined);
  await cluster.startAgent('a1');
  t.is(await session.ended, 125);
  t.regex(session.stderr(), /was restarted/);
  t.is((await cluster.tasks(job))[0]?.state, 'TASK_RUNNING');

  const other = piped(cluster, job, '--', 'sh', '-c', 'echo pid=$$; while :; do sleep 0.1; done');
  await other.shows(/pid=/);
  t.is((await cluster.mesq('cancel', job)).code, 0);
  // Hung up on, or killed with the task's control group.
  t.true([129, 137].includes((await other.ended) ?? 0));
});

test('whoever goes takes the program along; an agent with --no-exec lets nobody in', async (t) => {
  const cluster = await Cluster.start(t, { a1: {}, a2: { more: ['--no-exec', '--attributes', 'closed:yes'] } });
  const job = await cluster.submit('--constraint', 'closed!=yes', '--', 'sleep', '1000');
  await cluster.task(job, 'TASK_RUNNING');
  const session = piped(cluster, job, '--', 'sh', '-c', 'echo pid=$$; exec sleep 1000');
  const [, pid = ''] = await session.shows(/pid=(\d+)/);
  session.child.kill('SIGINT');
  t.is(await session.ended, 130);
  await eventually(() => !existsSync(`/proc/${pid}`) || undefined);
  const closed = await cluster.submit('--constraint', 'closed==yes', '--', 'sleep', '1000');
  await cluster.task(closed, 'TASK_RUNNING');
  const refused = await cluster.mesq('exec', closed, '--', 'true');
  t.is(refused.code, 125);
  t.regex(refused.stderr, /agent a2 lets nobody in/);
});

test('the owner of a job and operators enter its tasks; another user and a viewer do not', async (t) => {
  const cluster = await Cluster.start(t, {});
  const { certificate, secure } = await securedMaster(cluster);
  const token = async (role: string, name: string): Promise<string> =>
    (await cluster.json<{ token: string }>('token', 'create', '--role', role, '--name', name)).token;
  await cluster.startAgent('a1');
  const [ann, bob, eve, olga] = await Promise.all([
    token('user', 'ann'),
    token('user', 'bob'),
    token('viewer', 'eve'),
    // Not the name of whoever runs this: one that has a token is nobody without it.
    token('operator', 'olga'),
  ]);
  const as = (secret: string, ...argv: string[]) =>
    start(process.execPath, [MESQ, ...argv.slice(0, 1), '--ca', certificate, ...argv.slice(1)], {
      MESQ_URL: secure,
      MESQ_TOKEN: secret,
    }).ended;
  const job = (await as(ann, 'run', '--detach', '--', 'sleep', '1000')).stdout.trim();
  await cluster.task(job, 'TASK_RUNNING');
  for (const [secret, code, said] of [
    [ann, 3, /^$/],
    [olga, 3, /^$/],
    [bob, 125, /only the owner/],
    [eve, 125, /needs the role user/],
  ] as const) {
    const { code: got, stderr } = await as(secret, 'exec', job, '--', 'sh', '-c', 'exit 3');
    t.is(got, code, stderr);
    t.regex(stderr, said);
  }
});

test('attach follows a job that was left, from its beginning, exits as it exits, and Ctrl-C leaves it again', async (t) => {
  const cluster = await Cluster.start(t);
  const flag = join(cluster.folder, 'go');
  const job = await cluster.submit(
    '--',
    'sh',
    '-c',
    `echo begun; while [ ! -e ${flag} ]; do sleep 0.1; done; echo over; exit 5`,
  );
  const attached = cluster.spawn(['attach', job]);
  await attached.said(/begun/);
  const left = await attached.end('SIGINT');
  t.is(left.code, 130);
  t.regex(left.stderr, /left job/);
  t.is((await cluster.tasks(job))[0]?.state, 'TASK_RUNNING');
  const again = cluster.spawn(['attach', job]);
  await again.said(/begun/);
  await writeFile(flag, '');
  const end = await again.ended;
  t.is(end.code, 5);
  t.is(end.stdout, 'begun\nover\n');
  t.is((await cluster.mesq('attach', job)).stdout, 'begun\nover\n');
  t.is((await cluster.mesq('attach', 'nothing')).code, 125);
});

function digest(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
