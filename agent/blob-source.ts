import { ArtifactError, type ArtifactReading, type ArtifactSource } from '../io/artifact-source.ts';
import type { Clock } from '../io/clock.ts';
import type { Digest } from '../io/digest.ts';
import { type Block, blobOf, readList, readRoot } from '../protocol/blob.ts';
import { AGENT_BLOCKS } from '../protocol/blob-link.ts';
import { read } from '../protocol/envelope.ts';
import { Fault } from '../protocol/faults.ts';
import { LIMITS } from '../protocol/limits.ts';
import { shownBlob } from '../protocol/shown-uri.ts';

/**
 * A block that did not come is asked for again after this long, for another master may lead by then; on a slow link after
 * three times what blocks have taken, and each time twice as late, for one that comes twice holds up the others.
 */
const AGAIN_MS = 5_000;
const LATER = 3;
/** What a block took is forgotten by and by. */
const FADING = 0.8;
/** Blocks of which is known that they may come once more. */
const REMEMBERED = 16;
/** Nothing came for so long: whoever reads tries later, from where it is. */
const PATIENCE_MS = 120_000;

export interface BlobSourceWorld {
  readonly clock: Clock;
  readonly digest: Digest;
  /** Hears what comes on the agent's topic for blocks, from now on; resolves once it does. */
  readonly listen: (handler: (payload: Uint8Array) => void) => Promise<unknown>;
  /** Asks the leader for blocks (READ_BLOCKS); what is lost is asked for again. */
  readonly ask: (blob: string, blocks: readonly string[]) => void;
}

interface Wanted {
  readonly blob: string;
  readonly hash: string;
  readonly came: (bytes: Uint8Array) => void;
  readonly failed: (error: ArtifactError) => void;
}

/**
 * Reads what was uploaded to the masters (`blob:<sha256>`): a block at a time or two, each verified, from any offset. It
 * goes on over reconnects and new leaders.
 */
export class BlobSource implements ArtifactSource {
  readonly #world: BlobSourceWorld;
  readonly #wanted = new Map<string, Set<Wanted>>();
  /** Blocks asked for, over all readings: what may lie before a command on the connection. */
  #underway = 0;
  readonly #queue: (() => void)[] = [];
  /** What a block has taken of late, and when the last one came. */
  #tookMs = 0;
  #cameMs = 0;
  /** Of blocks that were asked for again and came: how long after the first time. One that comes twice was only late. */
  readonly #repeated = new Map<string, number>();
  #listening: Promise<unknown> | undefined;

  constructor(world: BlobSourceWorld) {
    this.#world = world;
  }

  takes(uri: string): boolean {
    return blobOf(uri) !== undefined;
  }

