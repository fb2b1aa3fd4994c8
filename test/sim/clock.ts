import { TestClock } from '../../sdk/test-clock.ts';

/** Real turns of the event loop, in which signals and the test runner are heard: one in so many. */
const REAL_TURN = 256;

/**
 * The simulator's time is that which the SDK gives to tests of a framework, without the trip through the event loop
 * between two timers: nothing simulated waits for anything real. A tick runs when no promise can go on (Node's
 * documentation of `process.nextTick`: both queues are emptied before the loop continues), at a seventh of the price.
 */
export class VirtualClock extends TestClock {
  #turns = 0;

  protected override settled(): Promise<void> {
    if (++this.#turns % REAL_TURN === 0) return super.settled();
    return new Promise((resolve) => process.nextTick(resolve));
  }
}
