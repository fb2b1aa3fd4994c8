import type { OutputFile } from '../io/output-file.ts';
import { BULK, type Read } from '../protocol/agent-link.ts';
import { write } from '../protocol/envelope.ts';
import { Fault } from '../protocol/faults.ts';
import { LIMITS } from '../protocol/limits.ts';

const READERS = 256;

export interface OutputWorld {
  /** The newest start of a run: its output, and whether more may come; undefined where nothing is known of it. */
  readonly find: (
    framework: string,
    task: string,
    attempt: number,
    stream: 'stdout' | 'stderr',
  ) => { file: OutputFile; alive: () => boolean } | undefined;
  /** Sends on `agents/<name>/bulk`; resolves when the broker has it, rejects without a connection. */
  readonly send: (payload: Uint8Array) => Promise<void>;
}

interface Reader {
  readonly grant: Read;
  readonly file: OutputFile;
  readonly alive: () => boolean;
  next: number;
  until: number;
  pumping: boolean;
  again: boolean;
  done: boolean;
  unwatch: (() => void) | undefined;
}

/**
 * Sends output to readers: as much as each has granted, from absolute offsets, one piece underway a reader, so that it
 * never delays control. A later READ of the same request replaces the grant.
 */
export class OutputStreams {
  readonly #world: OutputWorld;
  readonly #readers = new Map<string, Reader>();

  constructor(world: OutputWorld) {
    this.#world = world;
  }

  async read(grant: Read): Promise<void> {
    const key = `${grant.client}/${grant.session}/${grant.request}`;
    this.#end(key);
    if (grant.from >= 0 && grant.until <= grant.from) return;
    const found = this.#world.find(grant.framework, grant.task, grant.attempt, grant.stream);
    if (found === undefined) {
      await this.#send(
        grant,
        0,
        new Uint8Array(),
        true,
        new Fault('NOT_FOUND', `this agent keeps no output of ${grant.task}`, 'It was removed, or never began.'),
      );
      return;
    }
    const size = (await found.file.size()) ?? 0;
    const next = grant.from >= 0 ? grant.from : Math.max(0, size + grant.from);
    const reader: Reader = {
      grant,
      ...found,
      next,
      until: Math.min(grant.until, next + LIMITS.creditBytes),
      pumping: false,
      again: false,
      done: false,
      unwatch: undefined,
    };
    this.#readers.set(key, reader);
    for (const oldest of this.#readers.keys()) {
      if (this.#readers.size <= READERS) break;
      this.#end(oldest);
    }
    if (grant.follow) reader.unwatch = found.file.watch(() => this.#pump(key, reader));
    this.#pump(key, reader);
  }

  /** A run has ended: whoever follows it hears the end. */
  ended(framework: string, task: string, attempt: number): void {
    for (const [key, reader] of this.#readers) {
      const { grant } = reader;
      if (grant.framework === framework && grant.task === task && grant.attempt === attempt) this.#pump(key, reader);
    }
  }

  /** Readers ask again when they are connected again. */
  stop(): void {
    for (const key of [...this.#readers.keys()]) this.#end(key);
  }

  #end(key: string): void {
    const reader = this.#readers.get(key);
    if (reader === undefined) return;
    reader.done = true;
    reader.unwatch?.();
    this.#readers.delete(key);
  }

  #pump(key: string, reader: Reader): void {
    if (reader.pumping) {
      reader.again = true;
      return;
    }
    reader.pumping = true;
    this.#run(key, reader).then(
      () => {
        reader.pumping = false;
        if (!reader.again || reader.done) return;
        reader.again = false;
        this.#pump(key, reader);
      },
      // No connection, or an unreadable file: the reader asks again from where it is.
      () => this.#end(key),
    );
  }

  async #run(key: string, reader: Reader): Promise<void> {
    const { file, grant } = reader;
    while (!reader.done && reader.next < reader.until) {
      // Asked before the read: what is written after the end was seen cannot be missed.
      const alive = reader.alive();
      const chunk = await file.read(reader.next, Math.min(LIMITS.chunkBytes, reader.until - reader.next));
      const bytes = chunk?.bytes ?? new Uint8Array();
      const offset = chunk === undefined ? reader.next : Math.max(chunk.offset, reader.next);
      const last = offset + bytes.length >= (chunk?.end ?? 0) && (!alive || !grant.follow);
      if (bytes.length === 0 && !last && offset === reader.next) return;
      reader.next = offset + bytes.length;
      await this.#send(grant, offset, bytes, last);
      if (last) {
        this.#end(key);
        return;
      }
    }
  }

  #send(
    { request, client, session }: Read,
    offset: number,
    data: Uint8Array,
    end: boolean,
    fault?: Fault,
  ): Promise<void> {
    const piece = {
      type: 'CHUNK' as const,
      request,
      client,
      session,
      offset,
      data: new Uint8Array(data),
      end,
      ...(fault === undefined ? {} : { fault }),
    };
    return this.#world.send(write(BULK, piece));
  }
}