  async read(uri: string, from: number, version: string | undefined, signal: AbortSignal): Promise<ArtifactReading> {
    const blob = blobOf(uri) ?? '';
    this.#listening ??= this.#world.listen((payload) => this.#received(payload));
    await this.#listening;
    const root = readRoot(await this.#block(blob, blob, signal));
    if (root instanceof Fault) throw new ArtifactError(`the upload ${shownBlob(blob)} is none: ${root.message}`, false);
    const begin = from > root.size || (version !== undefined && version !== blob) ? 0 : from;
    return { from: begin, size: root.size, version: blob, bytes: this.#content(blob, root.lists, begin, signal) };
  }

  async *#content(
    blob: string,
    lists: readonly Block[],
    from: number,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array> {
    const leaving = new AbortController();
    const leave = (): void => leaving.abort();
    signal.addEventListener('abort', leave);
    if (signal.aborted) leave();
    try {
      yield* this.#blocks(blob, lists, from, leaving.signal);
    } finally {
      signal.removeEventListener('abort', leave);
      // What was asked for ahead is waited for by nobody.
      leave();
    }
  }

  async *#blocks(blob: string, lists: readonly Block[], from: number, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    let at = 0;
    for (const { hash, size } of lists) {
      if (at + size <= from) {
        at += size;
        continue;
      }
      const blocks = readList(await this.#block(blob, hash, signal), size);
      if (blocks instanceof Fault)
        throw new ArtifactError(`the upload ${shownBlob(blob)} is none: ${blocks.message}`, false);
      const starts: number[] = [];
      for (const block of blocks) {
        starts.push(at);
        at += block.size;
      }
      const first = blocks.findIndex((block, index) => (starts[index] ?? 0) + block.size > from);
      const ahead: Promise<Uint8Array>[] = [];
      let next = first;
      for (let index = first; index < blocks.length; index++) {
        for (; next < blocks.length && ahead.length < LIMITS.blockWindow; next++) {
          const bytes = this.#block(blob, blocks[next]?.hash ?? '', signal);
          // Who waits for it hears of it; nobody may be by then.
          bytes.catch(() => undefined);
          ahead.push(bytes);
        }
        const bytes = await ahead.shift();
        const start = starts[index] ?? 0;
        if (bytes !== undefined) yield start < from ? bytes.subarray(from - start) : bytes;
      }
    }
  }

  /** One block, verified; asked for again until it comes. */
  async #block(blob: string, hash: string, signal: AbortSignal): Promise<Uint8Array> {
    await this.#turn();
    try {
      return await this.#ask(blob, hash, signal);
    } finally {
      this.#turnOver();
    }
  }

  #ask(blob: string, hash: string, signal: AbortSignal): Promise<Uint8Array> {
    const { clock, ask } = this.#world;
    return new Promise((resolve, reject) => {
      const begun = clock.monotonic();
      const settle = (): void => {
        timer.cancel();
        signal.removeEventListener('abort', aborted);
        const others = this.#wanted.get(hash);
        others?.delete(wanted);
        if (others?.size === 0) this.#wanted.delete(hash);
      };
      const failed = (error: ArtifactError): void => {
        settle();
        reject(error);
      };
      const aborted = (): void => failed(new ArtifactError('nobody needs it any more', true));
      let times = 1;
      let askedMs = begun;
      const again = (): void => {
        if (clock.monotonic() - Math.max(begun, this.#cameMs) > PATIENCE_MS)
          return failed(new ArtifactError(`no master gives the upload ${shownBlob(blob)}`, true));
        // What was asked for later comes later, too.
        const [oldest] = this.#wanted.keys();
        const silentMs = clock.monotonic() - Math.max(askedMs, this.#cameMs);
        if (oldest === hash && silentMs >= Math.max(AGAIN_MS, LATER * this.#tookMs) * times) {
          ask(blob, [hash]);
          askedMs = clock.monotonic();
          times *= 2;
        }
        timer = clock.after(AGAIN_MS, again);
      };
      const came = (bytes: Uint8Array): void => {
        settle();
        this.#cameMs = clock.monotonic();
        // Asked for twice it was lost, or late: if late, it comes once more, and is known as such then.
        this.#tookMs = Math.max(this.#cameMs - askedMs, FADING * this.#tookMs);
        if (times > 1) this.#remember(hash, this.#cameMs - begun);
        resolve(bytes);
      };
      const wanted: Wanted = { blob, hash, came, failed };
      this.#wanted.set(hash, (this.#wanted.get(hash) ?? new Set()).add(wanted));
      let timer = clock.after(AGAIN_MS, again);
      signal.addEventListener('abort', aborted);
      if (signal.aborted) aborted();
      else ask(blob, [hash]);
    });
  }

  #received(payload: Uint8Array): void {
    const taken = payload.length === 0 ? undefined : read(AGENT_BLOCKS, payload);
    if (taken === undefined || taken instanceof Fault) return;
    const { block, data, fault } = taken.message;
    if (data !== undefined) {
      // By what it is, not by what it is said to be: a damaged block answers nothing.
      const hash = this.#world.digest.sha256(data);
      const waiting = this.#wanted.get(hash);
      if (waiting === undefined) this.#cameTwice(hash);
      else for (const { came } of [...waiting]) came(data);
      return;
    }
    if (fault === undefined) return;
    const error = new ArtifactError(fault.message, fault.code !== 'NOT_ALLOWED');
    for (const { failed } of [...(this.#wanted.get(block) ?? [])]) failed(error);
  }

  #remember(hash: string, tookMs: number): void {
    this.#repeated.set(hash, tookMs);
    for (const oldest of this.#repeated.keys()) {
      if (this.#repeated.size <= REMEMBERED) break;
      this.#repeated.delete(oldest);
    }
  }

  #cameTwice(hash: string): void {
    this.#tookMs = Math.max(this.#tookMs, this.#repeated.get(hash) ?? 0);
    this.#repeated.delete(hash);
  }

  async #turn(): Promise<void> {
    if (this.#underway < LIMITS.blockWindow) this.#underway++;
    else await new Promise<void>((resolve) => this.#queue.push(resolve));
  }

  #turnOver(): void {
    const next = this.#queue.shift();
    if (next === undefined) this.#underway--;
    else next();
  }
}
