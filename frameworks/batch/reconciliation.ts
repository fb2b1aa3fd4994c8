import type { Clock, Log, SchedulerDriver, Timer } from '../../sdk/index.ts';

/** A task that never was: since every task asked for is answered, in order, its answer ends the reconciliation. */
const END = 'end-of-reconciliation';
const AGAIN_MS = 5_000;
const MOST_TRIES = 3;
/** A launch that nobody has reported on for this long is asked for. */
const UNHEARD_MS = 30_000;

export interface Believed {
  readonly task: string;
  readonly attempt: number;
}

/**
 * Keeps what batch believes in step with what the master knows: everything is asked for after each registration, and
 * a launch that stays without a word is asked for by itself.
 */
export class Reconciliation {
  readonly #clock: Clock;
  readonly #log: Log | undefined;
  readonly #unheard = new Map<string, { attempt: number; since: number }>();
  #timer: Timer | undefined;
  #sweep: Timer | undefined;
  #done: (() => void) | undefined;

  constructor(clock: Clock, log: Log | undefined) {
    this.#clock = clock;
    this.#log = log;
  }

  /** Asks for every task the master knows, and for those that are believed to have a place; then calls `done`. */
  begin(driver: SchedulerDriver, believed: () => Believed[], done: () => void): void {
    this.#done = done;
    this.#ask(driver, believed, 1);
  }

  /** True for the answer that ends the reconciliation, which is no task's status. */
  answered(task: string): boolean {
    if (task !== END) return false;
    this.#finish();
    return true;
  }

  launched(driver: SchedulerDriver, task: string, attempt: number): void {
    this.#unheard.set(task, { attempt, since: this.#clock.monotonic() });
    this.#sweep ??= this.#clock.after(UNHEARD_MS, () => this.#sweepUnheard(driver));
  }

  heard(task: string): void {
    this.#unheard.delete(task);
  }

  stop(): void {
    this.#timer?.cancel();
    this.#sweep?.cancel();
    this.#timer = undefined;
    this.#sweep = undefined;
    this.#done = undefined;
    this.#unheard.clear();
  }

  #ask(driver: SchedulerDriver, believed: () => Believed[], attempt: number): void {
    this.#timer?.cancel();
    this.#timer = this.#clock.after(AGAIN_MS, () => {
      if (attempt < MOST_TRIES) {
        this.#ask(driver, believed, attempt + 1);
        return;
      }
      this.#log?.warn('reconciliation-unanswered', { framework: driver.name, tries: attempt });
      this.#finish();
    });
    // Last: over an in-process bus the answer comes before these return.
    driver.reconcileTasks();
    driver.reconcileTasks([...believed(), { task: END }]);
  }

  #finish(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    const done = this.#done;
    this.#done = undefined;
    done?.();
  }

  /** Oldest first: the map keeps the order of the launches. */
  #sweepUnheard(driver: SchedulerDriver): void {
    this.#sweep = undefined;
    const now = this.#clock.monotonic();
    const late: Believed[] = [];
    for (const [task, { attempt, since }] of this.#unheard) {
      if (now - since < UNHEARD_MS) break;
      late.push({ task, attempt });
    }
    for (const { task, attempt } of late) {
      this.#unheard.delete(task);
      this.#unheard.set(task, { attempt, since: now });
    }
    if (late.length > 0) driver.reconcileTasks(late);
    if (this.#unheard.size > 0) this.#sweep = this.#clock.after(UNHEARD_MS, () => this.#sweepUnheard(driver));
  }
}
