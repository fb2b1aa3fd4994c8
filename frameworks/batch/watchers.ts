import { cut } from '../../protocol/envelope.ts';
import { Fault } from '../../protocol/faults.ts';
import type { TaskView } from '../../protocol/job.ts';
import { LIMITS } from '../../protocol/limits.ts';
import type { ClientRequest, Clock, SchedulerDriver, Timer } from '../../sdk/index.ts';
import type { Job } from './job.ts';
import { viewJob, viewTask } from './views.ts';

const MOST_WATCHERS = 1_000;
const MOST_FIRST_TASKS = 1_000;
/** An array's changes are told at most 20 times a second; a single task's at once. */
const ARRAY_PAUSE_MS = 50;

interface Watcher {
  readonly key: string;
  readonly to: ClientRequest;
  readonly job: string;
  part: number;
}

interface Watched {
  readonly job: Job;
  readonly watchers: Set<Watcher>;
  readonly changed: Set<number>;
  timer: Timer | undefined;
  told: number;
}

/** Clients that follow jobs. Changes are gathered for a turn of the loop and told to every watcher of the job. */
export class Watchers {
  readonly #clock: Clock;
  readonly #byKey = new Map<string, Watcher>();
  readonly #jobs = new Map<string, Watched>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Tells the job as it is, and then its changes. A repeated request begins anew; beyond 1,000 the oldest is ended. */
  add(driver: SchedulerDriver, to: ClientRequest, job: Job): void {
    const key = `${to.principal.name} ${to.session} ${to.request}`;
    this.#remove(key);
    const watcher: Watcher = { key, to, job: job.spec.job, part: 0 };
    this.#tell(driver, [watcher], job, firstTasks(job));
    if (job.finished !== undefined) return;
    const [oldest] = this.#byKey.values();
    if (oldest !== undefined && this.#byKey.size >= MOST_WATCHERS) {
      this.#remove(oldest.key);
      driver.reply(oldest.to, new Fault('LIMIT', `more than ${MOST_WATCHERS} clients watch jobs`));
    }
    this.#byKey.set(key, watcher);
    const watched = this.#jobs.get(watcher.job) ?? newWatched(job);
    watched.watchers.add(watcher);
    this.#jobs.set(watcher.job, watched);
  }

  /** A task changed, or without an index only the job. */
  changed(driver: SchedulerDriver, job: Job, index?: number): void {
    const watched = this.#jobs.get(job.spec.job);
    if (watched === undefined) return;
    if (index !== undefined) watched.changed.add(index);
    const pause = job.spec.count === 1 ? 0 : Math.max(0, watched.told + ARRAY_PAUSE_MS - this.#clock.monotonic());
    watched.timer ??= this.#clock.after(Math.ceil(pause), () => this.#flush(driver, watched));
  }

  /** Forgets everyone: their requests come again. */
  clear(): void {
    for (const { timer } of this.#jobs.values()) timer?.cancel();
    this.#jobs.clear();
    this.#byKey.clear();
  }

  #flush(driver: SchedulerDriver, watched: Watched): void {
    const { job } = watched;
    watched.timer = undefined;
    watched.told = this.#clock.monotonic();
    const changed = [...watched.changed];
    watched.changed.clear();
    this.#tell(driver, [...watched.watchers], job, changed);
    if (job.finished === undefined) return;
    for (const { key } of watched.watchers) this.#byKey.delete(key);
    this.#jobs.delete(job.spec.job);
  }

  #tell(driver: SchedulerDriver, watchers: readonly Watcher[], job: Job, indices: readonly number[]): void {
    const views: TaskView[] = indices.map((index) => viewTask(job, index, driver.name));
    const parts = cut(views, LIMITS.partBytes - 2_048);
    for (const [at, changed] of parts.entries()) {
      const last = job.finished !== undefined && at === parts.length - 1;
      const body = { job: viewJob(job), changed };
      for (const watcher of watchers) driver.reply(watcher.to, { body, part: watcher.part++, last });
    }
  }

  #remove(key: string): void {
    const watcher = this.#byKey.get(key);
    if (watcher === undefined) return;
    this.#byKey.delete(key);
    const watched = this.#jobs.get(watcher.job);
    watched?.watchers.delete(watcher);
    if (watched?.watchers.size !== 0) return;
    watched.timer?.cancel();
    this.#jobs.delete(watcher.job);
  }
}

function newWatched(job: Job): Watched {
  return { job, watchers: new Set(), changed: new Set(), timer: undefined, told: Number.NEGATIVE_INFINITY };
}

/** Those that have left TASK_STAGING, the newest 1,000 records first and then the ones whose details are forgotten. */
function firstTasks(job: Job): number[] {
  const indices: number[] = [];
  for (const [index, task] of job.tasks) {
    if (indices.length >= MOST_FIRST_TASKS) return indices;
    if (task.state !== 'TASK_STAGING') indices.push(index);
  }
  for (const [first, last] of job.done.slice(0, job.spec.count - 1)) {
    for (let index = first; index <= last && indices.length < MOST_FIRST_TASKS; index++) indices.push(index);
  }
  return indices;
}
