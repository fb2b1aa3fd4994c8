import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import test from 'ava';
import mqttPacket from 'mqtt-packet';
import { connectClient } from '../../tools/cluster.ts';
import { Cluster, eventually } from './cluster.ts';
import { roadTo } from './tcp-cut.ts';

async function lines(path: string): Promise<string[]> {
  const text = await readFile(path, 'utf8').catch(() => '');
  return text.split('\n').filter((line) => line !== '');
}

/** The return code of an MQTT CONNECT under that name without a password, or the error of the connection. */
async function connack(host: string, port: number, name: string): Promise<string> {
  const socket = connect(port, host);
  try {
    await once(socket, 'connect');
    const clientId = `${name}/${Math.random().toString(36).slice(2)}`;
    socket.write(mqttPacket.generate({ cmd: 'connect', clientId, username: name, clean: true, keepalive: 0 }));
    const [bytes] = (await once(socket, 'data')) as [Buffer];
    return String(bytes[3]);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error);
  } finally {
    socket.destroy();
  }
}

test('a master killed in the middle of a job, twice, and once an agent with it: every task runs once, and whoever waits is told', async (t) => {
  const cluster = await Cluster.start(t, { a1: {}, a2: {} });
  const starts = join(cluster.folder, 'starts');
  const script = `echo "$MESQ_TASK_INDEX" >> ${starts}; until [ -e ${cluster.folder}/go-$((MESQ_TASK_INDEX / 20)) ]; do sleep 0.05; done`;
  const waiting = cluster.spawn(['run', '--count', '60', '--cpus', '0.25', '--mem', '16', '--', 'sh', '-c', script]);
  for (const part of [0, 1]) {
    await eventually(async () => (await lines(starts)).length > part * 20 || undefined);
    await cluster.master?.end('SIGKILL');
    if (part === 1) await cluster.agents.get('a2')?.end('SIGKILL');
    await writeFile(join(cluster.folder, `go-${part}`), '');
    if (part === 1) cluster.spawnAgent('a2');
    await cluster.startMaster();
  }
  await writeFile(join(cluster.folder, 'go-2'), '');
  const waited = await waiting.ended;
  t.is(waited.code, 0, waited.stderr);
  const indices = (await lines(starts)).map(Number).sort((a, b) => a - b);
  t.deepEqual(
    indices,
    Array.from({ length: 60 }, (_, index) => index),
  );
  const [job] = await cluster.json<{ id: string }[]>('jobs');
  const tasks = await cluster.tasks(job?.id ?? '');
  t.true(tasks.every(({ state, attempt }) => state === 'TASK_FINISHED' && attempt === 0));
});

test('what a master has acknowledged is there after its death, however soon that comes', async (t) => {
  const cluster = await Cluster.start(t);
  const jobs = ['first', 'second', 'third'];
  for (const job of jobs) {
    const { client, close } = await connectClient(cluster.url);
    const spec = { job, argv: ['echo', job], resources: 'cpus:0.1;mem:16' };
    const answer = await client.request('submit', spec, { framework: 'batch' });
    await cluster.master?.end('SIGKILL');
    t.deepEqual(answer, { job });
    await Promise.all([close(), cluster.startMaster()]);
  }
  for (const job of jobs) {
    t.is((await cluster.mesq('wait', job)).code, 0);
    t.is((await cluster.mesq('logs', job)).stdout, `${job}\n`);
    t.is((await cluster.tasks(job))[0]?.attempt, 0);
  }
});

test('whoever comes while a master starts waits until it knows its tokens: nobody is refused, or let in, too early', async (t) => {
  const cluster = await Cluster.start(t, {});
  t.is((await cluster.mesq('token', 'create', '--role', 'viewer', '--name', 'guarded')).code, 0);
  const { hostname, port } = new URL(cluster.url);
  for (let restart = 0; restart < 3; restart++) {
    await cluster.master?.end('SIGKILL');
    let up = false;
    const answers = new Map<string, number>();
    const knock = async (name: string): Promise<void> => {
      while (!up) {
        const answer = `${name}: ${await connack(hostname, Number(port), name)}`;
        answers.set(answer, (answers.get(answer) ?? 0) + 1);
      }
    };
    const knocking = [knock('anybody'), knock('guarded')];
    await cluster.startMaster();
    await eventually(() => (answers.has('anybody: 0') && answers.has('guarded: 4')) || undefined);
    up = true;
    await Promise.all(knocking);
    answers.delete('anybody: ECONNREFUSED');
    answers.delete('guarded: ECONNREFUSED');
    t.deepEqual([...answers.keys()].sort(), ['anybody: 0', 'guarded: 4']);
  }
});

test('a task that ends while the master is down is told afterwards, and mesq run goes on by itself', async (t) => {
  const cluster = await Cluster.start(t);
  const go = join(cluster.folder, 'go');
  const run = cluster.spawn([
    'run',
    '--',
    'sh',
    '-c',
    `echo before; until [ -e ${go} ]; do sleep 0.05; done; echo after; exit 4`,
  ]);
  await run.said(/before/);
  await cluster.master?.end('SIGKILL');
  await run.said(/connection to the cluster is lost/);
  await writeFile(go, '');
  await cluster.startMaster();
  const { code, stdout } = await run.ended;
  t.deepEqual([code, stdout], [4, 'before\nafter\n']);
});

test('connections cut in the middle of a log, at the agent and at the reader: complete, and nothing twice', async (t) => {
  const cluster = await Cluster.start(t, {});
  const toAgent = await roadTo(cluster.url);
  const toReader = await roadTo(cluster.url);
  t.teardown(() => Promise.all([toAgent.close(), toReader.close()]));
  await cluster.startAgent('a1', { url: toAgent.url });
  const step = join(cluster.folder, 'step');
  const script = `seq 1 100000; until [ -e ${step}-1 ]; do sleep 0.05; done; seq 100001 200000; until [ -e ${step}-2 ]; do sleep 0.05; done; seq 200001 300000`;
  const run = cluster.spawn(['run', '--', 'sh', '-c', script], { MESQ_URL: toReader.url });
  await run.said(/^5000$/m);
  toAgent.cut();
  await writeFile(`${step}-1`, '');
  toAgent.mend();
  await run.said(/^150000$/m);
  toReader.cut();
  await writeFile(`${step}-2`, '');
  toReader.mend();
  const { code, stdout } = await run.ended;
  t.is(code, 0);
  const expected = Array.from({ length: 300_000 }, (_, index) => `${index + 1}\n`).join('');
  t.is(stdout.length, expected.length);
  t.true(stdout === expected);
  t.true(toReader.received() > expected.length);
});

test('connections that break again and again, in the middle of packets: the output is complete, and nothing twice', async (t) => {
  const cluster = await Cluster.start(t, {});
  const toAgent = await roadTo(cluster.url);
  const toReader = await roadTo(cluster.url);
  t.teardown(() => Promise.all([toAgent.close(), toReader.close()]));
  await cluster.startAgent('a1', { url: toAgent.url });
  toAgent.breakEvery(250_001);
  toReader.breakEvery(200_003);
  const { code, stdout } = await cluster.spawn(['run', '--', 'seq', '100000'], { MESQ_URL: toReader.url }).ended;
  t.is(code, 0);
  t.true(stdout === Array.from({ length: 100_000 }, (_, index) => `${index + 1}\n`).join(''));
  t.true(toAgent.breaks() > 0 && toReader.breaks() > 1, `${toAgent.breaks()} and ${toReader.breaks()} breaks`);
});
