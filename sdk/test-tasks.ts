import { type Random, randomWord } from '../io/random.ts';
import { cut } from '../protocol/envelope.ts';
import { LIMITS } from '../protocol/limits.ts';
import type { Offer } from '../protocol/offer.ts';
import { contains, subtract } from '../protocol/resource-arithmetic.ts';
import type { Resources } from '../protocol/resources.ts';
import type { StatusEvent } from '../protocol/scheduler.ts';
import { isTerminal, type TaskInfo, type TaskState } from '../protocol/task.ts';

/** A task that the master under test has committed. The test says what becomes of it. */
export interface TestTask {
  readonly framework: string;
  readonly info: TaskInfo;
  readonly agent: string;
  state: TaskState;
  /** Reports; the resources return at a terminal state. Repeated until acknowledged. */
  update(
    state: TaskState,
    details?: Partial<
      Pick<StatusEvent, 'reason' | 'message' | 'exitCode' | 'output' | 'restart' | 'healthy' | 'checkStatus'>
    >,
  ): void;
}

/** What {@link TestTasks} needs of its master. */
export interface TestTasksWorld {
  readonly random: Random;
  /** False: the framework is told when it subscribes again. */
  readonly connected: (framework: string) => boolean;
  readonly tell: (framework: string, updates: StatusEvent[]) => void;
  /** The resources of a task that has ended. */
  readonly give: (agent: string, resources: Resources) => void;
  readonly launched: (task: TestTask) => void;
}

/** Tasks, and what frameworks are told of them: launches, statuses until acknowledged, reconciliation. */
export class TestTasks {
  readonly all = new Map<string, TestTask>();
  /** Every launch there ever was, also those refused. */
  readonly launches: { readonly task: string; readonly attempt: number; readonly agent: string }[] = [];
  readonly #world: TestTasksWorld;
  readonly #unacknowledged = new Map<string, StatusEvent>();

  constructor(world: TestTasksWorld) {
    this.#world = world;
  }

  /** Launches it on an offer, which keeps what is left; without one it is dropped. One that is known already is told. */
  place(framework: string, offer: Offer | undefined, info: TaskInfo): void {
    const known = this.all.get(`${framework} ${info.task} ${info.attempt}`);
    if (known !== undefined) this.#tell(framework, [this.#statusOf(known)]);
    else if (offer === undefined) this.#drop(framework, info, 'the offer is gone');
    else this.#launch(offer, info);
  }

  live(framework: string): TestTask[] {
    return [...this.all.values()].filter((task) => task.framework === framework && !isTerminal(task.state));
  }

  /** Tells everything again that the framework has not acknowledged. */
  repeat(framework: string): void {
    this.#tell(
      framework,
      [...this.#unacknowledged.values()].filter((status) => status.framework === framework),
    );
  }

  acknowledge(uuid: string): void {
    this.#unacknowledged.delete(uuid);
  }

  /** None asked for: all that live. */
  reconcile(framework: string, asked: readonly { task: string; attempt?: number | undefined }[]): void {
    if (asked.length === 0)
      this.#tell(
        framework,
        this.live(framework).map((task) => this.#statusOf(task)),
      );
    for (const { task, attempt } of asked) {
      const known = [...this.all.values()]
        .filter((one) => one.framework === framework && one.info.task === task)
        .at(-1);
      const isUnknown = known === undefined || (attempt !== undefined && known.info.attempt < attempt);
      this.#tell(framework, [
        isUnknown
          ? { ...this.#about(framework, task, attempt ?? 0), state: 'TASK_UNKNOWN', reason: 'RECONCILIATION' }
          : this.#statusOf(known),
      ]);
    }
  }

  /** Forgets a task, as after the loss of all masters. */
  forget(task: string): void {
    for (const [key, known] of this.all) if (known.info.task === task) this.all.delete(key);
  }

  #launch(offer: Offer, info: TaskInfo): void {
    const { framework, name: agent } = offer;
    this.launches.push({ task: info.task, attempt: info.attempt, agent });
    if (!contains(offer.resources, info.resources)) {
      this.#drop(framework, info, 'the tasks need more than the offer holds');
      return;
    }
    offer.resources = subtract(offer.resources, info.resources);
    let sequence = 0;
    const task: TestTask = {
      framework,
      info,
      agent,
      state: 'TASK_STAGING',
      update: (state, details = {}) => {
        if (isTerminal(task.state)) return;
        task.state = state;
        const status = { ...this.#statusOf(task), ...details, sequence: ++sequence, acknowledge: true };
        this.#unacknowledged.set(status.uuid, status);
        if (this.#world.connected(framework)) this.#tell(framework, [status]);
        if (isTerminal(state)) this.#world.give(agent, info.resources);
      },
    };
    this.all.set(`${framework} ${info.task} ${info.attempt}`, task);
    this.#world.launched(task);
  }

  #drop(framework: string, { task, attempt }: TaskInfo, message: string): void {
    const about = this.#about(framework, task, attempt);
    this.#tell(framework, [{ ...about, state: 'TASK_DROPPED', reason: 'INVALID_OFFERS', message }]);
  }

  #statusOf({ framework, info, agent, state }: TestTask): StatusEvent {
    return { ...this.#about(framework, info.task, info.attempt), state, agent, agentName: agent };
  }

  /** What every status has, with a uuid of its own. */
  #about(framework: string, task: string, attempt: number): Omit<StatusEvent, 'state'> {
    const uuid = randomWord(this.#world.random, 16);
    return { framework, task, attempt, restart: 0, uuid, sequence: 0, acknowledge: false };
  }

  #tell(framework: string, updates: readonly StatusEvent[]): void {
    for (const part of cut(updates, LIMITS.partBytes, LIMITS.tasksPerMessage))
      if (part.length > 0) this.#world.tell(framework, part);
  }
}
