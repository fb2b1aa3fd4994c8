import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { Cluster } from './cluster.ts';

test('a file that a task has left is copied, byte by byte; what leads out of its sandbox is refused', async (t) => {
  const cluster = await Cluster.start(t);
  const script = [
    'mkdir out; head -c 300000 /dev/urandom >out/a; cp out/a "$0/expected"',
    'ln -s /etc/passwd leaves; ln -s .. up; ln -s out/a latest; mkfifo fifo; echo this is the output',
  ].join('\n');
  const job = await cluster.submit('--', 'sh', '-c', script, cluster.folder);
  t.is(await cluster.end(job), 'TASK_FINISHED');
  const expected = await readFile(join(cluster.folder, 'expected'));
  t.is(expected.length, 300_000);
  const target = join(cluster.folder, 'fetched');
  const fetched = await cluster.mesq('fetch', job, 'out/a', '-o', target);
  t.is(fetched.code, 0, fetched.stderr);
  t.true((await readFile(target)).equals(expected));

  // What is there stays, unless one says so.
  await writeFile(target, 'mine');
  const again = await cluster.mesq('fetch', job, 'latest', '-o', target);
  t.is(again.code, 1);
  t.regex(again.stderr, /is there already/);
  t.is(await readFile(target, 'utf8'), 'mine');
  t.is((await cluster.mesq('fetch', `${job}.0`, 'latest', '-o', target, '--force')).code, 0);
  t.true((await readFile(target)).equals(expected));

  const none = join(cluster.folder, 'none');
  for (const [path, code, said] of [
    ['leaves', 7, /leads out of the sandbox/],
    ['up/stdout', 7, /leads out of the sandbox/],
    ['../stdout', 2, /leads out of the sandbox with \.\./],
    ['/etc/passwd', 2, /not relative/],
    ['out', 2, /no regular file/],
    ['fifo', 2, /no regular file/],
    ['out/b', 3, /there is no file/],
  ] as const) {
    const refused = await cluster.mesq('fetch', job, path, '-o', none);
    t.is(refused.code, code, `${path}: ${refused.stderr}`);
    t.regex(refused.stderr, said);
  }
  t.deepEqual(
    (await readdir(cluster.folder)).filter((name) => name.endsWith('.part') || name === 'none'),
    [],
  );
  const toOutput = await cluster.mesq('fetch', job, 'leaves', '-o', '-');
  t.is(toOutput.stdout, '');
});
