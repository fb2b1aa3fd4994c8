import type { Timer } from '../io/clock.ts';
import { TIMES } from '../protocol/limits.ts';
import { isTerminal } from '../protocol/task.ts';
import type { Leader } from './leader.ts';
import { heed } from './liveness/health-wish.ts';
import { type AgentRecord, tasksOfAgent } from './registry/registry.ts';

/** A proposal may be refused (another master is of an earlier version, or the log is full): it is made again after this. */
const AGAIN_MS = 60_000;

/**
 * Proposes what is due about agents that are drained (docs/maintenance.md): the begin and the end of a maintenance
 * window, and the end of what still runs at a drain's deadline. The moments are in the registry, so that a new leader goes
 * on with them; one that has passed meanwhile is due at once. So is what an agent's health asks for.
 */
export class Drains {
  readonly #leader: Leader;
  readonly #tells: () => readonly string[];
  /** Agent → what is due there. */
  readonly #timers = new Map<string, Timer[]>();

  /** `tells`: frameworks that hear TASK_KILLING, at this moment. */
  constructor(leader: Leader, tells: () => readonly string[]) {
    this.#leader = leader;
    this.#tells = tells;
    for (const agent of leader.registry.agents.values()) this.watch(agent);
  }

  stop(): void {
    for (const agent of [...this.#timers.keys()]) this.forget(agent);
  }

  watch(record: AgentRecord): void {
    const { agent, state, drain, window } = record;
    this.forget(agent);
    if (state === 'gone') return;
    if (heed(record) !== undefined) this.#at(agent, this.#leader.wallMs(), () => this.#heed(agent));
    if (drain !== undefined) this.#at(agent, drain.deadlineMs, () => this.#evict(agent));
    if (window === undefined) return;
    const { startMs, durationMs, graceMs, request: scheduled = '' } = window;
    const about = `window-${agent}-${startMs}-${scheduled}`;
    // An operator's window takes the place of a drain for health.
    if (drain === undefined || drain.wish !== undefined) {
      const deadlineMs = startMs + graceMs;
      this.#at(agent, startMs, () =>
        this.#leader.propose({ kind: 'DRAIN_AGENT', agent, deadlineMs, request: `${about}-begin` }),
      );
    } else if (durationMs !== undefined)
      this.#at(agent, startMs + durationMs, () =>
        this.#leader.propose({ kind: 'RESUME_AGENT', agent, request: `${about}-end` }),
      );
  }

  forget(agent: string): void {
    for (const timer of this.#timers.get(agent) ?? []) timer.cancel();
    this.#timers.delete(agent);
  }

  #heed(agent: string): void {
    const record = this.#leader.registry.agents.get(agent);
    const heeded = record === undefined ? undefined : heed(record);
    if (heeded === undefined) return;
    const deadlineMs = this.#leader.wallMs() + TIMES.healthDrainMs;
    this.#leader.propose({ kind: 'HEED_HEALTH', agent, wish: heeded.wish, deadlineMs });
    this.#at(agent, this.#leader.wallMs() + AGAIN_MS, () => this.#heed(agent));
  }

  /** Nothing is logged where nothing is left to end: a machine that is drained for days says this and that of itself. */
  #evict(agent: string): void {
    const live = tasksOfAgent(this.#leader.registry, agent);
    if (!live.some(({ state, kill }) => !isTerminal(state) && kill === undefined)) return;
    this.#leader.propose({ kind: 'EVICT_AGENT', agent, tell: this.#tells() });
    this.#at(agent, this.#leader.wallMs() + AGAIN_MS, () => this.#evict(agent));
  }

  #at(agent: string, wallMs: number, due: () => void): void {
    const leftMs = Math.max(0, wallMs - this.#leader.wallMs());
    this.#timers.set(agent, [...(this.#timers.get(agent) ?? []), this.#leader.world.clock.after(leftMs, due)]);
  }
}
