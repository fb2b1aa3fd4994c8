import { formatResources } from '../../protocol/resources.ts';
import type { Clock, SchedulerDriver, ShownThing, Timer } from '../../sdk/index.ts';
import type { Job } from './job.ts';
import type { JobRecord } from './job-record.ts';
import { stateOf } from './views.ts';

/** A job's topic is renewed at most once in this time, however much happens to its tasks. */
const PAUSE_MS = 1_000;
/** Jobs told in one turn of the loop, and the pause before the next ones: ten thousand hold up nothing. */
const AT_ONCE = 100;
const SLICE_MS = 10;
/** Of environment variables. */
const MOST_NAMES = 50;

/** The retained topics `state/jobs/<id>`: every job that batch knows, live or ended, until it is forgotten. */
export class ShownJobs {
  readonly #clock: Clock;
  readonly #jobOf: (job: string) => JobRecord | undefined;
  readonly #changed = new Set<string>();
  #timer: Timer | undefined;
  #paused = false;

  /** `jobOf`: undefined for a job that was forgotten, whose topics are removed. */
  constructor(clock: Clock, jobOf: (job: string) => JobRecord | undefined) {
    this.#clock = clock;
    this.#jobOf = jobOf;
  }

  /** The job reads differently, or is forgotten. */
  changed(driver: SchedulerDriver, job: string): void {
    this.#changed.add(job);
    if (!this.#paused) this.#timer ??= this.#clock.after(PAUSE_MS, () => this.#tell(driver));
  }

  /** No master hears what is told: it waits for {@link everything}. */
  pause(): void {
    this.#paused = true;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  /** A master has just taken the framework in, perhaps one that shows nothing yet. */
  everything(driver: SchedulerDriver, jobs: Iterable<string>): void {
    this.#paused = false;
    for (const job of jobs) this.#changed.add(job);
    for (const job of this.#changed) return this.changed(driver, job);
  }

  #tell(driver: SchedulerDriver): void {
    const things: ShownThing[] = [];
    for (const id of this.#changed) {
      if (things.length >= AT_ONCE) break;
      this.#changed.delete(id);
      const job = this.#jobOf(id)?.job;
      things.push({
        kind: 'jobs',
        id,
        ...(job === undefined ? { view: null } : { view: shown(job), progress: progressOf(job) }),
      });
    }
    driver.show(things);
    this.#timer = undefined;
    if (this.#changed.size > 0) this.#timer = this.#clock.after(SLICE_MS, () => this.#tell(driver));
  }
}

/** Names of environment variables, never values; what never changes first, times last. */
function shown(job: Job): Record<string, unknown> {
  const { spec, owner } = job;
  return {
    name: spec.name ?? '',
    owner,
    kind: 'batch',
    state: stateOf(job),
    tasks: spec.count,
    resources: formatResources(spec.resources),
    ports: spec.ports,
    constraints: spec.constraints,
    environment: Object.keys(spec.environment).sort().slice(0, MOST_NAMES),
    restart: spec.restart,
    created: new Date(job.created).toISOString(),
    finished: job.finished === undefined ? null : new Date(job.finished).toISOString(),
  };
}

/** What people plot, in a topic of its own. */
function progressOf({ counts, killed }: Job): Record<string, number> {
  const { waiting, placed, finished, failed } = counts;
  return { pending: waiting, running: placed, finished, failed, killed };
}
