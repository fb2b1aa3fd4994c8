import { TIMES } from '../protocol/limits.ts';
import type { Offer } from '../protocol/offer.ts';

/** Longest that a decline without a time of its own hides an agent. */
const MOST_MS = 300_000;
/** Agents remembered; beyond it the back-off begins anew, which costs an offer, not correctness. */
const MOST_AGENTS = 20_000;

/**
 * How long a declined offer's resources stay hidden when the framework does not say: 5 s, doubling with each decline
 * of the same agent and role, to 5 min. An accepted offer and a revive begin anew.
 */
export class DeclineBackOff {
  readonly #declines = new Map<string, number>();

  declined(offer: Pick<Offer, 'agent' | 'role'>): number {
    const key = `${offer.agent} ${offer.role}`;
    const times = this.#declines.get(key) ?? 0;
    if (this.#declines.size >= MOST_AGENTS && times === 0) this.#declines.clear();
    this.#declines.set(key, times + 1);
    return Math.min(MOST_MS, TIMES.refuseMs * 2 ** Math.min(times, 16));
  }

  accepted(offer: Pick<Offer, 'agent' | 'role'>): void {
    this.#declines.delete(`${offer.agent} ${offer.role}`);
  }

  revived(): void {
    this.#declines.clear();
  }
}
