import type { Clock, Timer } from '../../io/clock.ts';

/** Time that passes only when told to: timers fire in order of their time, those of one instant in order of their making. */
export class VirtualClock implements Clock {
  #now = 0;
  #made = 0;
  readonly #pending: { readonly at: number; readonly order: number; readonly callback: () => void }[] = [];

  monotonic(): number {
    return this.#now;
  }

  wall(): number {
    return 1_800_000_000_000 + this.#now;
  }

  after(ms: number, callback: () => void): Timer {
    const entry = { at: this.#now + ms, order: this.#made++, callback };
    this.#pending.push(entry);
    return {
      cancel: () => {
        const at = this.#pending.indexOf(entry);
        if (at !== -1) this.#pending.splice(at, 1);
      },
    };
  }

  /** Goes to the next timer and fires it; false where there is none. */
  step(): boolean {
    const next = this.#pending.toSorted((a, b) => a.at - b.at || a.order - b.order)[0];
    if (next === undefined) return false;
    this.#pending.splice(this.#pending.indexOf(next), 1);
    this.#now = next.at;
    next.callback();
    return true;
  }
}
