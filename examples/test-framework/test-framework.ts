import {
  type ExecutorInfo,
  Fault,
  isTerminal,
  type Offer,
  pack,
  parseResources,
  type Resources,
  type Scheduler,
  type SchedulerDriver,
  type StatusEvent,
  type TaskLaunch,
} from 'mesquite/sdk';

/** What each task takes, as in Mesos's example (src/examples/java/TestFramework.java). */
const EACH = 'cpus:1;mem:128';

export interface TestFrameworkOptions {
  readonly tasks: number;
  /** Part of every task's id: what is launched again under an id that has run is answered with its outcome, not run. */
  readonly run: string;
  /** Runs the tasks; without it, each is a command. */
  readonly executor?: ExecutorInfo;
  readonly print: (line: string) => void;
}

/**
 * Launches `tasks` tasks, as many as fit in each offer, and stops the driver once all have finished. A launch that got
 * lost is made again; any other bad end aborts the driver.
 */
export class TestFramework implements Scheduler {
  readonly #options: TestFrameworkOptions;
  readonly #each: Resources;
  /** Numbers of the tasks to launch, each with its attempt. */
  readonly #waiting = new Map<number, number>();
  readonly #finished = new Set<number>();

  constructor(options: TestFrameworkOptions) {
    this.#options = options;
    const each = parseResources(EACH);
    if (each instanceof Fault) throw new Error(each.message);
    this.#each = each;
    for (let number = 0; number < options.tasks; number++) this.#waiting.set(number, 0);
  }

  registered(_driver: SchedulerDriver, { framework }: { framework: string }): void {
    this.#options.print(`Registered as ${framework}`);
  }

  reregistered(driver: SchedulerDriver): void {
    this.#options.print('Registered again');
    // Whatever was said in between may be lost: each of these is answered.
    const { tasks } = this.#options;
    const open = Array.from({ length: tasks }, (_, number) => number).filter(
      (number) => !this.#waiting.has(number) && !this.#finished.has(number),
    );
    driver.reconcileTasks(open.map((number) => ({ task: this.#idOf(number) })));
  }

  /** Offers are taken from others: they stop as soon as there is nothing to launch. */
  wantsOffers(): boolean {
    return this.#waiting.size > 0;
  }

  resourceOffers(driver: SchedulerDriver, offers: readonly Offer[]): void {
    for (const { offer, name, resources } of offers) {
      const tasks: TaskLaunch[] = [];
      let left = resources;
      for (const [number, attempt] of this.#waiting) {
        const packed = pack({ resources: this.#each }, left);
        if (packed === undefined) break;
        left = packed.left;
        tasks.push(this.#task(number, attempt, packed.taken));
        this.#waiting.delete(number);
        this.#options.print(`Launching task ${number} on ${name}`);
      }
      if (tasks.length === 0) driver.declineOffer(offer);
      else driver.launchTasks([offer], tasks, { refuseMs: 1_000 });
    }
  }

  statusUpdate(driver: SchedulerDriver, { task, attempt, state, message }: StatusEvent): void {
    const number = Number(task.slice(this.#options.run.length + 1));
    this.#options.print(`Task ${number} is in state ${state}${message === undefined ? '' : `: ${message}`}`);
    if (state === 'TASK_FINISHED') this.#finished.add(number);
    else if (state === 'TASK_DROPPED') this.#waiting.set(number, attempt + 1);
    else if (isTerminal(state) || state === 'TASK_UNKNOWN') {
      this.#options.print(`Aborting because task ${number} is in state ${state}`);
      driver.abort();
    }
    if (this.#finished.size === this.#options.tasks) driver.stop(false);
  }

  executorLost(_driver: SchedulerDriver, executor: string, agent: string, status: number | null): void {
    this.#options.print(`Executor ${executor} on ${agent} ended with status ${status ?? 'unknown'}`);
  }

  error(driver: SchedulerDriver, { code, message, hint }: Fault): void {
    this.#options.print(`Aborting: ${code}: ${message} ${hint}`);
    driver.abort();
  }

  #idOf(number: number): string {
    return `${this.#options.run}-${number}`;
  }

  #task(number: number, attempt: number, resources: Resources): TaskLaunch {
    const { executor } = this.#options;
    const runs = executor === undefined ? { argv: ['echo', `Running task ${number}`] } : { executor };
    return { task: this.#idOf(number), attempt, resources, ...runs };
  }
}
