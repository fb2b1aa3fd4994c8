import { setTimeout as pause } from 'node:timers/promises';
import { connectClient } from '../tools/cluster.ts';
import { cancelJob, jobEnded, submitJob, tasksRun } from './jobs.ts';
import { commandOf, ownPss, withDescendants } from './process-memory.ts';
import { benchFolder, endLauncher, launcherPid, startAgentPart, startMasterPart } from './real-cluster.ts';
import type { Measured } from './report.ts';

const TASKS = 20;
const TASK_KB = 1_024;

/** What is ours of the memory while tasks run: the launcher and a supervisor for each, and what the agent grows by. */
export async function measureTaskMemory(parent: string): Promise<Measured[]> {
  const folder = benchFolder(parent);
  const master = await startMasterPart(folder.path);
  const agent = await startAgentPart(folder.path, 'a1', master.url, 'cpus:4;mem:4096');
  const { client, close } = await connectClient(master.url, 'bench');
  const run = async (): Promise<string> => {
    const job = await submitJob(client, { argv: ['sleep', '600'], count: TASKS });
    await tasksRun(client, job, TASKS);
    return job;
  };
  // What the first tasks have the agent load and compile is no task's.
  const first = await run();
  await cancelJob(client, first);
  await jobEnded(client, first);
  const launcher = launcherPid(agent);
  // A supervisor ends just after its word of the exit.
  while (withDescendants(launcher === undefined ? [] : [launcher]).size > 1) await pause(5);
  const before = { agent: ownPss(agent.pid), ...launched(launcher) };
  const job = await run();
  const after = { agent: ownPss(agent.pid), ...launched(launcher) };
  if (before.tasks !== 0 || after.tasks !== TASKS) throw new Error(`${before.tasks} and ${after.tasks} tasks run`);
  await cancelJob(client, job);
  await jobEnded(client, job);
  await close();
  await agent.stop();
  await endLauncher(agent);
  await master.stop();
  folder.remove();
  const supervisors = (after.ours - before.ours) / TASKS;
  const grown = (after.agent - before.agent) / TASKS;
  const whole = supervisors + Math.max(0, grown);
  return [
    {
      what: `memory that is ours for each of ${TASKS} running tasks: PSS`,
      value: `${whole.toFixed(0)} kB`,
      beside: `supervisors ${supervisors.toFixed(0)} kB, the agent's growth ${grown.toFixed(0)} kB; \`sleep\` itself ${(after.theirs / TASKS).toFixed(0)} kB`,
      target: `≤ ${TASK_KB} kB`,
      met: whole <= TASK_KB,
    },
  ];
}

/** In kB: of the launcher and its supervisors, and of the tasks below them. */
function launched(launcher: number | undefined) {
  const processes = [...withDescendants(launcher === undefined ? [] : [launcher])];
  const tasks = processes.filter((pid) => commandOf(pid) === 'sleep');
  const pss = (pids: readonly number[]): number => pids.reduce((sum, pid) => sum + ownPss(pid), 0);
  return {
    tasks: tasks.length,
    ours: pss(processes.filter((pid) => !tasks.includes(pid))),
    theirs: pss(tasks),
  };
}
