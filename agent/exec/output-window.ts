/**
 * What a program has written and its reader has not used: kept until then, sent from any offset again. It holds at most
 * `most` bytes: whoever adds waits for room.
 */
export class OutputWindow {
  readonly #most: number;
  readonly #pieces: Uint8Array[] = [];
  /** Absolute offset of the first byte that is kept. */
  #from = 0;
  #size = 0;

  constructor(most: number) {
    this.#most = most;
  }

  /** Offset behind the last byte. */
  get end(): number {
    return this.#from + this.#size;
  }

  /** Offset before which everything was used. */
  get used(): number {
    return this.#from;
  }

  get full(): boolean {
    return this.#size >= this.#most;
  }

  add(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#pieces.push(bytes);
    this.#size += bytes.length;
  }

  /** The reader has used everything before `offset`; what was said before, or cannot be true, changes nothing. */
  use(offset: number): void {
    let rest = Math.min(offset, this.end) - this.#from;
    if (rest <= 0) return;
    this.#from += rest;
    this.#size -= rest;
    while (rest > 0) {
      const [first = new Uint8Array()] = this.#pieces;
      if (first.length > rest) {
        this.#pieces[0] = first.subarray(rest);
        return;
      }
      rest -= first.length;
      this.#pieces.shift();
    }
  }

  /** At most `most` bytes from `offset`, as one array of its own. */
  read(offset: number, most: number): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(Math.max(0, Math.min(most, this.end - offset)));
    let at = this.#from;
    let filled = 0;
    for (const piece of this.#pieces) {
      if (filled === bytes.length) break;
      const skip = Math.max(0, offset - at);
      if (skip < piece.length) {
        const part = piece.subarray(skip, skip + bytes.length - filled);
        bytes.set(part, filled);
        filled += part.length;
      }
      at += piece.length;
    }
    return bytes;
  }
}
