import type { LaunchedTask } from '../protocol/executor.ts';
import type { Fault } from '../protocol/faults.ts';
import type { ExecutorDriver } from './executor-driver.ts';

/** What the agent said when it took the executor in. */
export interface ExecutorRegistration {
  readonly framework: string;
  readonly executor: string;
  /** The agent's id, and its name. */
  readonly agent: string;
  readonly agentName: string;
}

/**
 * An executor's own half: what it does about the tasks that it is given. The driver calls it, one call at a time
 * (Mesos: include/mesos/executor.hpp). Every callback may call the driver. What a callback throws is a bug of the
 * executor, and ends its process as everywhere in Node.
 */
export interface Executor {
  /** The first time that the agent takes this executor in. */
  registered(driver: ExecutorDriver, registration: ExecutorRegistration): void;
  /** The agent was restarted, or the connection was lost. The driver has said what the agent may have missed. */
  reregistered?(driver: ExecutorDriver, registration: ExecutorRegistration): void;
  /** The agent is away. The driver goes on trying, for 15 min by default; tasks go on. */
  disconnected?(driver: ExecutorDriver): void;
  /** Start the task, and say TASK_RUNNING; at its end TASK_FINISHED, TASK_FAILED or TASK_KILLED. Called once a task. */
  launchTask(driver: ExecutorDriver, task: LaunchedTask): void;
  /** Tasks of one group; without this callback each comes to {@link launchTask}. */
  launchGroup?(driver: ExecutorDriver, group: string, tasks: readonly LaunchedTask[]): void;
  /**
   * End the task within `graceMs`, and say TASK_KILLED. Called again with 0 when that is over; who lets that pass too is
   * ended, with all its tasks.
   */
  killTask(driver: ExecutorDriver, task: string, attempt: number, graceMs: number): void;
  /** The scheduler speaks; at most once. */
  frameworkMessage?(driver: ExecutorDriver, data: string): void;
  /** End all tasks, and say so. The driver stops after this call; the process has `graceMs` before it is killed. */
  shutdown?(driver: ExecutorDriver, graceMs: number): void;
  /** The agent refused something that was said. */
  error?(driver: ExecutorDriver, fault: Fault): void;
}
