import { execFileSync } from 'node:child_process';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { Cluster, copyMachine, eventually } from './cluster.ts';

/** Data folders of a master and an agent, as the version of that format wrote them. `UPDATE_GOLDENS=1` makes them anew. */
const GOLDEN = resolve('test/e2e/golden/data-folders-0.1.tar.gz');
const MACHINE = '0123456789abcdef0123456789abcdef';
const NOT_KEPT = ['lock.*', 'launcher', 'executors'];

interface Told {
  readonly agent: string;
  readonly ended: string;
  readonly service: string;
}

async function agentId(cluster: Cluster): Promise<string> {
  return (await cluster.json<{ id: string; name: string }[]>('agents')).find(({ name }) => name === 'a1')?.id ?? '';
}

/** As after a power cut: nothing of either was told that it ends. */
async function make(t: ExecutionContext): Promise<void> {
  const cluster = await Cluster.start(t, {});
  const sysroot = await copyMachine(join(cluster.folder, 'first'), { machine: MACHINE, boot: 'first' });
  await cluster.startAgent('a1', { sysroot });
  const ended = await cluster.submit('--', 'sh', '-c', 'echo kept; exit 4');
  await cluster.task(ended, 'TASK_FAILED');
  const service = await cluster.submit('--restart', 'always', '--mem', '32', '--', 'sleep', '1000');
  await cluster.task(service, 'TASK_RUNNING');
  await cluster.mesq('quota', 'set', 'vision', '--guarantee', 'cpus:1');
  const told: Told = { agent: await agentId(cluster), ended, service };
  await writeFile(join(cluster.folder, 'told.json'), JSON.stringify(told));
  await cluster.agents.get('a1')?.end('SIGKILL');
  await cluster.powerCut('a1');
  await cluster.master?.end('SIGKILL');
  await mkdir(join(GOLDEN, '..'), { recursive: true });
  const leave = NOT_KEPT.map((name) => `--exclude=${name}`);
  execFileSync('tar', ['-C', cluster.folder, '-czf', GOLDEN, ...leave, 'm1', 'a1', 'told.json']);
}

test('data folders as they were written before are gone on with: who was who, what ran, what had ended', async (t) => {
  if (process.env['UPDATE_GOLDENS'] === '1') await make(t);
  const cluster = await Cluster.start(t, {});
  await cluster.master?.end('SIGTERM');
  await rm(join(cluster.folder, 'm1'), { recursive: true });
  execFileSync('tar', ['-C', cluster.folder, '-xzf', GOLDEN]);
  const told = JSON.parse(await readFile(join(cluster.folder, 'told.json'), 'utf8')) as Told;
  await cluster.startMaster();
  t.deepEqual(
    (await cluster.json<{ id: string }[]>('jobs')).map(({ id }) => id).sort(),
    [told.ended, told.service].sort(),
  );
  t.regex((await cluster.mesq('roles')).stdout, /vision/);
  const sysroot = await copyMachine(join(cluster.folder, 'again'), { machine: MACHINE, boot: 'again' });
  const agent = await cluster.startAgent('a1', { sysroot });
  t.is(await agentId(cluster), told.agent);
  t.false(/set aside|damaged|CORRUPT/.test(agent.stderr()), agent.stderr());
  const again = await eventually(async () =>
    (await cluster.tasks(told.service)).find(({ state, restart = 0 }) => state === 'TASK_RUNNING' && restart > 0),
  );
  t.like(again, { attempt: 0, restart: 1 });
  const [ended] = await cluster.tasks(told.ended);
  t.like(ended, { state: 'TASK_FAILED', exitCode: 4 });
  t.is((await cluster.mesq('logs', told.ended)).stdout, 'kept\n');
});
