import type { Timer } from '../io/clock.ts';
import type { Leader } from './leader.ts';
import type { TaskRecord } from './registry/registry.ts';

/**
 * Proposes TASK_LOST for tasks that have been unreachable for their `lost_after` (docs/protocol.md, Contact). The deadline
 * counts from the wall clock in the registry, bounded by this leader's own monotonic one: a new leader, or a clock
 * that jumped, gives every task at least one full period of its own.
 */
export class LostTasks {
  readonly #leader: Leader;
  readonly #timers = new Map<string, Timer>();

  constructor(leader: Leader) {
    this.#leader = leader;
    for (const [key, task] of leader.registry.tasks) this.watch(key, task);
  }

  stop(): void {
    for (const timer of this.#timers.values()) timer.cancel();
  }

  /** Called after every change of a task: starts, keeps or ends its deadline. */
  watch(key: string, task: TaskRecord): void {
    if (task.state !== 'TASK_UNREACHABLE') {
      this.#timers.get(key)?.cancel();
      this.#timers.delete(key);
      return;
    }
    if (this.#timers.has(key)) return;
    const { clock, times } = this.#leader.world;
    const lostAfterMs = task.info.disconnect?.lostAfterMs ?? times.lostAfterMs;
    const timer = clock.after(lostAfterMs, () => {
      this.#timers.delete(key);
      const { framework, info } = task;
      this.#leader.propose({
        kind: 'END_TASKS',
        tasks: [{ framework, task: info.task, attempt: info.attempt }],
        state: 'TASK_LOST',
        reason: 'LOST_AFTER',
        message: `its agent has been unreachable for ${Math.round(lostAfterMs / 1000)} s`,
        nowMs: this.#leader.wallMs(),
      });
    });
    this.#timers.set(key, timer);
  }
}
