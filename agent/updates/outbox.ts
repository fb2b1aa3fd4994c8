import { TIMES } from '../../protocol/limits.ts';
import type { TaskStatus } from '../../protocol/task.ts';

interface Waiting {
  readonly statuses: TaskStatus[];
  /** How many of them went out since the last time that all did. */
  sent: number;
  /** When all of them go out (again), in monotonic milliseconds. */
  dueMs: number;
  pauseMs: number;
  /** A master seems not to have heard of it on this connection. */
  missed: boolean;
}

/**
 * Reports that no master has acknowledged: each sent at once, all of a task again after 10 s, doubling to 10 min, and at
 * once after every reconnect; always in order of `sequence` (Mesos keeps only the head in flight; the number keeps the
 * order here).
 */
export class Outbox {
  readonly #waiting = new Map<string, Waiting>();
  #repeats = false;

  /** Runs with something to tell. */
  get size(): number {
    return this.#waiting.size;
  }

  /** A report of the number of the last one takes its place: the uuid of that one, of which nothing more is to be heard. */
  add(run: string, status: TaskStatus): string | undefined {
    const waiting = this.#waiting.get(run);
    if (waiting === undefined) {
      this.#waiting.set(run, { statuses: [status], sent: 0, dueMs: 0, pauseMs: TIMES.updateRetryMs, missed: false });
      return undefined;
    }
    const replaced = waiting.statuses.at(-1)?.sequence === status.sequence ? waiting.statuses.pop() : undefined;
    waiting.statuses.push(status);
    waiting.sent = Math.min(waiting.sent, waiting.statuses.length - 1);
    return replaced?.uuid;
  }

  /** Up to and including `sequence`: a master has committed them. */
  acknowledge(run: string, sequence: number): void {
    const waiting = this.#waiting.get(run);
    if (waiting === undefined) return;
    const gone = waiting.statuses.filter((status) => status.sequence <= sequence).length;
    waiting.statuses.splice(0, gone);
    waiting.sent = Math.max(0, waiting.sent - gone);
    if (waiting.statuses.length === 0) this.#waiting.delete(run);
  }

  /** A new connection, or a new leader: everything is due. */
  reset(): void {
    for (const run of this.#waiting.keys()) this.#begin(run, false);
  }

  /** A master seems not to have heard of a run: all about it is due. */
  resend(run: string): void {
    this.#begin(run, true);
  }

  #begin(run: string, missed: boolean): void {
    const waiting = this.#waiting.get(run);
    if (waiting === undefined) return;
    waiting.dueMs = 0;
    waiting.sent = 0;
    waiting.pauseMs = TIMES.updateRetryMs;
    waiting.missed = missed;
  }

  /** Of what {@link next} gave last, something had gone out before, on the same connection. */
  get repeats(): boolean {
    return this.#repeats;
  }

  /** What is to be sent now; it is due again after its pause. */
  next(nowMs: number): TaskStatus[] {
    const due: TaskStatus[] = [];
    this.#repeats = false;
    for (const waiting of this.#waiting.values()) {
      if (waiting.dueMs <= nowMs) {
        if (waiting.sent > 0) {
          waiting.pauseMs = Math.min(waiting.pauseMs * 2, TIMES.updateRetryMaxMs);
          waiting.missed = true;
        }
        this.#repeats ||= waiting.missed;
        waiting.dueMs = nowMs + waiting.pauseMs;
        waiting.sent = 0;
      }
      for (const status of waiting.statuses.slice(waiting.sent)) due.push(status);
      waiting.sent = waiting.statuses.length;
    }
    return due;
  }

  /** When something is due next; undefined where nothing waits. */
  nextMs(): number | undefined {
    let next: number | undefined;
    for (const { dueMs, sent, statuses } of this.#waiting.values()) {
      const due = sent < statuses.length ? 0 : dueMs;
      if (next === undefined || due < next) next = due;
    }
    return next;
  }
}
