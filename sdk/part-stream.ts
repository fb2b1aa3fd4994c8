/** A queue between callbacks and one `for await`: what is pushed before the end is delivered before it. */
export class PartStream<Part> implements AsyncIterable<Part> {
  #parts: Part[] = [];
  #ended = false;
  #wake: (() => void) | undefined;

  push(part: Part): void {
    if (!this.#ended) this.#parts.push(part);
    this.#wake?.();
  }

  end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Part> {
    for (;;) {
      const parts = this.#parts;
      this.#parts = [];
      yield* parts;
      if (this.#parts.length > 0) continue;
      if (this.#ended) return;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}
