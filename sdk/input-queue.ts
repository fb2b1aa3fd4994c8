/** Input on its way to a program: kept by its offset until the far side has taken it. */
export class InputQueue {
  readonly #most: number;
  #pieces: Uint8Array[] = [];
  /** Offset of the first byte that is kept: all before it was taken. */
  #from = 0;
  #end = 0;
  /** Offset behind what was sent. */
  #sent = 0;
  #ended = false;
  #endSent = false;
  #endTaken = false;
  #waiting: (() => void)[] = [];
  #closed = false;

  constructor(most: number) {
    this.#most = most;
  }

  /** Everything was, as far as it was written. */
  get taken(): boolean {
    return this.#from === this.#end && (!this.#ended || this.#endTaken);
  }

  /** Something was not sent yet, and there is room for it on the far side. */
  get waits(): boolean {
    return (
      this.#sent < Math.min(this.#end, this.#from + this.#most) ||
      (this.#ended && !this.#endSent && this.#sent === this.#end)
    );
  }

  add(bytes: Uint8Array): void {
    if (bytes.length === 0 || this.#ended) return;
    this.#pieces.push(bytes);
    this.#end += bytes.length;
  }

  end(): void {
    this.#ended = true;
  }

  /** Resolves while less than the most waits. */
  async room(): Promise<void> {
    while (!this.#closed && this.#end - this.#from >= this.#most)
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  /** What is to be sent next, of at most `bytes`; undefined where nothing is. */
  next(bytes: number): { offset: number; data: Uint8Array<ArrayBuffer>; end: boolean } | undefined {
    if (!this.waits) return undefined;
    const offset = this.#sent;
    const length = Math.min(bytes, Math.min(this.#end, this.#from + this.#most) - offset);
    const data = this.#read(offset, length);
    this.#sent = offset + length;
    const end = this.#ended && this.#sent === this.#end;
    this.#endSent = end;
    return { offset, data, end };
  }

  /** What was sent and not taken may be lost. */
  again(): void {
    this.#sent = this.#from;
    this.#endSent = this.#endTaken;
  }

  /** The far side has taken everything before `offset`, which counts the end as one more. True where that is news. */
  took(offset: number): boolean {
    if (this.#ended && offset > this.#end) this.#endTaken = true;
    let rest = Math.min(offset, this.#end) - this.#from;
    if (rest <= 0) return false;
    this.#from += rest;
    this.#sent = Math.max(this.#sent, this.#from);
    while (rest > 0) {
      const [first = new Uint8Array()] = this.#pieces;
      if (first.length > rest) {
        this.#pieces[0] = first.subarray(rest);
        break;
      }
      rest -= first.length;
      this.#pieces.shift();
    }
    this.#wake();
    return true;
  }

  close(): void {
    this.#closed = true;
    this.#pieces = [];
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }

  #read(offset: number, length: number): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(length);
    let at = this.#from;
    let filled = 0;
    for (const piece of this.#pieces) {
      if (filled === length) break;
      const skip = Math.max(0, offset - at);
      if (skip < piece.length) {
        const part = piece.subarray(skip, skip + length - filled);
        bytes.set(part, filled);
        filled += part.length;
      }
      at += piece.length;
    }
    return bytes;
  }
}
