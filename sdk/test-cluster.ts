import type { Random } from '../io/random.ts';
import { createSchedulerDriver, type SchedulerDriver } from './scheduler-driver.ts';
import type { SchedulerDriverOptions } from './scheduler-driver-options.ts';
import { TestBroker, type TestBus } from './test-bus.ts';
import { TestClock } from './test-clock.ts';
import { TestMaster, type TestMasterOptions } from './test-master.ts';
import type { TestAgent } from './test-offers.ts';
import { TestRandom } from './test-random.ts';

export type TestClusterOptions = Omit<TestMasterOptions, 'bus' | 'clock' | 'random'> & {
  /** Default: one, `a1`, with `cpus:4;mem:1024`. */
  readonly agents?: readonly TestAgent[];
  /** Default 1. The same seed, the same course of events. */
  readonly seed?: number;
};

/** A cluster in memory on a clock of its own: a framework is tested against it in milliseconds. */
export interface TestCluster {
  /** Nothing happens until it is told to let time pass: `advance`, or `until`. */
  readonly clock: TestClock;
  readonly random: Random;
  readonly master: TestMaster;
  /** One more connection, to cut and mend. */
  connect(): TestBus;
  /** A driver on a connection of its own, unless one is given. */
  createDriver(
    options: Omit<SchedulerDriverOptions, 'bus' | 'clock' | 'random'> & { readonly bus?: TestBus },
  ): SchedulerDriver;
}

/** Starts a {@link TestCluster}. */
export async function startTestCluster(options: TestClusterOptions = {}): Promise<TestCluster> {
  const { agents = [{ name: 'a1', resources: 'cpus:4;mem:1024' }], seed = 1, ...master } = options;
  const clock = new TestClock();
  const random = new TestRandom(seed);
  const broker = new TestBroker(clock);
  const testMaster = new TestMaster({ ...master, bus: broker.connect(), clock, random });
  await testMaster.start();
  for (const agent of agents) testMaster.addAgent(agent);
  return {
    ...{ clock, random, master: testMaster },
    connect: () => broker.connect(),
    createDriver: (driver) => createSchedulerDriver({ bus: broker.connect(), ...driver, clock, random }),
  };
}
