import type { Clock } from '../io/clock.ts';
import type { OutputFile } from '../io/output-file.ts';
import type { NoSandboxFile, SandboxFile } from '../io/sandbox-files.ts';
import { BULK, type Chunk, type Read, type ReadFile } from '../protocol/agent-link.ts';
import { write } from '../protocol/envelope.ts';
import { Fault } from '../protocol/faults.ts';
import { LIMITS } from '../protocol/limits.ts';
import type { BulkBudget } from './bulk-budget.ts';
import { PieceSize } from './pace/piece-size.ts';

/** The one that asked longest ago is dropped for a newer one. */
const READERS = 256;
/** Pieces underway at once, over all readers: what may lie before a report on the connection (128 kB). */
const UNDERWAY = 4;

/** Shorter pieces are not deflated, nor those that stay longer than this part of what they were. */
const WORTH_BYTES = 256;
const WORTH = 0.9;
/** What is packed well may be so much longer than pieces are to be: its length is known only then. */
const ROOMY = 2;

export interface OutputWorld {
  /** A start of a run, the newest unless told: its output, and whether more may come; undefined where nothing is kept of it. */
  readonly find: (
    framework: string,
    task: string,
    attempt: number,
    stream: 'stdout' | 'stderr',
    restart: number | undefined,
  ) => { file: OutputFile; alive: () => boolean } | undefined;
  /** Opens a file of a run's sandbox; undefined where nothing is known of the run. */
  readonly openFile: (
    framework: string,
    task: string,
    attempt: number,
    path: string,
  ) => Promise<SandboxFile | NoSandboxFile | undefined>;
  readonly clock: Pick<Clock, 'monotonic'>;
  /** Sends on `agents/<name>/bulk`; resolves when the broker has it, rejects without a connection. */
  readonly send: (payload: Uint8Array) => Promise<void>;
  /** Makes pieces smaller for a leader that takes them so; absent: they are sent as they are. */
  readonly deflate?: ((bytes: Uint8Array) => Promise<Uint8Array>) | undefined;
  /** The same by Brotli, which is asked for first: the link costs more than the processor. */
  readonly brotli?: ((bytes: Uint8Array) => Promise<Uint8Array>) | undefined;
  /** What pieces draw on. */
  readonly budget: BulkBudget;
}

type Grant = Read | ReadFile;
/** The field of CHUNK that says so. */
type Packing = 'deflated' | 'brotli';

/** What of a read goes out in one chunk. */
interface Piece {
  readonly bytes: Uint8Array;
  /** Undefined: as it is. */
  readonly packed: Uint8Array | undefined;
}

/** What a grant is served from. */
interface Source {
  readonly file: Pick<OutputFile, 'size' | 'read'>;
  readonly alive: () => boolean;
  /** Goes with every chunk. */
  readonly about?: Chunk['file'];
  readonly watch?: (listener: () => void) => () => void;
  readonly close?: () => void;
}

interface Reader {
  readonly grant: Grant;
  readonly source: Source;
  /** Undefined until the end of the file was looked up. */
  next: number | undefined;
  until: number;
  /** So far it was worth it. */
  packing: Packing | undefined;
  pumping: boolean;
  again: boolean;
  done: boolean;
  unwatch: (() => void) | undefined;
}

/**
 * Sends output to readers: as much as each has granted, from absolute offsets, two pieces underway a reader, each as short
 * as the link needs it so that control does not wait (pace/). A later READ of the same request replaces the grant.
 */
export class OutputStreams {
  readonly #world: OutputWorld;
  readonly #readers = new Map<string, Reader>();
  /** The newest grant of each reader whose file is being opened. */
  readonly #opening = new Map<string, Grant>();
  #underway = 0;
  #waiting: (() => void)[] = [];
  readonly #size = new PieceSize(LIMITS.chunkBytes);

  constructor(world: OutputWorld) {
    this.#world = world;
  }

