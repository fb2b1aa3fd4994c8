import type { Clock, Timer } from '../io/clock.ts';

interface Pending extends Timer {
  readonly due: number;
  readonly callback: () => void;
}

/**
 * Time that passes only when told to. Timers run in order of their due time, then of their making; between two of them
 * everything that is ready to run (promises, `nextTick`) runs to its end.
 */
export class TestClock implements Clock {
  private now = 0;
  private readonly epoch: number;
  private readonly pending: Pending[] = [];

  /** `epoch` is the wall clock at virtual time 0. */
  constructor(epoch = Date.UTC(2026, 0, 1)) {
    this.epoch = epoch;
  }

  monotonic(): number {
    return this.now;
  }

  wall(): number {
    return Math.floor(this.epoch + this.now);
  }

  after(ms: number, callback: () => void): Timer {
    const timer: Pending = { due: this.now + Math.max(0, ms), callback, cancel: () => this.remove(timer) };
    this.pending.splice(this.firstAfter(timer.due), 0, timer);
    return timer;
  }

  /** How many timers wait. */
  get timers(): number {
    return this.pending.length;
  }

  /** Lets `ms` pass. */
  async advance(ms: number): Promise<void> {
    const end = this.now + ms;
    await this.settled();
    for (let next = this.pending[0]; next !== undefined && next.due <= end; next = this.pending[0]) {
      this.pending.shift();
      this.now = next.due;
      next.callback();
      await this.settled();
    }
    this.now = end;
  }

  /** Lets time pass, a timer at a time, until `done`; throws after `limitMs` of virtual time, or where nothing is left to happen. */
  async until(done: () => boolean, limitMs = 3_600_000): Promise<void> {
    const end = this.now + limitMs;
    await this.settled();
    while (!done()) {
      const next = this.pending[0];
      if (next === undefined || next.due > end) throw new Error(`not within ${limitMs} ms of virtual time`);
      await this.advance(next.due - this.now);
    }
  }

  /** A turn of the event loop: every promise that can go on has gone on. */
  protected settled(): Promise<void> {
    return new Promise((resolve) => setImmediate(resolve));
  }

  private remove(timer: Pending): void {
    const index = this.pending.indexOf(timer);
    if (index >= 0) this.pending.splice(index, 1);
  }

  /** The place after all timers that are due by `due`. */
  private firstAfter(due: number): number {
    let low = 0;
    let high = this.pending.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.pending[middle]?.due ?? 0) <= due) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
