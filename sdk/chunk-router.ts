import { BULK, type Chunk } from '../protocol/agent-link.ts';
import { read } from '../protocol/envelope.ts';
import { Fault } from '../protocol/faults.ts';

/** Hands the pieces of output that reach a client to whoever reads that stream. */
export class ChunkRouter {
  readonly #readers = new Map<string, (chunk: Chunk) => void>();

  /** Until the returned function is called. */
  listen(reader: string, handler: (chunk: Chunk) => void): () => void {
    this.#readers.set(reader, handler);
    return () => this.#readers.delete(reader);
  }

  received(payload: Uint8Array): void {
    const received = payload.length === 0 ? undefined : read(BULK, payload);
    if (received === undefined || received instanceof Fault) return;
    this.#readers.get(received.message.request)?.(received.message);
  }

  close(): void {
    this.#readers.clear();
  }
}
