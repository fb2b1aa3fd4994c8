import { createHash } from 'node:crypto';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { sampleBytes } from '../conformance/artifact-source.ts';
import { tarOf } from '../io/tar-blocks.ts';
import { WebServer } from '../io/web-server.ts';
import { Cluster, copyMachine, eventually } from './cluster.ts';

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

async function web(t: ExecutionContext): Promise<WebServer> {
  const server = await WebServer.start();
  t.teardown(() => server.stop());
  return server;
}

/** Bytes in the agent's folder of parts and files, by kind. */
async function kept(cluster: Cluster): Promise<{ parts: string[]; files: string[] }> {
  const names = await readdir(join(cluster.dataOf('a1'), 'artifacts')).catch(() => [] as string[]);
  return {
    parts: names.filter((name) => /^part-[0-9a-f]+$/.test(name)),
    files: names.filter((name) => /^[0-9a-f]{64}$/.test(name)),
  };
}

/** Lets one piece go at a time, once it is told to. */
function gate(): { pace: () => Promise<void>; open: () => void } {
  let open = (): void => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { pace: () => opened, open };
}

test('what a task asks for is in its sandbox: files, a program, an archive; and a server that breaks off is gone on with', async (t) => {
  const [cluster, server] = [await Cluster.start(t), await web(t)];
  const model = sampleBytes(3_000_001);
  const uri = server.put(model, { breakAfter: 1_000_000 });
  const tool = server.put(Buffer.from('#!/bin/sh\nsha256sum model.bin | cut -c-64\ncat data/sub/word\n'));
  const archive = server.put(tarOf([{ name: 'sub/word', content: 'unpacked\n' }]));
  const ended = await cluster.mesq(
    ...['run', '--artifact', `${uri},path=model.bin,sha256=${sha256(model)}`],
    ...['--artifact', `${tool},path=bin/tool,executable`, '--artifact', `${archive},path=data,extract`],
    ...['--', './bin/tool'],
  );
  t.is(ended.code, 0, ended.stderr);
  t.is(ended.stdout, `${sha256(model)}\nunpacked\n`);
  const ranges = server.requests.flatMap(({ range }) => range ?? []);
  t.regex(ranges.join(), /^bytes=[1-9]\d*-$/);
  // What has a checksum is kept for others; the rest goes with the task that wanted it.
  await eventually(async () => ((await kept(cluster)).files.join() === sha256(model) ? true : undefined));
  const before = server.requests.length;
  const again = await cluster.mesq('run', '--artifact', `${uri},path=m,sha256=${sha256(model)}`, '--', 'wc', '-c', 'm');
  t.regex(again.stdout, /3000001/);
  t.is(server.requests.length, before);
});

test('kill -9 of the agent in the middle of a fetch: the next one goes on where it ended', async (t) => {
  const [cluster, server] = [await Cluster.start(t), await web(t)];
  const content = sampleBytes(6_000_000);
  const { pace, open } = gate();
  const uri = server.put(content, { stallAfter: 4_000_000 });
  const job = await cluster.submit('--artifact', `${uri},path=f`, '--', 'sha256sum', 'f');
  await server.until(() => server.bytesServed >= 4_000_000);
  const folder = join(cluster.dataOf('a1'), 'artifacts');
  const got = await eventually(async () => {
    const [part] = (await kept(cluster)).parts;
    const size = part === undefined ? 0 : (await stat(join(folder, part))).size;
    return size >= 3_500_000 ? size : undefined;
  });
  await cluster.agents.get('a1')?.end('SIGKILL');
  Object.assign(server.page(uri), { stallAfter: undefined, pace });
  const servedBefore = server.bytesServed;
  await cluster.startAgent('a1');
  open();
  t.is((await cluster.mesq('wait', job)).code, 0);
  t.regex((await cluster.mesq('logs', job)).stdout, new RegExp(sha256(content)));
  t.true(server.bytesServed - servedBefore <= content.length - got, `${server.bytesServed - servedBefore}`);
  t.is((await cluster.tasks(job))[0]?.attempt, 0);
});

