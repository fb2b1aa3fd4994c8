import type { Clock, Timer } from '../io/clock.ts';

const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 5_000;
/** After this nobody is there to hear it. */
const GIVE_UP_MS = 30_000;

/** Says TEARDOWN until it is answered, for 30 s at most. */
export class Teardown {
  readonly #clock: Clock;
  readonly #send: () => void;
  readonly #late: Timer;
  #again: Timer | undefined;
  #retryMs = FIRST_RETRY_MS;
  #done: (answered: boolean) => void = () => {};
  /** Resolves with whether it was answered. */
  readonly answered: Promise<boolean>;

  constructor(clock: Clock, send: () => void) {
    this.#clock = clock;
    this.#send = send;
    this.answered = new Promise((resolve) => {
      this.#done = resolve;
    });
    this.#late = clock.after(GIVE_UP_MS, () => this.#end(false));
    this.#repeat();
  }

  /** A connection stands: what was said before may have been lost with the last one. */
  connected(): void {
    this.#again?.cancel();
    this.#retryMs = FIRST_RETRY_MS;
    this.#repeat();
  }

  /** The master knows no framework of this name. */
  answer(): void {
    this.#end(true);
  }

  #repeat(): void {
    this.#send();
    this.#again = this.#clock.after(this.#retryMs, () => this.#repeat());
    this.#retryMs = Math.min(LAST_RETRY_MS, this.#retryMs * 2);
  }

  #end(answered: boolean): void {
    this.#again?.cancel();
    this.#late.cancel();
    this.#done(answered);
  }
}
