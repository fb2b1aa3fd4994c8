import type { Clock, Timer } from '../../io/clock.ts';

/**
 * The clock of one process: it may run fast or slow, its wall clock may jump, and while the process is paused no timer
 * fires. A killed process hears of nothing any more.
 */
export class ProcessClock implements Clock {
  readonly #world: Clock;
  readonly #rate: number;
  readonly #wallMs: () => number;
  #state: 'runs' | 'paused' | 'killed' = 'runs';
  #due: (() => void)[] = [];

  /** `rate`: its milliseconds in one of the world. `wallMs`: what its wall clock is ahead of the world's. */
  constructor(world: Clock, rate = 1, wallMs: () => number = () => 0) {
    this.#world = world;
    this.#rate = rate;
    this.#wallMs = wallMs;
  }

  get killed(): boolean {
    return this.#state === 'killed';
  }

  get paused(): boolean {
    return this.#state === 'paused';
  }

  monotonic(): number {
    return this.#world.monotonic() * this.#rate;
  }

  wall(): number {
    return Math.floor(this.#world.wall() + this.#wallMs());
  }

  after(ms: number, callback: () => void): Timer {
    let cancelled = false;
    const timer = this.#world.after(ms / this.#rate, () => {
      this.deliver(() => {
        if (!cancelled) callback();
      });
    });
    return {
      cancel: () => {
        cancelled = true;
        timer.cancel();
      },
    };
  }

  /** Runs it in the process: at once, after its pause, or never. */
  deliver(callback: () => void): void {
    if (this.#state === 'runs') callback();
    else if (this.#state === 'paused') this.#due.push(callback);
  }

  pause(): void {
    if (this.#state === 'runs') this.#state = 'paused';
  }

  /** What was due meanwhile comes first, one turn each. */
  resume(): void {
    if (this.#state !== 'paused') return;
    this.#state = 'runs';
    for (const callback of this.#due.splice(0)) this.#world.after(0, () => this.deliver(callback));
  }

  kill(): void {
    this.#state = 'killed';
    this.#due = [];
  }
}