  async read(grant: Grant): Promise<void> {
    const key = `${grant.client}/${grant.session}/${grant.request}`;
    this.#end(key);
    this.#opening.delete(key);
    if (grant.from >= 0 && grant.until <= grant.from) return;
    const source = grant.type === 'READ' ? this.#output(grant) : await this.#open(key, grant);
    if (source instanceof Fault) await this.#send(grant, 0, new Uint8Array(), true, { fault: source });
    else if (source !== undefined) this.#begin(key, grant, source);
  }

  #begin(key: string, grant: Grant, source: Source): void {
    const reader: Reader = {
      grant,
      source,
      next: grant.from >= 0 ? grant.from : undefined,
      until: grant.from >= 0 ? Math.min(grant.until, grant.from + LIMITS.creditBytes) : grant.until,
      packing: this.#packingOf(grant),
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
    if (follows(grant)) reader.unwatch = source.watch?.(() => this.#pump(key, reader));
    this.#pump(key, reader);
  }

  #packingOf({ deflate, brotli }: Grant): Packing | undefined {
    if (brotli && this.#world.brotli !== undefined) return 'brotli';
    return deflate && this.#world.deflate !== undefined ? 'deflated' : undefined;
  }

  #output({ framework, task, attempt, stream, restart }: Read): Source | Fault {
    const found = this.#world.find(framework, task, attempt, stream, restart);
    return found === undefined ? nothingOf(task) : { ...found, watch: (listener) => found.file.watch(listener) };
  }

  /** Undefined where a newer grant of the same reader came meanwhile, or too many wait: the reader asks again. */
  async #open(key: string, grant: ReadFile): Promise<Source | Fault | undefined> {
    const { framework, task, attempt, path } = grant;
    if (this.#opening.size >= READERS) return undefined;
    this.#opening.set(key, grant);
    const opened = await this.#world.openFile(framework, task, attempt, path);
    const wanted = this.#opening.get(key) === grant;
    if (wanted) this.#opening.delete(key);
    if (opened === undefined || typeof opened === 'string')
      return wanted ? (opened === undefined ? nothingOf(task) : refusal(path, opened)) : undefined;
    if (wanted) return sourceOf(opened);
    await opened.close();
    return undefined;
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
    this.#opening.clear();
    for (const key of [...this.#readers.keys()]) this.#end(key);
  }

  #end(key: string): void {
    const reader = this.#readers.get(key);
    if (reader === undefined) return;
    reader.done = true;
    reader.unwatch?.();
    reader.source.close?.();
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
    const { source, grant } = reader;
    const { file, alive: lives, about } = source;
    let next = reader.next;
    if (next === undefined) {
      const size = (await file.size()) ?? 0;
      next = Math.max(0, size + grant.from);
      reader.until = Math.min(reader.until, next + LIMITS.creditBytes);
    }
    let before: Promise<void> = Promise.resolve();
    while (!reader.done && next < reader.until) {
      // Asked before the read: what is written after the end was seen cannot be missed.
      const alive = lives();
      // On a metered link what counts is how long a piece is when it is packed.
      const most = reader.packing === 'brotli' ? LIMITS.chunkBytes : this.#size.bytes;
      const chunk = await file.read(next, Math.min(most, reader.until - next));
      const { bytes, packed } = await this.#piece(reader, chunk?.bytes ?? new Uint8Array());
      const offset: number = chunk === undefined ? next : Math.max(chunk.offset, next);
      const last = offset + bytes.length >= (chunk?.end ?? 0) && (!alive || !follows(grant));
      if (bytes.length === 0 && !last && offset === next) break;
      const spent = grant.overBudget ? undefined : this.#world.budget.may((packed ?? bytes).length);
      if (spent !== undefined) {
        if (!reader.done) this.#end(key);
        await before;
        return await this.#send(grant, next, new Uint8Array(), true, { fault: spent });
      }
      const more = about === undefined ? {} : { file: about };
      // Before it is sent: the next piece is asked for while this one is underway.
      this.#world.budget.spent((packed ?? bytes).length);
      const sending =
        packed === undefined || reader.packing === undefined
          ? this.#send(grant, offset, bytes, last, more)
          : this.#send(grant, offset, packed, last, { ...more, [reader.packing]: bytes.length });
      // Awaited with the next one; a failure is not to be unheard until then.
      sending.catch(() => undefined);
      await before;
      before = sending;
      next = offset + bytes.length;
      if (last) {
        await before;
        if (!reader.done) this.#end(key);
        return;
      }
    }
    await before;
    reader.next = next;
  }

  /** As much of `bytes` as may go out at once. */
  async #piece(reader: Reader, bytes: Uint8Array): Promise<Piece> {
    const packed = await this.#packed(reader, bytes);
    const room = this.#size.bytes;
    if (bytes.length <= room || (packed ?? bytes).length <= room * ROOMY) return { bytes, packed };
    const fewer = bytes.subarray(0, room);
    return { bytes: fewer, packed: await this.#packed(reader, fewer) };
  }

  /** Undefined where it would not become much smaller; what is packed already is not tried again. */
  async #packed(reader: Reader, bytes: Uint8Array): Promise<Uint8Array | undefined> {
    const { brotli, deflate } = this.#world;
    if (reader.packing === undefined || bytes.length < WORTH_BYTES) return undefined;
    const packed = await (reader.packing === 'brotli' ? brotli : deflate)?.(bytes);
    if (packed === undefined || packed.length > bytes.length * WORTH) {
      reader.packing = undefined;
      return undefined;
    }
    return packed;
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
    { request, client, session }: Grant,
    offset: number,
    data: Uint8Array,
    end: boolean,
    more: Pick<Chunk, 'file' | 'fault' | Packing>,
  ): Promise<void> {
    await this.#turn();
    try {
      // A Buffer would be written as one: the copy is a plain array of bytes.
      const piece = { request, client, session, offset, data: new Uint8Array(data), end };
      const sinceMs = this.#world.clock.monotonic();
      await this.#world.send(write(BULK, { type: 'CHUNK', ...piece, ...more }));
      this.#size.sent(this.#world.clock.monotonic() - sinceMs);
    } finally {
      this.#turnOver();
    }
  }
}

