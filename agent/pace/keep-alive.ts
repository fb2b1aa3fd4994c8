/** How often a length must be answered before one is tried again that went unanswered, at first and at last. */
const FIRST_WAIT = 8;
const LAST_WAIT = 512;

/**
 * How long an idle agent may be silent, found out by trying: what was answered is doubled, up to the longest; what was not
 * answered is halved, down to the first, and tried again only after more and more answers at what is borne (a network that
 * forgets connections does so after the same time each time; a link that broke just then is not held against it for long).
 */
export class KeepAlivePace {
  readonly #firstMs: number;
  readonly #longestMs: number;
  #ms: number;
  /** In a row, at the present length. */
  #answered = 0;
  /** The shortest that went unanswered since a longer one was answered. */
  #diedMs = Number.POSITIVE_INFINITY;
  #wait = FIRST_WAIT;

  constructor(firstMs: number, longestMs: number) {
    this.#firstMs = firstMs;
    this.#longestMs = Math.max(firstMs, longestMs);
    this.#ms = firstMs;
  }

  get ms(): number {
    return this.#ms;
  }

  answered(): void {
    this.#answered++;
    if (this.#ms >= this.#diedMs) {
      this.#diedMs = Number.POSITIVE_INFINITY;
      this.#wait = FIRST_WAIT;
    }
    const nextMs = Math.min(this.#ms * 2, this.#longestMs);
    if (nextMs === this.#ms || (nextMs >= this.#diedMs && this.#answered < this.#wait)) return;
    this.#ms = nextMs;
    this.#answered = 0;
  }

  unanswered(): void {
    if (this.#ms > this.#firstMs) {
      if (this.#ms >= this.#diedMs) this.#wait = Math.min(this.#wait * 2, LAST_WAIT);
      this.#diedMs = Math.min(this.#diedMs, this.#ms);
    }
    this.#ms = Math.max(this.#firstMs, this.#ms / 2);
    this.#answered = 0;
  }
}
