import { setTimeout as pause } from 'node:timers/promises';
import { type Client, Fault } from '../sdk/index.ts';
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
  const { running: slow, kills } = await submitToRunning(parent, ROUND_TRIP_MS / 2);
  const { running: near } = await submitToRunning(parent, undefined);
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
    {
      what: `KILL while the same link is full of a log → the client hears the end, p50 of ${KILLS}`,
      value: `${quantile(kills, 0.5).toFixed(0)} ms (${(quantile(kills, 0.5) / ROUND_TRIP_MS).toFixed(2)} round trips)`,
      beside: `most ${Math.max(...kills).toFixed(0)} ms; no losses: this machine's kernel cannot make any`,
      target: `≤ ${2 * ROUND_TRIP_MS} ms`,
      met: quantile(kills, 0.5) <= 2 * ROUND_TRIP_MS,
    },
  ];
}

/** A task that fills its output with noise, which deflates to nothing less, and stays. */
/** Of the log, before anything is killed: seconds at this width. */
const DOWNLOADED_BYTES = 100_000;
const NOISY = [
  'bash',
  '-c',
  'head -c 4000000 /dev/urandom; echo ready >&2; trap "echo $EPOCHREALTIME >ended; exit" TERM; sleep 600 & wait',
];
const KILLS = 8;

/**
 * KILL while the link is full of the task's output on its way to a reader: until the client hears that it has ended. The
 * word to kill goes the free way, the report has to come past the output.
 */
async function killsDuringDownload(client: Client): Promise<number[]> {
  const times: number[] = [];
  for (let count = 0; count < KILLS; count++) {
    const job = await submitJob(client, { argv: NOISY });
    await tasksRun(client, job);
    const source = { framework: 'batch', task: `${job}.0` };
    // When it says that it is ready, all is there to be read.
    for await (const piece of client.readOutput({ ...source, stream: 'stderr', follow: true })) {
      if (piece instanceof Fault) throw piece;
      if (piece.bytes.length > 0) break;
    }
    const reading = new Reading(client, source);
    await reading.until(DOWNLOADED_BYTES);
    const begin = performance.now();
    await cancelJob(client, job);
    await jobEnded(client, job);
    times.push(performance.now() - begin);
    await reading.stop();
  }
  return times;
}

/** Somebody who reads on and on. */
class Reading {
  #bytes = 0;
  #stopped = false;
  readonly #done: Promise<void>;

  constructor(client: Client, source: { framework: string; task: string }) {
    this.#done = this.#read(client, source);
  }

  async until(bytes: number): Promise<void> {
    while (this.#bytes < bytes) await pause(20);
  }

  stop(): Promise<void> {
    this.#stopped = true;
    return this.#done;
  }

  async #read(client: Client, source: { framework: string; task: string }): Promise<void> {
    for await (const piece of client.readOutput({ ...source, stream: 'stdout', follow: true })) {
      if (piece instanceof Fault) throw piece;
      this.#bytes += piece.bytes.length;
      if (this.#stopped) return;
    }
  }
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
  const kills = oneWayMs === undefined ? [] : await killsDuringDownload(client);
  await close();
  await agent.stop();
  await endLauncher(agent);
  link?.close();
  await master.stop();
  folder.remove();
  return { running: times, kills };
}
