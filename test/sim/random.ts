import { TestRandom } from '../../sdk/test-random.ts';

/** The simulator's chance is that which the SDK gives to tests of a framework. */
export class SeededRandom extends TestRandom {}
