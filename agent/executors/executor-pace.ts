import type { Clock } from '../../io/clock.ts';

/** What an executor may take in one second. */
const ALLOWANCE = 1_000;
/** Takes a place in the journal and a message to the master, and tells nothing that its number does not bound. */
const OF_REPETITION = 10;
const SECOND_MS = 1_000;

/**
 * How fast an executor is listened to: a thousand lines a second, of which a hundred say again what is known of a task.
 * That it is slowed down costs it nothing that it said.
 */
export class ExecutorPace {
  readonly #clock: Clock;
  #taken = { sinceMs: 0, sum: 0 };
  /** Settles when all that was said so far is on the disk. */
  #written: Promise<unknown> = Promise.resolve();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A line of it was taken. */
  line(): void {
    this.#take(1);
  }

  /** An update of it is being written. */
  update(written: Promise<unknown>, repeated: boolean): void {
    if (repeated) this.#take(OF_REPETITION);
    this.#written = Promise.allSettled([this.#written, written]);
  }

  /** Resolves when the next line may be taken; undefined: now. A disk that is slow slows it down, too. */
  next(): Promise<void> | undefined {
    if (this.#taken.sum < ALLOWANCE) return undefined;
    const leftMs = this.#taken.sinceMs + SECOND_MS - this.#clock.monotonic();
    const later = new Promise<void>((resolve) => {
      this.#clock.after(Math.max(0, Math.ceil(leftMs)), resolve);
    });
    return Promise.all([later, this.#written]).then(() => undefined);
  }

  #take(cost: number): void {
    const nowMs = this.#clock.monotonic();
    if (nowMs - this.#taken.sinceMs >= SECOND_MS) this.#taken = { sinceMs: nowMs, sum: 0 };
    this.#taken.sum += cost;
  }
}