test('content that changes between the halves, and a server without ranges: all of it again, never a mixture', async (t) => {
  const [cluster, server] = [await Cluster.start(t), await web(t)];
  const [before, after] = [sampleBytes(2_000_000, 1), sampleBytes(2_000_000, 2)];
  const uri = server.put(before, { breakAfter: 1_000_000, noRanges: true });
  const first = await cluster.mesq('run', '--artifact', `${uri},path=f`, '--', 'sha256sum', 'f');
  t.true(first.stdout.startsWith(sha256(before)), first.stderr);
  server.page(uri).breakAfter = 1_000_000;
  server.page(uri).noRanges = false;
  const second = cluster.spawn(['run', '--artifact', `${uri},path=f`, '--', 'sha256sum', 'f']);
  await server.until(() => server.page(uri).breakAfter === undefined);
  server.page(uri).content = after;
  const { stdout, stderr } = await second.ended;
  t.true(stdout.startsWith(sha256(after)), `${stdout} ${stderr}`);
});

test('what cannot be had fails the task, in words without secrets', async (t) => {
  const [cluster, server] = [await Cluster.start(t), await web(t)];
  const uri = server.put(sampleBytes(1_000));
  const evil = server.put(tarOf([{ name: '../out', content: 'x' }]));
  const secret = server.url('/nothing?signature=s3cret').replace('//', '//me:s3cret@');
  const wanted: [artifact: string, words: RegExp][] = [
    [`${uri},path=f,sha256=${'0'.repeat(64)}`, /^its SHA-256 is /],
    [`${secret},path=f`, /^the server answers 404/],
    [`${evil},path=d,extract`, /^it holds "..\/out", which leads out of its/],
  ];
  for (const [artifact, words] of wanted) {
    const job = await cluster.submit('--artifact', artifact, '--', 'true');
    const task = await cluster.task(job, 'TASK_FAILED');
    t.is(task.reason, 'ARTIFACT_FETCH_FAILED');
    t.regex(task.message ?? '', words);
    t.notRegex(task.message ?? '', /s3cret/);
  }
  t.notRegex(cluster.agents.get('a1')?.stderr() ?? '', /s3cret/);
  t.deepEqual((await kept(cluster)).parts, []);
});

test('killed while it waits for a silent server, it ends at once', async (t) => {
  const [cluster, server] = [await Cluster.start(t), await web(t)];
  const uri = server.put(sampleBytes(2_000_000), { stallAfter: 1_100_000 });
  const job = await cluster.submit('--artifact', `${uri},path=f`, '--', 'true');
  const starting = await cluster.task(job, 'TASK_STARTING');
  t.regex(starting.message ?? '', /^fetching http.*: [01] of 2 MB, \d+ %/);
  t.is((await cluster.mesq('cancel', job)).code, 0);
  t.is(await cluster.end(job), 'TASK_KILLED');
  await server.idle();
  await eventually(async () => ((await kept(cluster)).parts.length === 0 ? true : undefined));
});

test('several that want the same share one download', async (t) => {
  const [cluster, server] = [await Cluster.start(t), await web(t)];
  const { pace, open } = gate();
  const content = sampleBytes(500_000);
  const uri = server.put(content, { pace });
  const job = await cluster.submit('--count', '4', '--artifact', `${uri},path=f`, '--', 'wc', '-c', 'f');
  await eventually(async () => {
    const tasks = await cluster.tasks(job);
    return (tasks.length === 4 && tasks.every(({ state }) => state === 'TASK_STARTING')) || undefined;
  });
  open();
  t.is((await cluster.mesq('wait', job)).code, 0);
  t.is(server.bytesServed, content.length);
});

test('rebooted without a network, a service starts again with what it fetched', async (t) => {
  const [cluster, server] = [await Cluster.start(t, {}), await web(t)];
  const sysroot = await copyMachine(join(cluster.folder, 'machine'), {});
  await cluster.startAgent('a1', { sysroot });
  const note = join(cluster.folder, 'starts');
  const starts = (count: number): Promise<true> =>
    eventually(async () => (await readFile(note, 'utf8').catch(() => '')) === 'start\n'.repeat(count) || undefined);
  const uri = server.put(Buffer.from(`#!/bin/sh\necho start >> ${note}\nsleep 600\n`));
  await cluster.submit('--restart', 'always', '--artifact', `${uri},path=run,executable`, '--', './run');
  await starts(1);
  await cluster.agents.get('a1')?.end('SIGKILL');
  await cluster.powerCut('a1');
  await cluster.master?.end('SIGKILL');
  await server.stop();
  await copyMachine(sysroot, { boot: '11111111-2222-4333-8444-555555555555' });
  cluster.spawnAgent('a1', { sysroot });
  await starts(2);
  t.is(server.requests.length, 1);
});
