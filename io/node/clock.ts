import type { Clock, Timer } from '../clock.ts';

/** The longest delay that Node's timers take; above it they fire at once. */
const LONGEST_MS = 2_147_483_647;

/** Waits in legs, so that a delay of any length (a refusal of a year) works. */
class SystemTimer implements Timer {
  private handle: NodeJS.Timeout | undefined;

  constructor(ms: number, callback: () => void) {
    this.arm(ms, callback);
  }

  private arm(ms: number, callback: () => void): void {
    const leg = Math.min(ms, LONGEST_MS);
    this.handle = setTimeout(() => {
      if (ms > leg) this.arm(ms - leg, callback);
      else callback();
    }, leg);
    this.handle.unref();
  }

  cancel(): void {
    clearTimeout(this.handle);
  }
}

/**
 * The next turn of the event loop: Node's shortest timer takes a millisecond, and a task passes through several. It is
 * not unref'ed, for the loop would wait for some other event before it; it keeps the process alive for that turn.
 */
function nextTurn(callback: () => void): Timer {
  const handle = setImmediate(callback);
  return { cancel: () => clearImmediate(handle) };
}

/** What `performance.now()` leaves out: it counts from the start of the process. */
const BEFORE_MS = Number(process.hrtime.bigint()) / 1e6 - performance.now();

/**
 * The clocks of this machine. `monotonic` counts from its boot, so that a time of one process means something to the
 * next, and stands still while the machine sleeps (clock_gettime(2), CLOCK_MONOTONIC).
 */
export const systemClock: Clock = {
  monotonic: () => BEFORE_MS + performance.now(),
  wall: () => Date.now(),
  after: (ms, callback) => (ms === 0 ? nextTurn(callback) : new SystemTimer(ms, callback)),
};
