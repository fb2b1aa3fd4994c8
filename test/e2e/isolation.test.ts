import { chmod, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { findUser } from '../../io/node/users.ts';
import { Cluster, eventually } from './cluster.ts';

/** Takes 96 MB and more, and is done. */
const HUNGRY = ['awk', 'BEGIN { s = "x"; while (length(s) < 96 * 1048576) s = s s; print length(s) }'];

interface AgentRow {
  readonly attributes: string;
}

/** What the agent says of itself; false where this machine has no control group for memory, which is said aloud. */
async function hasMemoryGroups(t: ExecutionContext, cluster: Cluster): Promise<boolean> {
  const [agent] = await cluster.json<AgentRow[]>('agents');
  const has = JSON.stringify(agent?.attributes ?? '').includes('task');
  if (!has) {
    t.log('SKIPPED: no control group for memory here');
    t.pass();
  }
  return has;
}

test('a task that takes more memory than was written is ended with 137, and the person is told why', async (t) => {
  const cluster = await Cluster.start(t);
  if (!(await hasMemoryGroups(t, cluster))) return;
  const greedy = await cluster.mesq('run', '--mem', '48', '--', ...HUNGRY);
  t.is(greedy.code, 137, greedy.stderr);
  t.regex(greedy.stderr, /more memory than its limit/);
  const [task] = await cluster.tasks((await cluster.json<{ id: string }[]>('jobs'))[0]?.id ?? '');
  t.is(task?.reason, 'CONTAINER_LIMITATION_MEMORY');
  // Nobody wrote a size: 128 MB are a request.
  t.is((await cluster.mesq('run', '--', ...HUNGRY)).code, 0);
  t.is((await cluster.mesq('run', '--mem', '48', '--limit-mem', '400', '--', ...HUNGRY)).code, 0);
});

test('an agent killed and started again ends tasks with all that they began', async (t) => {
  const cluster = await Cluster.start(t);
  if (!(await hasMemoryGroups(t, cluster))) return;
  const script = `setsid sh -c 'echo $$ >${cluster.folder}/escaped; exec sleep 1000' & wait`;
  const job = await cluster.submit('--', 'sh', '-c', script);
  const escaped = await eventually(
    async () => Number(await readFile(join(cluster.folder, 'escaped'), 'utf8').catch(() => '')) || undefined,
  );
  await cluster.agents.get('a1')?.end('SIGKILL');
  await cluster.startAgent('a1');
  process.kill(escaped, 0);
  t.is((await cluster.mesq('cancel', job)).code, 0);
  await cluster.task(job, 'TASK_KILLED');
  await eventually(() => isGone(escaped) || undefined);
  t.pass();
});

test('tasks run as the user that was named, in a folder of their own; who is nobody is refused', async (t) => {
  const nobody = findUser('nobody');
  if (process.getuid?.() !== 0 || nobody === undefined) {
    t.log('SKIPPED: takes root, and a user nobody');
    t.pass();
    return;
  }
  const cluster = await Cluster.start(t, {});
  // On their way to the sandbox they pass through it; a temporary folder lets nobody.
  await chmod(cluster.folder, 0o711);
  const installed = await cluster.mesq('agent', 'install', '--root', cluster.folder, '--master', cluster.url);
  t.is(installed.code, 0, installed.stderr);
  // As versions before this one left it.
  await chmod(join(cluster.folder, 'var/lib/mesq'), 0o700);
  const data = join(cluster.folder, 'var/lib/mesq/agent');
  const agent = await cluster.startAgent('a1', { data, more: ['--task-user', 'nobody'] });
  t.notRegex(agent.stderr(), /may not pass/);
  const script = 'id -u; cd "$HOME" && cd "$MESQ_SANDBOX" && echo x >file && cat file';
  t.is((await cluster.mesq('run', '--', 'sh', '-c', script)).stdout, `${nobody.uid}\nx\n`);
  const refused = cluster.spawnAgent('a2', { more: ['--task-user', 'no-such-user'] });
  t.is((await refused.ended).code, 2);
  t.regex(refused.stderr(), /no user no-such-user/);
});

function isGone(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return false;
  } catch {
    return true;
  }
}
