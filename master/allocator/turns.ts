/** Offers without use before others come first. */
const PATIENCE = 5;

/**
 * Whose turn it is at one agent. One whose share is small, and who declines without a filter, would be offered the same
 * agent at every batch, and nobody else ever: after some offers of no use it stands back until the others who want the
 * agent have had as many (where Mesos has only quotas against it: QuotaAgainstStarvation).
 */
export class Turns {
  readonly #wasted = new Map<string, number>();

  /** 0 comes first. */
  of(claimant: string): number {
    return Math.floor((this.#wasted.get(claimant) ?? 0) / PATIENCE);
  }

  wasted(claimant: string): void {
    this.#wasted.set(claimant, (this.#wasted.get(claimant) ?? 0) + 1);
  }

  used(claimant: string): void {
    this.#wasted.delete(claimant);
  }

  clear(): void {
    this.#wasted.clear();
  }
}
