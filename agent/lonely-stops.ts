import type { Clock, Timer } from '../io/clock.ts';

/** A run that is to end some time after the last contact with a master. */
export interface Lonely {
  readonly afterMs: number;
  stop(): void;
}

/**
 * Ends runs that asked for it (`disconnect.stopOnClientAfterMs`) once no master has been in reach for so long: the agent
 * decides alone, by its monotonic clock, so that a replacement elsewhere does not run beside it for ever.
 */
export class LonelyStops {
  readonly #clock: Clock;
  readonly #runs: () => Iterable<Lonely>;
  #sinceMs: number | undefined;
  #timer: Timer | undefined;

  /** `runs`: those that may have to end; asked again each time. Alone from the beginning. */
  constructor(clock: Clock, runs: () => Iterable<Lonely>) {
    this.#clock = clock;
    this.#runs = runs;
  }

  alone(): void {
    this.#sinceMs ??= this.#clock.monotonic();
    this.#check();
  }

  together(): void {
    this.#sinceMs = undefined;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #check(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    if (this.#sinceMs === undefined) return;
    const aloneMs = this.#clock.monotonic() - this.#sinceMs;
    let next: number | undefined;
    for (const { afterMs, stop } of this.#runs()) {
      if (afterMs <= aloneMs) stop();
      else next = Math.min(next ?? afterMs, afterMs);
    }
    if (next !== undefined)
      this.#timer = this.#clock.after(Math.max(1, Math.ceil(next - aloneMs)), () => this.#check());
  }
}
