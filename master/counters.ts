/** What happened how often: every rejection is counted under its reason, and shown by `state/cluster`. */
export class Counters {
  readonly #counts = new Map<string, number>();
  #listener: (() => void) | undefined;

  /** Says how often it has happened now. */
  count(reason: string, by = 1): number {
    const now = (this.#counts.get(reason) ?? 0) + by;
    this.#counts.set(reason, now);
    this.#listener?.();
    return now;
  }

  /** Calls `listener`, in place of the one before, after every change. */
  onCount(listener: (() => void) | undefined): void {
    this.#listener = listener;
  }

  get(reason: string): number {
    return this.#counts.get(reason) ?? 0;
  }

  all(): Record<string, number> {
    return Object.fromEntries([...this.#counts].sort(([left], [right]) => (left < right ? -1 : 1)));
  }
}