function follows(grant: Grant): boolean {
  return grant.type === 'READ' && grant.follow;
}

function nothingOf(task: string): Fault {
  return new Fault('NOT_FOUND', `this agent keeps no output of ${task}`, 'It was removed, or never began.');
}

/** Its size at the beginning counts; where it has become shorter, its end is told where it is now. */
function sourceOf(opened: SandboxFile): Source {
  const { size, inode } = opened;
  return {
    file: {
      size: () => Promise.resolve(size),
      read: async (offset, length) => {
        const bytes = await opened.read(offset, Math.max(0, Math.min(length, size - offset)));
        return { offset, bytes, end: bytes.length === 0 ? offset : size };
      },
    },
    alive: () => false,
    about: { size, inode },
    // Nothing was written: what close says matters to nobody.
    close: () => void opened.close().catch(() => {}),
  };
}

function refusal(path: string, why: NoSandboxFile): Fault {
  const file = JSON.stringify(path);
  switch (why) {
    case 'missing':
      return new Fault('NOT_FOUND', `there is no file ${file} in the sandbox`, 'Paths are relative to the sandbox.');
    case 'outside':
      return new Fault('NOT_ALLOWED', `${file} leads out of the sandbox`, 'Let the task copy it into its sandbox.');
    case 'irregular':
      return new Fault(
        'BAD_USAGE',
        `${file} is no regular file`,
        'Fetch files one by one, or let the task pack a folder into one (tar).',
      );
    case 'unreadable':
      return new Fault(
        'NOT_ALLOWED',
        `the agent may not read ${file}`,
        "Its user needs the right to read the task's file.",
      );
  }
}
