/** What of a client's input is new: the program gets each byte once, however often it is sent. */
export class SessionInput {
  readonly #most: number;
  #next = 0;
  #taken = 0;
  #ended = false;

  /** `most`: bytes that may wait for the program. */
  constructor(most: number) {
    this.#most = most;
  }

  /** Bytes that the program's pipe has taken, and one more for the end. */
  get taken(): number {
    return this.#taken;
  }

  /** The bytes that are new, and whether they are the last. Undefined: nothing is, or there is a gap before, or no room. */
  accept({
    offset,
    data,
    end,
  }: {
    readonly offset: number;
    readonly data: Uint8Array;
    readonly end: boolean;
  }): { readonly bytes: Uint8Array; readonly end: boolean } | undefined {
    if (this.#ended || offset > this.#next) return undefined;
    const bytes = data.subarray(Math.min(data.length, this.#next - offset));
    const last = end && offset + data.length >= this.#next;
    if (bytes.length === 0 && !last) return undefined;
    if (this.#next + bytes.length - this.#taken > this.#most) return undefined;
    this.#next += bytes.length;
    this.#ended = last;
    return { bytes, end: last };
  }

  took(bytes: number): void {
    this.#taken += bytes;
  }
}
