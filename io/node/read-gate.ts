/** Threads of Node's pool that reads of the machine may hold at once: the pool has four, and the journal needs one. */
const THREADS = 3;
/** Reads at once while none hangs. */
const AT_ONCE = 2;

/**
 * Lets reads of the machine through, a few at a time. A read that takes too long is given up, but its thread stays with
 * it until the kernel lets go; so what hangs is not asked again meanwhile, and when too much hangs nothing is read at all:
 * a sick sensor costs its own value, never the agent's disk.
 */
export class ReadGate {
  readonly #waiting: (() => void)[] = [];
  readonly #hanging = new Set<string>();
  #running = 0;
  /** Given up, and not settled. */
  #lost = 0;

  /** The outcome; undefined where it fails, takes longer than `timeoutMs` (the wait for its turn apart), or hangs already. */
  async pass<T>(what: string, timeoutMs: number, work: () => Promise<T>): Promise<T | undefined> {
    if (this.#hanging.has(what) || this.#lost >= THREADS) return undefined;
    if (!this.#free()) await new Promise<void>((turn) => this.#waiting.push(turn));
    else this.#running++;
    // While it waited its own kind may have begun to hang.
    if (this.#hanging.has(what) || this.#lost >= THREADS) {
      this.#done();
      return undefined;
    }
    return await this.#limited(what, timeoutMs, work);
  }

  #limited<T>(what: string, timeoutMs: number, work: () => Promise<T>): Promise<T | undefined> {
    return new Promise((resolve) => {
      let lost = false;
      const timer = setTimeout(() => {
        lost = true;
        this.#lost++;
        this.#hanging.add(what);
        this.#done();
        resolve(undefined);
      }, timeoutMs);
      const settle = (value: T | undefined): void => {
        clearTimeout(timer);
        if (lost) {
          this.#lost--;
          this.#hanging.delete(what);
          this.#next();
        } else this.#done();
        resolve(value);
      };
      work().then(settle, () => settle(undefined));
    });
  }

  #free(): boolean {
    return this.#running < AT_ONCE && this.#running + this.#lost < THREADS;
  }

  #done(): void {
    this.#running--;
    this.#next();
  }

  /** Where all hangs, whoever waits is let through to hear it. */
  #next(): void {
    while (this.#waiting.length > 0 && (this.#free() || this.#lost >= THREADS)) {
      this.#running++;
      this.#waiting.shift()?.();
    }
  }
}
