import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { connectClient } from '../tools/cluster.ts';
import { momentIn, untilTerminated, wallMs } from './bash-moments.ts';
import { cancelJob, jobEnded, submitJob, tasksRun } from './jobs.ts';
import { benchFolder, endLauncher, startAgentPart, startMasterPart } from './real-cluster.ts';
import { type Measured, quantile } from './report.ts';

const TASKS = 50;
const TERM_MS = 20;

/** From the request until the task has SIGTERM, by its own word; beside the same program that is signalled directly. */
export async function measureCancel(parent: string): Promise<Measured[]> {
  const folder = benchFolder(parent);
  const master = await startMasterPart(folder.path);
  const agent = await startAgentPart(folder.path, 'a1', master.url, 'cpus:4;mem:4096');
  const { client, close } = await connectClient(master.url, 'bench');
  const times: number[] = [];
  const direct: number[] = [];
  for (let count = 0; count < TASKS; count++) {
    const file = join(folder.path, `task${count}`);
    const job = await submitJob(client, { argv: untilTerminated(file) });
    await tasksRun(client, job);
    await momentIn(`${file}.started`);
    const begin = wallMs();
    await cancelJob(client, job);
    times.push((await momentIn(`${file}.ended`)) - begin);
    await jobEnded(client, job);
    direct.push(await signalled(join(folder.path, `bare${count}`)));
  }
  await close();
  await agent.stop();
  await endLauncher(agent);
  await master.stop();
  folder.remove();
  const middle = quantile(times, 0.5);
  return [
    {
      what: `cancel through the API → the task has SIGTERM, p50 of ${TASKS}`,
      value: `${middle.toFixed(1)} ms`,
      beside: `p90 ${quantile(times, 0.9).toFixed(1)} ms; a bare kill of its group p50 ${quantile(direct, 0.5).toFixed(1)} ms`,
      target: `< ${TERM_MS} ms`,
      met: middle < TERM_MS,
    },
  ];
}

async function signalled(file: string): Promise<number> {
  const [program = '', ...argv] = untilTerminated(file);
  const child = spawn(program, argv, { stdio: 'ignore', detached: true });
  const exit = once(child, 'exit');
  await momentIn(`${file}.started`);
  const begin = wallMs();
  process.kill(-(child.pid ?? 0), 'SIGTERM');
  await exit;
  return (await momentIn(`${file}.ended`)) - begin;
}
