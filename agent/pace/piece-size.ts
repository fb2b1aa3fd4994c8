const LEAST_BYTES = 4_096;
/** A piece that takes so much longer than the fastest one has waited on the way, and so would a report behind it. */
const SOON_MS = 40;
const LATE_MS = 100;

/**
 * How long pieces of bulk may be, so that a report that comes behind one does not wait for it: on a link of 256 kbit/s a
 * piece of 32 kB takes a second. Found out as LEDBAT does (RFC 6817): what a piece takes beyond the fastest is waiting, and
 * more of it makes the next ones shorter. Starts short.
 */
export class PieceSize {
  readonly #mostBytes: number;
  #bytes = LEAST_BYTES;
  #fastestMs = Number.POSITIVE_INFINITY;

  constructor(mostBytes: number) {
    this.#mostBytes = mostBytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** The broker had a piece after so long. */
  sent(ms: number): void {
    // The way may have become longer: what was fastest once is forgotten by and by.
    this.#fastestMs = Math.min(ms, this.#fastestMs * 1.02);
    const waitedMs = ms - this.#fastestMs;
    if (waitedMs < SOON_MS) this.#bytes = Math.min(this.#mostBytes, this.#bytes * 2);
    else if (waitedMs > LATE_MS) this.#bytes = Math.max(LEAST_BYTES, Math.floor(this.#bytes / 2));
  }
}
