import { contains } from '../../protocol/resource-arithmetic.ts';
import type { Resources } from '../../protocol/resources.ts';

interface Filter {
  readonly refused: Resources;
  readonly expiresMs: number;
  /** Batches run when it was set: it never lapses before one more has run. */
  readonly batch: number;
}

/**
 * What each framework refused, by (framework, role, agent). A filter hides only offers that are a subset of what was
 * refused, so a bigger one still goes out (Mesos: hierarchical.cpp, RefusedOfferFilter).
 */
export class OfferFilters {
  readonly #filters = new Map<string, Map<string, Filter[]>>();

  get size(): number {
    return this.#filters.size;
  }

  set(framework: string, role: string, agent: string, refused: Resources, expiresMs: number, batch: number): void {
    const at = whose(framework, role);
    const ofAgent = this.#filters.get(at) ?? new Map<string, Filter[]>();
    this.#filters.set(at, ofAgent);
    const others = (ofAgent.get(agent) ?? []).filter((filter) => !contains(refused, filter.refused) || filter.expiresMs > expiresMs);
    ofAgent.set(agent, [...others, { refused, expiresMs, batch }]);
  }

  hides(framework: string, role: string, agent: string, offer: Resources, nowMs: number, batch: number): boolean {
    const at = whose(framework, role);
    const ofAgent = this.#filters.get(at);
    const filters = ofAgent?.get(agent);
    if (ofAgent === undefined || filters === undefined) return false;
    const alive = filters.filter((filter) => filter.expiresMs > nowMs || filter.batch >= batch);
    if (alive.length === 0) ofAgent.delete(agent);
    else if (alive.length < filters.length) ofAgent.set(agent, alive);
    if (ofAgent.size === 0) this.#filters.delete(at);
    return alive.some(({ refused }) => contains(refused, offer));
  }

  clear(framework: string, roles: Iterable<string>): void {
    for (const role of roles) this.#filters.delete(whose(framework, role));
  }

  /** An agent that changed is worth a new look. */
  clearAgent(agent: string): void {
    for (const [at, ofAgent] of this.#filters) {
      ofAgent.delete(agent);
      if (ofAgent.size === 0) this.#filters.delete(at);
    }
  }
}

/** No id and no role holds white space. */
function whose(framework: string, role: string): string {
  return `${framework} ${role}`;
}
