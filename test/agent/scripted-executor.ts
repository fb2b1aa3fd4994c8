import type { StartLimits, TaskStart } from '../../io/launcher.ts';
import type { Random } from '../../io/random.ts';
import type { ExecutorInfo, TaskInfo } from '../../protocol/task.ts';
import { createExecutorDriver, type Executor, type ExecutorDriver, type LaunchedTask } from '../../sdk/index.ts';
import type { VirtualClock } from '../sim/clock.ts';
import type { SimulatedMachine } from '../sim/launcher.ts';
import type { SimulatedLineSocket } from '../sim/line-socket.ts';
import { program } from './world.ts';

/** Where executors live: one machine, and its agent's socket. */
export interface ExecutorPlace {
  readonly clock: VirtualClock;
  readonly random: Random;
  readonly machine: SimulatedMachine;
  readonly socket: SimulatedLineSocket;
  /** What was to be started in each folder. */
  readonly made: ReadonlyMap<string, TaskStart>;
}

/** What a task of a {@link ScriptedExecutor} does; given as its `data`. */
export interface ScriptedTask {
  /** Virtual milliseconds until it says TASK_FINISHED; absent: it goes on until it is killed. */
  readonly runMs?: number;
  /** Attached to its end. */
  readonly data?: string;
  /** It says nothing when it is killed. */
  readonly deaf?: boolean;
}

/** One process of an executor on the simulated machine, with the SDK's driver. It dies with its process. */
export class ScriptedExecutor implements Executor {
  readonly folder: string;
  readonly driver: ExecutorDriver;
  readonly launched: LaunchedTask[] = [];
  /** What its process was held to at each task that it was given. */
  readonly heldTo: (StartLimits | undefined)[] = [];
  readonly groups: string[] = [];
  readonly kills: { task: string; graceMs: number }[] = [];
  readonly messages: string[] = [];
  readonly faults: string[] = [];
  registrations = 0;
  shutdowns = 0;
  /** False: SHUTDOWN is not obeyed. */
  obeys = true;
  alive = true;
  readonly #place: ExecutorPlace;

  constructor(place: ExecutorPlace, folder: string) {
    this.#place = place;
    this.folder = folder;
    this.driver = createExecutorDriver({
      executor: this,
      environment: place.made.get(folder)?.environment ?? {},
      connect: () => place.socket.connect(),
      clock: place.clock,
      random: place.random,
    });
  }

  registered(): void {
    this.registrations++;
  }

  reregistered(): void {
    this.registrations++;
  }

  launchTask(driver: ExecutorDriver, task: LaunchedTask): void {
    this.launched.push(task);
    this.heldTo.push(this.#place.machine.limits(this.folder));
    driver.sendStatusUpdate({ task: task.task, state: 'TASK_RUNNING' });
    const { runMs, data } = scripted(task);
    if (runMs === undefined) return;
    this.#place.clock.after(runMs, () => {
      if (this.alive)
        driver.sendStatusUpdate({
          task: task.task,
          state: 'TASK_FINISHED',
          exitCode: 0,
          ...(data === undefined ? {} : { data }),
        });
    });
  }

  launchGroup(driver: ExecutorDriver, group: string, tasks: readonly LaunchedTask[]): void {
    this.groups.push(group);
    for (const task of tasks) this.launchTask(driver, task);
  }

  killTask(driver: ExecutorDriver, task: string, attempt: number, graceMs: number): void {
    this.kills.push({ task, graceMs });
    const known = this.launched.find((each) => each.task === task && each.attempt === attempt);
    if (known !== undefined && scripted(known).deaf === true) return;
    driver.sendStatusUpdate({ task, attempt, state: 'TASK_KILLED' });
  }

  frameworkMessage(driver: ExecutorDriver, data: string): void {
    this.messages.push(data);
    driver.sendFrameworkMessage(`heard ${data}`);
  }

  shutdown(): void {
    this.shutdowns++;
    if (this.obeys) this.#place.machine.signal(this.folder, 'SIGTERM');
  }

  error(_driver: ExecutorDriver, { message }: { message: string }): void {
    this.faults.push(message);
  }
}

function scripted({ data = '{}' }: LaunchedTask): ScriptedTask {
  return JSON.parse(data) as ScriptedTask;
}

/** Every process of an executor that begins on that machine; `mute` ones never connect. */
export function scriptedExecutors(place: ExecutorPlace, mute: ReadonlySet<string> = new Set()): ScriptedExecutor[] {
  const all: ScriptedExecutor[] = [];
  const { onStart } = place.machine;
  place.machine.onStart = (folder) => {
    onStart(folder);
    if (place.made.get(folder)?.environment['MESQ_EXECUTOR_SECRET'] === undefined) return;
    const executor = new ScriptedExecutor(place, folder);
    all.push(executor);
    if (!mute.has(folder.split('/')[2] ?? '')) executor.driver.start();
  };
  place.machine.onEnd = (folder) => {
    const executor = all.find((each) => each.folder === folder);
    if (executor === undefined) return;
    executor.alive = false;
    executor.driver.abort();
  };
  return all;
}

/** A task for an executor whose process stays until it is ended. */
export function executorTask(
  executor: string,
  does: ScriptedTask = {},
  more: Partial<TaskInfo> = {},
  info: Partial<ExecutorInfo> = {},
): Partial<TaskInfo> & { argv: string[] } {
  return {
    argv: [],
    data: JSON.stringify(does),
    executor: { executor, argv: program({ stays: true }), shutdownGraceMs: 5_000, ...info },
    ...more,
  };
}
