import type { OutputFile } from '../io/output-file.ts';
import { BULK, type Read } from '../protocol/agent-link.ts';
import { write } from '../protocol/envelope.ts';
import { Fault } from '../protocol/faults.ts';
import { LIMITS } from '../protocol/limits.ts';

/** The one that asked longest ago is dropped for a newer one. */
const READERS = 256;
/** Pieces underway at once, over all readers: what may lie before a report on the connection (128 kB). */
const UNDERWAY = 4;

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
  /** Undefined until the end of the file was looked up. */
  next: number | undefined;
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
  #underway = 0;
  #waiting: (() => void)[] = [];

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
    const reader: Reader = {
      grant,
      ...found,
      next: grant.from >= 0 ? grant.from : undefined,
      until: grant.from >= 0 ? Math.min(grant.until, grant.from + LIMITS.creditBytes) : grant.until,
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

  /** A start has ended: whoever follows it hears the end. */
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
      () => {
        if (this.#readers.get(key) === reader) this.#end(key);
      },
    );
  }

  async #run(key: string, reader: Reader): Promise<void> {
    const { file, grant } = reader;
    let next = reader.next;
    if (next === undefined) {
      const size = (await file.size()) ?? 0;
      next = Math.max(0, size + grant.from);
      reader.until = Math.min(reader.until, next + LIMITS.creditBytes);
    }
    while (!reader.done && next < reader.until) {
      // Asked before the read: what is written after the end was seen cannot be missed.
      const alive = reader.alive();
      const chunk = await file.read(next, Math.min(LIMITS.chunkBytes, reader.until - next));
      const bytes = chunk?.bytes ?? new Uint8Array();
      const offset: number = chunk === undefined ? next : Math.max(chunk.offset, next);
      const last = offset + bytes.length >= (chunk?.end ?? 0) && (!alive || !grant.follow);
      if (bytes.length === 0 && !last && offset === next) break;
      await this.#send(grant, offset, bytes, last);
      next = offset + bytes.length;
      if (last) {
        if (!reader.done) this.#end(key);
        return;
      }
    }
    reader.next = next;
  }

  /** Waits for its turn among all pieces. */
  async #turn(): Promise<void> {
    if (this.#underway < UNDERWAY) this.#underway++;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  #turnOver(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#underway--;
    else next();
  }

  async #send(
    { request, client, session }: Read,
    offset: number,
    data: Uint8Array,
    end: boolean,
    fault?: Fault,
  ): Promise<void> {
    await this.#turn();
    try {
      // A Buffer would be written as one: the copy is a plain array of bytes.
      const piece = { request, client, session, offset, data: new Uint8Array(data), end };
      await this.#world.send(write(BULK, { type: 'CHUNK', ...piece, ...(fault === undefined ? {} : { fault }) }));
    } finally {
      this.#turnOver();
    }
  }
}
