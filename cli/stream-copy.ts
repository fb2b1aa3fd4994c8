import { Fault } from '../protocol/faults.ts';
import type { Client, OutputPiece, ReadOutputOptions } from '../sdk/index.ts';
import { type Settleable, settleable } from './settleable.ts';
import type { Sink } from './terminal.ts';

/** How a copy ended: all there was, a fault of the cluster, or nobody reads our side any more. */
export type CopyEnd = 'done' | 'unread' | Fault;

/**
 * Copies one stream of a task to a sink, at the sink's pace. It ends at the end of the stream, at `endAt` where that is
 * told, or when it is stopped.
 */
export class StreamCopy {
  readonly ended: Promise<CopyEnd>;
  readonly #sink: Sink;
  readonly #pieces: AsyncIterator<OutputPiece | Fault>;
  readonly #stopped: Settleable<undefined> = settleable();
  readonly #onDropped: (bytes: number) => void;
  #offset: number;
  #endAt = Number.POSITIVE_INFINITY;

  constructor(client: Client, options: ReadOutputOptions, sink: Sink, onDropped: (bytes: number) => void) {
    this.#sink = sink;
    this.#onDropped = onDropped;
    this.#offset = Math.max(0, options.from ?? 0);
    this.#pieces = client.readOutput(options)[Symbol.asyncIterator]();
    this.ended = this.#copy();
  }

  /** Tells how long the stream is in the end: what has been copied so far may be all of it. */
  endAt(offset: number): void {
    this.#endAt = offset;
    if (this.#offset >= offset) this.stop();
  }

  stop(): void {
    this.#stopped.settle(undefined);
  }

  async #copy(): Promise<CopyEnd> {
    while (this.#offset < this.#endAt) {
      const next = await Promise.race([this.#pieces.next(), this.#stopped.promise]);
      if (next === undefined || next.done === true) break;
      const piece = next.value;
      if (piece instanceof Fault) return piece;
      if (piece.dropped > 0) this.#onDropped(piece.dropped);
      this.#offset = piece.offset + piece.bytes.length;
      if (piece.bytes.length > 0 && !(await this.#sink.write(piece.bytes))) {
        this.#leave();
        return 'unread';
      }
      if (piece.end) return 'done';
    }
    this.#leave();
    return 'done';
  }

  /** A generator that waits for its next piece returns only with it: nobody waits for that here. */
  #leave(): void {
    this.#pieces.return?.().catch(() => {});
  }
}
