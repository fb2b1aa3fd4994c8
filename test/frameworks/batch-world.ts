import { type Batch, createBatch } from '../../frameworks/batch/batch.ts';
import type { JobSpec } from '../../protocol/job.ts';
import { type Client, createClient } from '../../sdk/client.ts';
import { createSchedulerDriver, type SchedulerDriver } from '../../sdk/scheduler-driver.ts';
import { TestMaster, type TestMasterOptions } from '../../sdk/test-master.ts';
import { connectSimulatedBus, type SimulatedBus } from '../sim/bus.ts';
import { VirtualClock } from '../sim/clock.ts';
import { SimulatedNetwork } from '../sim/network.ts';
import { SeededRandom } from '../sim/random.ts';

const URL = 'mqtt://broker';

/** One broker, a master under the test's control, a batch framework and its clients, on virtual time. */
export class BatchWorld {
  readonly clock = new VirtualClock();
  readonly network: SimulatedNetwork;
  readonly master: TestMaster;
  readonly errors: string[] = [];
  batch: Batch;
  driver: SchedulerDriver;
  readonly random: SeededRandom;
  #bus: SimulatedBus | undefined;

  constructor(seed: number, options: Partial<TestMasterOptions> = {}, duplicates = 0) {
    this.random = new SeededRandom(seed);
    this.network = new SimulatedNetwork({ clock: this.clock, random: this.random, duplicates });
    this.master = new TestMaster({ bus: this.bus('master'), clock: this.clock, random: this.random, ...options });
    void this.master.start();
    [this.batch, this.driver] = this.startBatch();
  }

  bus(clientId: string): SimulatedBus {
    return connectSimulatedBus(this.network, { clientId, urls: [URL] });
  }

  startBatch(): [Batch, SchedulerDriver] {
    const write = (event: string, fields: object = {}) => this.errors.push(`${event} ${JSON.stringify(fields)}`);
    const log = { debug: () => {}, info: () => {}, warn: write, error: write };
    this.batch = createBatch({ clock: this.clock, log });
    this.#bus = this.bus('batch');
    this.driver = createSchedulerDriver({
      bus: this.#bus,
      name: 'batch',
      roles: [],
      scheduler: this.batch,
      clock: this.clock,
      random: this.random,
      explicitAcknowledgements: true,
      log,
    });
    this.driver.start();
    return [this.batch, this.driver];
  }

  /** Another process takes over, with nothing but what the masters keep. */
  restartBatch(): void {
    this.driver.stop();
    this.batch.stop();
    this.#bus?.kill();
    this.startBatch();
  }

  client(name = 'ann'): Client {
    return createClient({
      bus: this.bus(`client-${name}`),
      name,
      session: 's1',
      clock: this.clock,
      random: this.random,
    });
  }

  /** Lets time pass until the promise settles. */
  async settled<Value>(promise: Promise<Value>): Promise<Value> {
    let done = false;
    const mark = (): void => {
      done = true;
    };
    promise.then(mark, mark);
    await this.clock.until(() => done);
    return promise;
  }
}

export function spec(fields: Partial<JobSpec> & { job: string }): JobSpec {
  return {
    argv: ['/bin/true'],
    environment: {},
    count: 1,
    resources: [{ name: 'cpus', scalar: 100 }],
    ports: 0,
    constraints: [],
    restart: 'never',
    retries: 0,
    requeue: true,
    ...fields,
  };
}
