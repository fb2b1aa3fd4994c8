import { connectClient } from '../tools/cluster.ts';
import { openDelayingLink } from './delaying-link.ts';
import { benchFolder, endLauncher, startAgentPart, startMasterPart } from './real-cluster.ts';
import { type Measured, quantile } from './report.ts';
import { KILLS, killsDuringDownload, SUBMISSIONS, submissions } from './tasks-over-a-link.ts';

const ROUND_TRIP_MS = 300;
const BITS_PER_SECOND = 256_000;
const MOST_MS = 1.5 * ROUND_TRIP_MS + 50;

/** From a client beside the master until it hears RUNNING of an agent behind a slow link; beside the same without one. */
export async function measureSlowLink(parent: string): Promise<Measured[]> {
  const { running: slow, kills } = await submitToRunning(parent, ROUND_TRIP_MS / 2);
  const { running: near } = await submitToRunning(parent, undefined);
  const middle = quantile(slow, 0.5);
  // The word to start and the word that it runs cannot take less.
  if (Math.min(...slow) < ROUND_TRIP_MS) throw new Error('the agent went past the link: nothing was measured');
  return [
    {
      what: `submit → RUNNING over ${ROUND_TRIP_MS} ms round trip, ${BITS_PER_SECOND / 1_000} kbit/s, standing connection, p50 of ${SUBMISSIONS}`,
      value: `${middle.toFixed(0)} ms (${(middle / ROUND_TRIP_MS).toFixed(2)} round trips)`,
      beside: `most ${Math.max(...slow).toFixed(0)} ms; without the link p50 ${quantile(near, 0.5).toFixed(0)} ms`,
      target: `≤ ${MOST_MS} ms`,
      met: middle <= MOST_MS,
    },
    {
      what: `KILL while the same link is full of a log → the client hears the end, p50 of ${KILLS}`,
      value: `${quantile(kills, 0.5).toFixed(0)} ms (${(quantile(kills, 0.5) / ROUND_TRIP_MS).toFixed(2)} round trips)`,
      beside: `most ${Math.max(...kills).toFixed(0)} ms; no losses: those are in the rows of a slow board`,
      target: `≤ ${2 * ROUND_TRIP_MS} ms`,
      met: quantile(kills, 0.5) <= 2 * ROUND_TRIP_MS,
    },
  ];
}

async function submitToRunning(
  parent: string,
  oneWayMs: number | undefined,
): Promise<{ running: number[]; kills: number[] }> {
  const folder = benchFolder(parent);
  const master = await startMasterPart(folder.path);
  const { hostname: host, port } = new URL(master.url);
  const link =
    oneWayMs === undefined
      ? undefined
      : await openDelayingLink({ host, port: Number(port) }, { oneWayMs, bitsPerSecond: BITS_PER_SECOND });
  const agent = await startAgentPart(folder.path, 'a1', link?.url ?? master.url, 'cpus:4;mem:4096');
  const { client, close } = await connectClient(master.url, 'bench');
  const times = await submissions(client);
  const kills = oneWayMs === undefined ? [] : await killsDuringDownload(client);
  await close();
  await agent.stop();
  await endLauncher(agent);
  link?.close();
  await master.stop();
  folder.remove();
  return { running: times, kills };
}
