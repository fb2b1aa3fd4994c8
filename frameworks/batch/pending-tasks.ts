import { type Job, phaseOf } from './job.ts';

/** The tasks of one job that may be placed now, without a list of those that were never placed. */
export class PendingTasks {
  readonly job: Job;
  #again: number[] = [];

  constructor(job: Job) {
    this.job = job;
  }

  /** A task that was placed before may be placed again. */
  add(index: number): void {
    this.#again.push(index);
  }

  /** The next task to place, or undefined where none may be placed now. */
  peek(): number | undefined {
    const { job } = this;
    if (job.cancelled || job.counts.waiting === 0) return undefined;
    for (let index = this.#again.at(-1); index !== undefined; index = this.#again.at(-1)) {
      if (phaseOf(job, index) === 'waiting') return index;
      this.#again.pop();
    }
    while (job.fresh < job.spec.count && (job.tasks.has(job.fresh) || job.done.has(job.fresh))) job.fresh++;
    return job.fresh < job.spec.count ? job.fresh : undefined;
  }
}

/** Jobs that have tasks to place, of each role, in the order of their submission. */
export class PendingJobs {
  readonly #roles = new Map<string, PendingTasks[]>();

  of(role: string): readonly PendingTasks[] {
    return this.#roles.get(role) ?? [];
  }

  has(role: string): boolean {
    return this.of(role).some((pending) => pending.peek() !== undefined);
  }

  /** How many roles have a task to place. */
  get waiting(): number {
    let count = 0;
    for (const role of this.#roles.keys()) if (this.has(role)) count++;
    return count;
  }

  /** Adds a job unless it is there. */
  add(pending: PendingTasks): void {
    const { owner } = pending.job;
    const jobs = this.#roles.get(owner) ?? [];
    if (jobs.length === 0) this.#roles.set(owner, jobs);
    let at = jobs.length;
    while (at > 0 && isBefore(pending.job, jobs[at - 1]?.job)) at--;
    if (jobs[at - 1] !== pending) jobs.splice(at, 0, pending);
  }

  forget(role: string): void {
    this.#roles.delete(role);
  }

  /** Forgets jobs of `role` that have nothing to place now. */
  prune(role: string): void {
    const left = this.of(role).filter((pending) => pending.peek() !== undefined);
    if (left.length === 0) this.#roles.delete(role);
    else this.#roles.set(role, left);
  }
}

function isBefore(job: Job, other: Job | undefined): boolean {
  if (other === undefined) return false;
  return job.created < other.created || (job.created === other.created && job.spec.job < other.spec.job);
}
