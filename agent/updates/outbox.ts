import { TIMES } from '../../protocol/limits.ts';
import type { TaskStatus } from '../../protocol/task.ts';

interface Waiting {
  readonly statuses: TaskStatus[];
  /** When they go out (again), in monotonic milliseconds. */
  dueMs: number;
  pauseMs: number;
}

/**
 * Reports that no master has acknowledged: sent at once, again after 10 s, doubling to 10 min, and at once after every
 * reconnect. All of a task's reports go together and in order (Mesos keeps only the head in flight; the sequence number
 * keeps the order here).
 */
export class Outbox {
  readonly #waiting = new Map<string, Waiting>();

  get size(): number {
    return this.#waiting.size;
  }

  add(run: string, status: TaskStatus): void {
    const waiting = this.#waiting.get(run);
    if (waiting === undefined) this.#waiting.set(run, { statuses: [status], dueMs: 0, pauseMs: TIMES.updateRetryMs });
    else {
      waiting.statuses.push(status);
      waiting.dueMs = 0;
    }
  }

  /** Up to and including `sequence`: a master has committed them. */
  acknowledge(run: string, sequence: number): void {
    const waiting = this.#waiting.get(run);
    if (waiting === undefined) return;
    const left = waiting.statuses.filter((status) => status.sequence > sequence);
    if (left.length === 0) this.#waiting.delete(run);
    else waiting.statuses.splice(0, waiting.statuses.length, ...left);
  }

  /** A new connection, or a new leader: everything is due. */
  reset(): void {
    for (const waiting of this.#waiting.values()) {
      waiting.dueMs = 0;
      waiting.pauseMs = TIMES.updateRetryMs;
    }
  }

  /** What is to be sent now; it is due again after its pause. */
  next(nowMs: number): TaskStatus[] {
    const due: TaskStatus[] = [];
    for (const waiting of this.#waiting.values()) {
      if (waiting.dueMs > nowMs) continue;
      if (waiting.dueMs > 0) waiting.pauseMs = Math.min(waiting.pauseMs * 2, TIMES.updateRetryMaxMs);
      waiting.dueMs = nowMs + waiting.pauseMs;
      due.push(...waiting.statuses);
    }
    return due;
  }

  /** When something is due next; undefined where nothing waits. */
  nextMs(): number | undefined {
    let next: number | undefined;
    for (const { dueMs } of this.#waiting.values()) if (next === undefined || dueMs < next) next = dueMs;
    return next;
  }
}
