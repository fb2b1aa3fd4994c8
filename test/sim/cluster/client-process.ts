import { Fault } from '../../../protocol/faults.ts';
import type { JobSpec } from '../../../protocol/job.ts';
import { type Client, createClient } from '../../../sdk/client.ts';
import { JobHistory } from '../job-history.ts';
import { SimulatedProcess, type Surroundings } from './simulated-process.ts';

/** Ended jobs that batch keeps: frameworks/batch/ended-jobs.ts. */
const KEPT_JOBS = 1_000;
const TIMEOUT_MS = 60_000;

/** Somebody at a shell: submits one job after the other, and looks at all of them again and again. */
export class ClientProcess {
  history = new JobHistory(KEPT_JOBS);
  readonly client: Client;
  readonly acknowledged = new Set<string>();
  /** As the last look showed them. */
  readonly states = new Map<string, string>();
  readonly #around: Surroundings;
  readonly #process: SimulatedProcess;
  readonly #gone = new Set<string>();
  #count = 0;
  #stops = false;
  /** The submission that is not answered yet, and its place in the history. */
  #asking: { readonly job: string; write: number } | undefined;

  constructor(around: Surroundings, urls: readonly string[]) {
    this.#around = around;
    this.#process = new SimulatedProcess(around, 'client', 1, () => 0);
    const { clock, random } = this.#process;
    const bus = this.#process.connect({ clientId: 'client:ann/s1', urls });
    this.client = createClient({ bus, urls, name: 'ann', session: 's1', clock, random });
  }

  get idle(): boolean {
    return this.#stops && this.#asking === undefined;
  }

  start(): void {
    this.#loop(() => this.#submit(), 1_500);
    this.#loop(() => this.#look(), 2_000);
  }

  /** Submits nothing more; goes on looking. */
  submitNoMore(): void {
    this.#stops = true;
  }

  /** What an acknowledged backup holds was there; of later jobs nobody knows any more. */
  restored(known: ReadonlySet<string>): void {
    const history = new JobHistory(KEPT_JOBS);
    this.history = history;
    for (const id of known) history.acknowledged(history.submitted(id));
    for (const id of [...this.acknowledged].filter((each) => !known.has(each))) {
      this.acknowledged.delete(id);
      history.submitted(id);
    }
    if (this.#asking !== undefined) this.#asking.write = history.submitted(this.#asking.job);
    this.states.clear();
    for (const agent of this.#gone) void this.#tellGone(agent);
  }

  /** Of the acknowledged jobs, those that are not known to have ended. */
  unfinished(): string[] {
    return [...this.acknowledged].filter((id) => !/finished|failed/.test(this.states.get(id) ?? ''));
  }

  /** Asks for it until it is done. Again after a restored backup, which has forgotten it. */
  declareGone(agent: string): void {
    this.#gone.add(agent);
    void this.#tellGone(agent);
  }

  async #tellGone(agent: string): Promise<void> {
    for (;;) {
      const answer = await this.client.request('gone', { agent }, { timeoutMs: TIMEOUT_MS });
      if (!(answer instanceof Fault) || answer.code === 'NOT_FOUND' || answer.code === 'GONE') return;
      this.#around.say('client', 'is refused', { gone: agent, code: answer.code });
    }
  }

  /** Again and again, with a pause of up to `ms` between. */
  #loop(work: () => Promise<void>, ms: number): void {
    const { clock, random } = this.#process;
    const again = (): void => {
      clock.after(random.next() * ms, () => void work().then(again));
    };
    again();
  }

  async #submit(): Promise<void> {
    if (this.#stops) return;
    const job = this.#draw(`job-${++this.#count}`);
    const asking = { job: job.job, write: this.history.submitted(job.job) };
    this.#asking = asking;
    for (;;) {
      // The outcome of a request without an answer is unknown: the same one is sent again.
      const answer = await this.client.request('submit', job, {
        framework: 'batch',
        request: job.job,
        timeoutMs: TIMEOUT_MS,
      });
      if (answer instanceof Fault) {
        this.#around.say('client', 'is refused', { job: job.job, code: answer.code });
        continue;
      }
      this.#around.say('client', 'is told of', { job: job.job });
      this.history.acknowledged(asking.write);
      this.acknowledged.add(job.job);
      break;
    }
    this.#asking = undefined;
  }

  async #look(): Promise<void> {
    const { history } = this;
    const begun = history.readBegun();
    const answer = await this.client.request('jobs', {}, { framework: 'batch', timeoutMs: TIMEOUT_MS });
    if (answer instanceof Fault || history !== this.history) return;
    history.readEnded(
      begun,
      answer.jobs.map(({ id }) => id),
    );
    for (const { id, state } of answer.jobs) this.states.set(id, state);
  }

  #draw(job: string): JobSpec {
    const { random } = this.#process;
    const cpus = [500, 1_000, 2_000][random.below(3)] ?? 1_000;
    // What fails and is restarted whenever it fails would never end.
    const restarts = random.chance(0.2);
    const does = { cpus, runMs: 50 + random.below(8_000), code: !restarts && random.chance(0.1) ? 1 : 0 };
    return {
      job,
      argv: ['work', JSON.stringify(does)],
      environment: {},
      count: 1 + random.below(4),
      resources: [
        { name: 'cpus', scalar: cpus },
        { name: 'mem', scalar: 16_000 },
      ],
      ports: 0,
      constraints: [],
      restart: restarts ? 'on-failure' : 'never',
      retries: random.below(3),
      requeue: true,
    };
  }
}
