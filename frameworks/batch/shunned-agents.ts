/** Twice what the task itself waits (job.ts), so that it is tried elsewhere first. */
const FIRST_MS = 2_000;
const LAST_MS = 120_000;

/**
 * Agents that could not start a task (a full disk, say) are left alone for a while, twice as long each time, until one
 * of their tasks runs: else whoever has nothing to do is offered every task that it fails. All times are monotonic
 * milliseconds. Memory only.
 */
export class ShunnedAgents {
  /** By name. */
  readonly #agents = new Map<string, { untilMs: number; pauseMs: number }>();

  failed(agent: string, nowMs: number): void {
    const known = this.#agents.get(agent);
    // Of several tasks that failed together the first counts.
    if (known !== undefined && known.untilMs > nowMs) return;
    const pauseMs = Math.min(LAST_MS, (known?.pauseMs ?? FIRST_MS / 2) * 2);
    this.#agents.set(agent, { untilMs: nowMs + pauseMs, pauseMs });
  }

  ran(agent: string): void {
    this.#agents.delete(agent);
  }

  /** It has failed, and nothing has run there since: others come first. */
  isSuspect(agent: string): boolean {
    return this.#agents.has(agent);
  }

  /** How long it is still to be left alone; 0 where it is not. */
  restMs(agent: string, nowMs: number): number {
    return Math.max(0, (this.#agents.get(agent)?.untilMs ?? 0) - nowMs);
  }
}
