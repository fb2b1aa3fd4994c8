import type { ExecutionContext } from 'ava';
import { systemClock } from '../../io/node/clock.ts';
import { createLog } from '../../io/node/log.ts';
import { connectMqttBus } from '../../io/node/mqtt-bus.ts';
import { systemRandom } from '../../io/node/random.ts';
import {
  createSchedulerDriver,
  type Fault,
  type Launch,
  type LaunchGroup,
  type Offer,
  type Scheduler,
  type SchedulerDriver,
  type StatusEvent,
  type TaskLaunch,
} from '../../sdk/index.ts';
import { type Cluster, eventually } from './cluster.ts';

/** What each task takes: a tenth of a cpu and 16 MB. */
export const EACH: TaskLaunch['resources'] = [
  { name: 'cpus', scalar: 100 },
  { name: 'mem', scalar: 16_000 },
];

/** A framework in this process: launches what it is told to on the next offer, and keeps what it hears. */
export class CollectingScheduler implements Scheduler {
  readonly driver: SchedulerDriver;
  readonly statuses: StatusEvent[] = [];
  readonly messages: { executor: string; agent: string; data: string }[] = [];
  readonly executorsLost: { executor: string; status: number | null }[] = [];
  readonly faults: Fault[] = [];
  #wanted: (Launch | LaunchGroup)[] = [];
  /** An offer may die while it is accepted: these are launched again. */
  readonly #single = new Map<string, TaskLaunch>();

  static async start(t: ExecutionContext, cluster: Cluster, name = 'fw'): Promise<CollectingScheduler> {
    const bus = connectMqttBus({
      urls: [cluster.url],
      clientId: `${name}~test`,
      username: name,
      clock: systemClock,
      random: systemRandom,
      log: createLog({ level: 'error' }),
    });
    const scheduler = new CollectingScheduler(bus, name);
    t.teardown(async () => {
      scheduler.driver.stop();
      await bus.close();
    });
    await bus.ready(10_000);
    scheduler.driver.start();
    return scheduler;
  }

  private constructor(bus: ReturnType<typeof connectMqttBus>, name: string) {
    this.driver = createSchedulerDriver({
      bus,
      name,
      roles: ['*'],
      scheduler: this,
      clock: systemClock,
      random: systemRandom,
    });
  }

  /** On the next offer that is large enough. */
  launch(...tasks: TaskLaunch[]): void {
    for (const task of tasks) this.#single.set(task.task, task);
    this.#wanted.push({ type: 'LAUNCH', tasks });
    this.driver.reviveOffers();
  }

  launchGroup(group: string, ...tasks: TaskLaunch[]): void {
    this.#wanted.push({ type: 'LAUNCH_GROUP', group, tasks });
    this.driver.reviveOffers();
  }

  /** Waits for the task to be so. */
  status(task: string, state: StatusEvent['state']): Promise<StatusEvent> {
    return eventually(() => this.statuses.find((status) => status.task === task && status.state === state));
  }

  states(task: string): string[] {
    const heard = new Map(this.statuses.filter((status) => status.task === task).map((one) => [one.uuid, one.state]));
    return [...heard.values()];
  }

  registered(): void {}

  reregistered(driver: SchedulerDriver): void {
    driver.reconcileTasks();
  }

  resourceOffers(driver: SchedulerDriver, offers: readonly Offer[]): void {
    for (const { offer } of offers) {
      if (this.#wanted.length === 0) driver.declineOffer(offer);
      else driver.acceptOffers([offer], this.#wanted.splice(0), { refuseMs: 0 });
    }
  }

  statusUpdate(_driver: SchedulerDriver, status: StatusEvent): void {
    const dropped = status.state === 'TASK_DROPPED' ? this.#single.get(status.task) : undefined;
    if (dropped === undefined) this.statuses.push(status);
    else this.launch({ ...dropped, attempt: dropped.attempt + 1 });
  }

  frameworkMessage(_driver: SchedulerDriver, executor: string, agent: string, data: string): void {
    this.messages.push({ executor, agent, data });
  }

  executorLost(_driver: SchedulerDriver, executor: string, _agent: string, status: number | null): void {
    this.executorsLost.push({ executor, status });
  }

  error(_driver: SchedulerDriver, fault: Fault): void {
    this.faults.push(fault);
  }
}
