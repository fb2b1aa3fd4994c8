import { BULK, type Chunk } from '../protocol/agent-link.ts';
import { read } from '../protocol/envelope.ts';
import type { ExecOutput } from '../protocol/exec.ts';
import { Fault } from '../protocol/faults.ts';

/** Hands the pieces of output that reach a client to whoever reads that stream. */
export class ChunkRouter {
  readonly #readers = new Map<string, (chunk: Chunk) => void>();
  readonly #sessions = new Map<string, (output: ExecOutput) => void>();

  /** Until the returned function is called. */
  listen(reader: string, handler: (chunk: Chunk) => void): () => void {
    this.#readers.set(reader, handler);
    return () => this.#readers.delete(reader);
  }

  /** To the session's own words, until the returned function is called. */
  listenTo(session: string, handler: (output: ExecOutput) => void): () => void {
    this.#sessions.set(session, handler);
    return () => this.#sessions.delete(session);
  }

  received(payload: Uint8Array): void {
    const received = payload.length === 0 ? undefined : read(BULK, payload);
    if (received === undefined || received instanceof Fault) return;
    const { message } = received;
    if (message.type === 'CHUNK') this.#readers.get(message.request)?.(message);
    else this.#sessions.get(message.request)?.(message);
  }

  close(): void {
    this.#readers.clear();
    this.#sessions.clear();
  }
}
