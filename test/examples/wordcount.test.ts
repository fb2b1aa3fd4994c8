import { execFileSync } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import test from 'ava';
import { wordcount } from '../../examples/wordcount/wordcount.ts';
import { Fault } from '../../sdk/index.ts';
import { connectClient, startCluster } from '../../tools/cluster.ts';
import { ownFiles, quickstartOptions } from '../../tools/quickstart.ts';
import { MESQ, start } from '../e2e/cluster.ts';

const QUICKSTART = 'build/tools/quickstart.js';

test('the words of the project, counted by the cluster, are as many as tr, sort and uniq count', async (t) => {
  const root = resolve('.');
  const files = ownFiles(root).filter((file) => /^(docs\/[^/]+|[A-Z][A-Z]+\.md)$/.test(file));
  t.true(files.length > 25);
  const cluster = await startCluster(MESQ);
  t.teardown(() => cluster.stop());
  const { client, close } = await connectClient(cluster.url, 'counter');
  t.teardown(close);
  const told: string[] = [];
  const result = await wordcount(client, 'words', root, files, ({ file }) => told.push(file));
  if (result instanceof Fault) return t.fail(result.message);
  t.is(result.finished, files.length);
  t.deepEqual(told.sort(), [...files].sort());

  const script = 'cat "$@" | LC_ALL=C tr A-Z a-z | LC_ALL=C tr -cs a-z "\\n" | sed "/^$/d" | LC_ALL=C sort | uniq -c';
  const counted = execFileSync('sh', ['-c', script, 'sh', ...files], { encoding: 'utf8', maxBuffer: 1 << 26 });
  const expected = counted
    .trim()
    .split('\n')
    .map((line) => line.trim().split(' '))
    .map(([count, word]): [string, number] => [word ?? '', Number(count)]);
  const byWord = ([left]: [string, number], [right]: [string, number]): number => (left < right ? -1 : 1);
  return t.deepEqual([...result.counts].sort(byWord), expected.sort(byWord));
});

test('the quick start runs to its end, and stops what it started', async (t) => {
  const config = await mkdtemp(join(tmpdir(), 'mesq-config-'));
  t.teardown(() => rm(config, { recursive: true }));
  const { code, stdout, stderr } = await start(process.execPath, [QUICKSTART, '--exit', 'sdk'], {
    XDG_CONFIG_HOME: config,
  }).ended;
  t.is(code, 0, stderr);
  t.deepEqual(await readdir(config), [], 'which cluster is meant elsewhere stays as it was');
  t.regex(stdout, /^(\d+) of \1 tasks finished\. The most frequent words:\n +\d+ {2}\w+$/m);
  t.regex(stdout, / a1 +\d+ words /);
  t.regex(stdout, / a2 +\d+ words /);
});

test('without a folder the quick start counts every document and source of the project', (t) => {
  const own = ownFiles(resolve('.'));
  t.true(
    own.includes('README.md') && own.includes('sdk/client.ts') && own.every((file) => !/^(test|build)\//.test(file)),
  );
  t.deepEqual(quickstartOptions([], own), { files: own, exits: false });
  t.deepEqual(quickstartOptions(['sdk/', '--exit'], ['README.md', 'sdk/client.ts', 'sdkit/other.ts']), {
    files: ['sdk/client.ts'],
    exits: true,
  });
  t.deepEqual(quickstartOptions(['./sdk'], own), quickstartOptions(['sdk'], own));
  t.deepEqual(quickstartOptions(['.'], own), { files: own, exits: false });
  t.regex(String(quickstartOptions(['sdk', 'docs'], own)), /does not know docs/);
  t.regex(String(quickstartOptions(['nosuch'], own)), /^nosuch is no folder/);
});

test('the quick start refuses what it does not know, before it starts anything', async (t) => {
  const { code, stdout, stderr } = await start(process.execPath, [QUICKSTART, '--bogus']).ended;
  t.deepEqual([code, stdout], [2, '']);
  t.regex(stderr, /^error: the quick start does not know --bogus\n/);
});
