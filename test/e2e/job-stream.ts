import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Client, Fault } from '../../sdk/index.ts';
import { spec } from '../frameworks/batch-world.ts';
import { JobHistory } from '../sim/job-history.ts';
import { eventually } from './cluster.ts';

/** Ended jobs that batch keeps: frameworks/batch/ended-jobs.ts. */
const KEPT_JOBS = 1_000;
/** Jobs that have not finished, beyond which none is added without being asked for. */
const MOST_OPEN = 4;
const TASKS = 2;
/** Longer than any fault lasts. */
const PATIENCE_MS = 60_000;
/** After this long a master that does not lead, or is frozen, is asked anew. */
const LOYAL_READ_MS = 1_000;

const RESOURCES = [
  { name: 'cpus', scalar: 500 },
  { name: 'mem', scalar: 8_000 },
];

/**
 * Jobs, one after another, from somebody who follows each to its end and from somebody who does not; and what was seen
 * of them, by both and by readers who stay with one master each and would see what an old leader still tells. Each task
 * writes down when it starts and when it ends.
 */
export class JobStream {
  readonly #client: Client;
  readonly #starts: string;
  readonly #ends: string;
  readonly #history = new JobHistory(KEPT_JOBS);
  readonly #running: Promise<unknown>;
  /** Rejects where anybody was refused anything, and where a job has not finished well. */
  readonly failure: Promise<never>;
  #stopped = false;

  /** `loyal`: clients that follow no leader. */
  constructor(client: Client, folder: string, loyal: readonly Client[] = []) {
    this.#client = client;
    this.#starts = join(folder, 'starts');
    this.#ends = join(folder, 'ends');
    this.#running = Promise.all([this.#follow(), this.#press(), ...loyal.map((one) => this.#look(one))]);
    this.failure = this.#running.then(() => new Promise<never>(() => undefined));
    this.failure.catch(() => {
      this.#stopped = true;
    });
  }

  /** So far. */
  get jobs(): number {
    return this.#history.count;
  }

  /** One job more, acknowledged: rejects where it is refused. */
  async submit(): Promise<string> {
    const id = `job-${this.#history.count}`;
    const note = (file: string): string => `echo "$MESQ_TASK_ID.$MESQ_ATTEMPT" >> ${file}`;
    // Some are short, and some outlive what happens to their agent.
    const script = `${note(this.#starts)}; sleep ${this.#history.count % 3}; ${note(this.#ends)}`;
    const write = this.#history.submitted(id);
    const job = spec({ job: id, argv: ['sh', '-c', script], count: TASKS, resources: RESOURCES });
    const answer = await this.#client.request('submit', job, {
      framework: 'batch',
      request: id,
      timeoutMs: PATIENCE_MS,
    });
    if (answer instanceof Fault) throw new Error(`${id}: ${answer.code}: ${answer.message}`);
    this.#history.acknowledged(write);
    return id;
  }

  /** Ends it, and waits until all that was acknowledged has finished. Rejects as {@link failure} does. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
    await eventually(async () => (await this.#open()) === 0 || undefined);
  }

  /** In words, what must not be: lost jobs, reads that are not linearizable, tasks that ran twice or not at all. */
  async violations(): Promise<string[]> {
    const starts = await lines(this.#starts);
    const ends = await lines(this.#ends);
    const ended = new Map<string, number>();
    for (const line of ends) ended.set(taskOf(line), (ended.get(taskOf(line)) ?? 0) + 1);
    const missing: string[] = [];
    for (let job = 0; job < this.jobs; job++)
      for (let task = 0; task < TASKS; task++)
        if (ended.get(`job-${job}.${task}`) !== 1)
          missing.push(`job-${job}.${task} ended ${ended.get(`job-${job}.${task}`) ?? 0} times`);
    return [
      ...this.#history.violations(),
      ...repeated(starts).map((line) => `${line} started twice`),
      ...repeated(ends).map((line) => `${line} ended twice`),
      ...missing,
    ];
  }

  /** Starts of tasks so far, and how many of them were not the first attempt. */
  async starts(): Promise<{ all: number; again: number }> {
    const starts = await lines(this.#starts);
    return { all: starts.length, again: starts.filter((line) => !line.endsWith('.0')).length };
  }

  async #follow(): Promise<void> {
    while (!this.#stopped) {
      const id = await this.submit();
      let state: string | undefined;
      for await (const part of this.#client.watch(id, { framework: 'batch', timeoutMs: PATIENCE_MS })) {
        if (part instanceof Fault) throw new Error(`watching ${id}: ${part.code}: ${part.message}`);
        state = part.job.state;
      }
      if (state !== 'finished') throw new Error(`${id} ended as ${state}`);
    }
  }

  async #press(): Promise<void> {
    while (!this.#stopped) {
      await eventually(async () => (await this.#open()) < MOST_OPEN || this.#stopped || undefined);
      if (!this.#stopped) await this.submit();
    }
  }

  /** Whoever gets no answer has seen nothing. */
  async #look(client: Client): Promise<void> {
    while (!this.#stopped) {
      const read = this.#history.readBegun();
      const answer = await client.request('jobs', {}, { framework: 'batch', timeoutMs: LOYAL_READ_MS });
      if (answer instanceof Fault) continue;
      this.#history.readEnded(
        read,
        answer.jobs.map(({ id }) => id),
      );
      await eventually(() => true);
    }
  }

  /** Reads the jobs: how many have not finished. */
  async #open(): Promise<number> {
    const read = this.#history.readBegun();
    const answer = await this.#client.request('jobs', {}, { framework: 'batch', timeoutMs: PATIENCE_MS });
    if (answer instanceof Fault) throw new Error(`jobs: ${answer.code}: ${answer.message}`);
    this.#history.readEnded(
      read,
      answer.jobs.map(({ id }) => id),
    );
    const failed = answer.jobs.find(({ state }) => state === 'failed' || state === 'cancelled');
    if (failed !== undefined) throw new Error(`${failed.id} ${failed.state}`);
    return answer.jobs.filter(({ state }) => state !== 'finished').length;
  }
}

async function lines(path: string): Promise<string[]> {
  const text = await readFile(path, 'utf8').catch(() => '');
  return text.split('\n').filter((line) => line !== '');
}

/** Of `job-1.0.2`: without the attempt. */
function taskOf(line: string): string {
  return line.slice(0, line.lastIndexOf('.'));
}

function repeated(all: readonly string[]): string[] {
  const seen = new Set<string>();
  return all.filter((line) => seen.size === seen.add(line).size);
}
