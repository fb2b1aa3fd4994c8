import type { Timer } from '../io/clock.ts';
import type { Leader } from './leader.ts';
import type { AgentRecord } from './registry/registry.ts';

/**
 * Proposes the end of what still runs on an agent when its drain's deadline comes (docs/maintenance.md). The deadline is
 * in the registry, so that a new leader goes on with it; one that has passed meanwhile is due at once.
 */
export class Drains {
  readonly #leader: Leader;
  readonly #timers = new Map<string, Timer>();

  constructor(leader: Leader) {
    this.#leader = leader;
    for (const agent of leader.registry.agents.values()) if (agent.drain !== undefined) this.watch(agent);
  }

  stop(): void {
    for (const timer of this.#timers.values()) timer.cancel();
  }

  watch({ agent, drain }: AgentRecord): void {
    this.forget(agent);
    if (drain === undefined) return;
    const leftMs = Math.max(0, drain.deadlineMs - this.#leader.wallMs());
    const timer = this.#leader.world.clock.after(leftMs, () => {
      this.#timers.delete(agent);
      this.#leader.propose({ kind: 'EVICT_AGENT', agent });
    });
    this.#timers.set(agent, timer);
  }

  forget(agent: string): void {
    this.#timers.get(agent)?.cancel();
    this.#timers.delete(agent);
  }
}
