const DAY_MS = 86_400_000;

/** What a budget says of itself, in bytes. */
export interface BudgetState {
  /** A day; undefined: no budget. */
  readonly aDay: number | undefined;
  readonly left: number | undefined;
  readonly spent: number;
  readonly over: number;
}

/**
 * Bytes a day for what is bulky: a bucket that holds one day, begins full, and fills evenly. Times are monotonic
 * milliseconds: no clock that jumps gives anything away. It lives in memory: a restarted agent begins with a full one.
 */
export class DayBucket {
  readonly #aDay: number | undefined;
  #left: number;
  #asOfMs: number;
  #spent = 0;
  #over = 0;

  /** `aDay` undefined: as much as is asked for. */
  constructor(aDay: number | undefined, nowMs: number) {
    this.#aDay = aDay;
    this.#left = aDay ?? 0;
    this.#asOfMs = nowMs;
  }

  /** How long until `bytes` may be spent: 0 now. More than a day's worth waits for a whole day's. */
  waitMs(bytes: number, nowMs: number): number {
    if (this.#aDay === undefined) return 0;
    this.#fill(nowMs);
    const lacking = Math.min(bytes, this.#aDay) - this.#left;
    return lacking <= 0 ? 0 : Math.ceil((lacking * DAY_MS) / this.#aDay);
  }

  /** Takes what was sent or received. Over the budget nobody runs into debt: an operator's wish costs nobody else a day. */
  spend(bytes: number, nowMs: number): void {
    this.#spent += bytes;
    if (this.#aDay === undefined) return;
    this.#fill(nowMs);
    this.#over += Math.max(0, bytes - Math.floor(this.#left));
    this.#left = Math.max(0, this.#left - bytes);
  }

  state(nowMs: number): BudgetState {
    this.#fill(nowMs);
    const left = this.#aDay === undefined ? undefined : Math.floor(this.#left);
    return { aDay: this.#aDay, left, spent: this.#spent, over: this.#over };
  }

  #fill(nowMs: number): void {
    if (this.#aDay !== undefined && nowMs > this.#asOfMs)
      this.#left = Math.min(this.#aDay, this.#left + ((nowMs - this.#asOfMs) * this.#aDay) / DAY_MS);
    this.#asOfMs = nowMs;
  }
}
