import type { Clock, Timer } from '../clock.ts';

export interface PulseWorld {
  readonly clock: Clock;
  /** How long an answer may take. */
  readonly answerMs: number;
  readonly ping: () => void;
  /** Whether the last one was answered in time; it is told once that it was not. */
  readonly outcome: (answered: boolean) => void;
}

/** Asks whether the other side is there, after every silence of one's own of a length that may change. */
export class Pulse {
  readonly #world: PulseWorld;
  #everyMs: number;
  #spokeMs: number;
  #owed = false;
  #timer: Timer | undefined;

  /** Begins with silences of `everyMs`. */
  constructor(world: PulseWorld, everyMs: number) {
    this.#world = world;
    this.#everyMs = everyMs;
    this.#spokeMs = world.clock.monotonic();
    this.#arm(everyMs);
  }

  every(ms: number): void {
    this.#everyMs = ms;
    if (!this.#owed) this.#arm(this.#leftMs());
  }

  /** Something else was sent: the other side knows as well. */
  spoke(): void {
    this.#spokeMs = this.#world.clock.monotonic();
  }

  answered(): void {
    if (!this.#owed) return;
    this.#owed = false;
    this.#arm(this.#leftMs());
    this.#world.outcome(true);
  }

  /** The connection is over. */
  end(): void {
    this.#timer?.cancel();
    if (this.#owed) this.#world.outcome(false);
    this.#owed = false;
  }

  #leftMs(): number {
    return this.#everyMs - (this.#world.clock.monotonic() - this.#spokeMs);
  }

  #arm(ms: number): void {
    this.#timer?.cancel();
    this.#timer = this.#world.clock.after(Math.max(1, Math.ceil(ms)), () => this.#beat());
  }

  #beat(): void {
    if (this.#owed) return this.end();
    const leftMs = this.#leftMs();
    if (leftMs > 0) return this.#arm(leftMs);
    this.#owed = true;
    this.#arm(this.#world.answerMs);
    this.spoke();
    this.#world.ping();
  }
}
