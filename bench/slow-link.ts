import { connectClient } from '../tools/cluster.ts';
import { openDelayingLink } from './delaying-link.ts';
import { cancelJob, jobEnded, submitJob, tasksRun } from './jobs.ts';
import { benchFolder, endLauncher, startAgentPart, startMasterPart } from './real-cluster.ts';
import { type Measured, quantile } from './report.ts';

const TASKS = 20;
const ROUND_TRIP_MS = 300;
const BITS_PER_SECOND = 256_000;
const MOST_MS = 1.5 * ROUND_TRIP_MS + 50;

/** From a client beside the master until it hears RUNNING of an agent behind a slow link; beside the same without one. */
export async function measureSlowLink(parent: string): Promise<Measured[]> {
  const slow = await submitToRunning(parent, ROUND_TRIP_MS / 2);
  const near = await submitToRunning(parent, undefined);
  const middle = quantile(slow, 0.5);
  // The word to start and the word that it runs cannot take less.
  if (Math.min(...slow) < ROUND_TRIP_MS) throw new Error('the agent went past the link: nothing was measured');
  return [
    {
      what: `submit → RUNNING over ${ROUND_TRIP_MS} ms round trip, ${BITS_PER_SECOND / 1_000} kbit/s, standing connection, p50 of ${TASKS}`,
      value: `${middle.toFixed(0)} ms (${(middle / ROUND_TRIP_MS).toFixed(2)} round trips)`,
      beside: `most ${Math.max(...slow).toFixed(0)} ms; without the link p50 ${quantile(near, 0.5).toFixed(0)} ms`,
      target: `≤ ${MOST_MS} ms`,
      met: middle <= MOST_MS,
    },
  ];
}

async function submitToRunning(parent: string, oneWayMs: number | undefined): Promise<number[]> {
  const folder = benchFolder(parent);
  const master = await startMasterPart(folder.path);
  const { hostname: host, port } = new URL(master.url);
  const link =
    oneWayMs === undefined
      ? undefined
      : await openDelayingLink({ host, port: Number(port) }, { oneWayMs, bitsPerSecond: BITS_PER_SECOND });
  const agent = await startAgentPart(folder.path, 'a1', link?.url ?? master.url, 'cpus:4;mem:4096');
  const { client, close } = await connectClient(master.url, 'bench');
  const times: number[] = [];
  for (let count = -3; count < TASKS; count++) {
    const begin = performance.now();
    const job = await submitJob(client, { argv: ['sleep', '600'] });
    await tasksRun(client, job);
    // The first ones compile what the others use.
    if (count >= 0) times.push(performance.now() - begin);
    await cancelJob(client, job);
    await jobEnded(client, job);
  }
  await close();
  await agent.stop();
  await endLauncher(agent);
  link?.close();
  await master.stop();
  folder.remove();
  return times;
}
