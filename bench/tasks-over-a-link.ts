import { setTimeout as pause } from 'node:timers/promises';
import { type Client, Fault } from '../sdk/index.ts';
import { cancelJob, jobEnded, submitJob, tasksRun } from './jobs.ts';

export const SUBMISSIONS = 20;

/** Milliseconds from submitting until the client hears RUNNING, each with the agent idle again. */
export async function submissions(client: Client): Promise<number[]> {
  const times: number[] = [];
  for (let count = -3; count < SUBMISSIONS; count++) {
    const begin = performance.now();
    const job = await submitJob(client, { argv: ['sleep', '600'] });
    await tasksRun(client, job);
    // The first ones compile what the others use.
    if (count >= 0) times.push(performance.now() - begin);
    await cancelJob(client, job);
    await jobEnded(client, job);
  }
  return times;
}

/** Of the log, before anything is killed: seconds at this width. */
const DOWNLOADED_BYTES = 100_000;
/** A task that fills its output with noise, which deflates to nothing less, and stays. */
const NOISY = [
  'bash',
  '-c',
  'head -c 4000000 /dev/urandom; echo ready >&2; trap "echo $EPOCHREALTIME >ended; exit" TERM; sleep 600 & wait',
];
export const KILLS = 8;

/**
 * KILL while the link is full of the task's output on its way to a reader: until the client hears that it has ended. The
 * word to kill goes the free way, the report has to come past the output.
 */
export async function killsDuringDownload(client: Client, kills = KILLS): Promise<number[]> {
  const times: number[] = [];
  for (let count = 0; count < kills; count++) {
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
