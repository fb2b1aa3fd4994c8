/** How many may come in at once, and how long the others wait. */
export interface AdmissionLimits {
  /** Connections between their first byte and the answer to their CONNECT that count as work. */
  readonly atOnce: number;
  /** One counts for at most this long: who is slow costs no processor while it is waited for. */
  readonly atOnceMs: number;
  /** Connections that may wait; more are turned away, so that they come back later. */
  readonly waiting: number;
  /** One that has waited for longer is turned away: less than clients wait for their answer, or the work would be in vain. */
  readonly waitMs: number;
}

/** What is to be done now, in this order. */
export interface Admitted<Guest> {
  readonly open: Guest[];
  readonly refuse: Guest[];
}

/**
 * The order in which connections are let in when thousands come at once: first come, first served. Those that go first
 * (other masters, people at this machine) have a queue of their own, and every other turn while both wait. Times are
 * monotonic milliseconds.
 */
export class Admission<Guest> {
  readonly #limits: AdmissionLimits;
  /** Being worked on, in the order in which they began: when. */
  readonly #working = new Map<Guest, number>();
  /** Who waits, since when, in the order of arrival. */
  readonly #first = new Map<Guest, number>();
  readonly #others = new Map<Guest, number>();
  #firstsTurn = true;

  constructor(limits: AdmissionLimits) {
    this.#limits = limits;
  }

  get waiting(): number {
    return this.#first.size + this.#others.size;
  }

  /** A connection has come. */
  arrived(guest: Guest, goesFirst: boolean, nowMs: number): Admitted<Guest> {
    const queue = goesFirst ? this.#first : this.#others;
    if (queue.size >= this.#limits.waiting) return { open: [], refuse: [guest] };
    queue.set(guest, nowMs);
    return this.due(nowMs);
  }

  /** It has its answer, or is gone. */
  served(guest: Guest, nowMs: number): Admitted<Guest> {
    if (this.#working.delete(guest)) return this.due(nowMs);
    if (!this.#first.delete(guest)) this.#others.delete(guest);
    return { open: [], refuse: [] };
  }

  /** Whose turn it is by now. */
  due(nowMs: number): Admitted<Guest> {
    const { atOnce, atOnceMs, waitMs } = this.#limits;
    for (const [guest, sinceMs] of this.#working) {
      if (nowMs - sinceMs < atOnceMs) break;
      this.#working.delete(guest);
    }
    const admitted: Admitted<Guest> = { open: [], refuse: [] };
    while (this.#working.size < atOnce) {
      const next = this.#next();
      if (next === undefined) break;
      const [guest, sinceMs] = next;
      if (nowMs - sinceMs > waitMs) {
        admitted.refuse.push(guest);
        continue;
      }
      this.#working.set(guest, nowMs);
      admitted.open.push(guest);
    }
    return admitted;
  }

  /** When to ask again if nothing happens before; undefined while nobody waits. */
  nextMs(): number | undefined {
    const [begun] = this.#working.values();
    return this.waiting === 0 || begun === undefined ? undefined : begun + this.#limits.atOnceMs;
  }

  #next(): [Guest, number] | undefined {
    const [turn, other] = this.#firstsTurn ? [this.#first, this.#others] : [this.#others, this.#first];
    this.#firstsTurn = !this.#firstsTurn;
    for (const queue of [turn, other]) {
      for (const next of queue) {
        queue.delete(next[0]);
        return next;
      }
    }
    return undefined;
  }
}
