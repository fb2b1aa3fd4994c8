import { contains } from '../../protocol/resource-arithmetic.ts';
import type { Resources } from '../../protocol/resources.ts';

interface Filter {
  readonly refused: Resources;
  readonly expiresMs: number;
  /** Batches run when it was set: it never lapses before one more has run. */
  readonly batch: number;
}

/**
 * What each claimant (a framework under a role) refused of each agent. A filter hides only offers that are a subset of
 * what was refused, so a bigger one still goes out (Mesos: hierarchical.cpp, RefusedOfferFilter).
 */
export class OfferFilters {
  /** Agent → claimant → filters. */
  readonly #filters = new Map<string, Map<string, readonly Filter[]>>();
  /** Claimant → agents that it has filters for. */
  readonly #agentsOf = new Map<string, Set<string>>();
  /** No filter ends before. */
  #earliestMs = Number.POSITIVE_INFINITY;

  /** When the first of them may end; undefined where there are none. */
  get nextMs(): number | undefined {
    return this.#filters.size === 0 ? undefined : this.#earliestMs;
  }

  set(claimant: string, agent: string, refused: Resources, expiresMs: number, batch: number): void {
    const ofAgent = this.#filters.get(agent) ?? new Map<string, readonly Filter[]>();
    this.#filters.set(agent, ofAgent);
    const others = (ofAgent.get(claimant) ?? []).filter(
      (filter) => !contains(refused, filter.refused) || filter.expiresMs > expiresMs,
    );
    ofAgent.set(claimant, [...others, { refused, expiresMs, batch }]);
    const agents = this.#agentsOf.get(claimant);
    if (agents === undefined) this.#agentsOf.set(claimant, new Set([agent]));
    else agents.add(agent);
    this.#earliestMs = Math.min(this.#earliestMs, expiresMs);
  }

  /** True where that claimant has refused all of this. Whether filters have ended is looked at by {@link expire} alone. */
  hides(claimant: string, agent: string, offer: Resources): boolean {
    const filters = this.#filters.get(agent)?.get(claimant);
    return filters?.some(({ refused }) => contains(refused, offer)) === true;
  }

  /** Until when that is so; undefined where it has not refused it. */
  hiddenUntil(claimant: string, agent: string, offer: Resources): number | undefined {
    const hiding =
      this.#filters
        .get(agent)
        ?.get(claimant)
        ?.filter(({ refused }) => contains(refused, offer)) ?? [];
    return hiding.length === 0 ? undefined : Math.max(...hiding.map(({ expiresMs }) => expiresMs));
  }

  /** Ends what is due at a batch; the agents that have lost a filter. Every filter is looked at, but only when one is due. */
  expire(nowMs: number, batch: number): string[] {
    if (nowMs < this.#earliestMs) return [];
    this.#earliestMs = Number.POSITIVE_INFINITY;
    const agents: string[] = [];
    for (const [agent, ofAgent] of this.#filters) {
      let ended = false;
      for (const [claimant, filters] of ofAgent) {
        const alive = filters.filter((filter) => filter.expiresMs > nowMs || filter.batch >= batch);
        for (const { expiresMs } of alive) this.#earliestMs = Math.min(this.#earliestMs, expiresMs);
        if (alive.length === filters.length) continue;
        ended = true;
        if (alive.length > 0) ofAgent.set(claimant, alive);
        else this.#drop(claimant, agent);
      }
      if (ended) agents.push(agent);
    }
    return agents;
  }

  /** Ends all of a claimant's; the agents. */
  clear(claimant: string): string[] {
    const agents = [...(this.#agentsOf.get(claimant) ?? [])];
    for (const agent of agents) this.#drop(claimant, agent);
    return agents;
  }

  /** An agent that changed is worth a new look. */
  clearAgent(agent: string): void {
    for (const claimant of [...(this.#filters.get(agent)?.keys() ?? [])]) this.#drop(claimant, agent);
  }

  #drop(claimant: string, agent: string): void {
    const ofAgent = this.#filters.get(agent);
    ofAgent?.delete(claimant);
    if (ofAgent?.size === 0) this.#filters.delete(agent);
    const agents = this.#agentsOf.get(claimant);
    agents?.delete(agent);
    if (agents?.size === 0) this.#agentsOf.delete(claimant);
  }
}
