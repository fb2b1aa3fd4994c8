import { TestClock } from '../../sdk/test-clock.ts';

/** The simulator's time is that which the SDK gives to tests of a framework. */
export class VirtualClock extends TestClock {}
