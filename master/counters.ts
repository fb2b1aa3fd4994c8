/** What happened how often: every rejection is counted under its reason, and shown by `state/cluster`. */
export class Counters {
  readonly #counts = new Map<string, number>();

  count(reason: string, by = 1): void {
    this.#counts.set(reason, (this.#counts.get(reason) ?? 0) + by);
  }

  get(reason: string): number {
    return this.#counts.get(reason) ?? 0;
  }

  all(): Record<string, number> {
    return Object.fromEntries([...this.#counts].sort(([left], [right]) => (left < right ? -1 : 1)));
  }
}
