import type { Clock } from '../io/clock.ts';
import { TOO_LARGE_HINT, tooLarge } from '../protocol/blob.ts';
import { Fault } from '../protocol/faults.ts';
import { LIMITS } from '../protocol/limits.ts';
import { LooseBlocks } from './blobs/loose-blocks.ts';
import type { Blobs } from './blobs.ts';

const HINT = 'Cancel jobs that are not needed, or give the masters more room with --blobs.';
/** Tidying looks at every block there is: for one owner it is not begun again so soon. */
const PAUSE_MS = 1_000;

/**
 * Who may bring in how much: nobody more than there is room for, and one owner no more than their share, of which what their live
 * jobs name and what they have brought in and not completed is a part. Of the latter a new leader knows nothing.
 */
export class UploadRoom {
  readonly #blobs: Blobs;
  readonly #loose = new LooseBlocks();
  /** Owner → room of what is being written for them. */
  readonly #writing = new Map<string, number>();
  /** Owner → room of what live jobs name, when it was last looked for. */
  readonly #named = new Map<string, number>();
  readonly #clock: Clock;
  /** Owner → the tidying that is to come, for whatever they have asked meanwhile; and the end of the pause before it. */
  readonly #next = new Map<string, { room: number; readonly done: Promise<void> }>();
  readonly #rested = new Map<string, Promise<void>>();

  constructor(blobs: Blobs, clock: Clock) {
    this.#blobs = blobs;
    this.#clock = clock;
  }

  /** Before anything of an upload is taken. Makes room for it. Rejects with a StorageError. */
  async admit(blob: string, size: number, owner: string): Promise<Fault | undefined> {
    const { store, capBytes } = this.#blobs;
    if (size > LIMITS.uploadBytes) return new Fault('TOO_LARGE', tooLarge(size), TOO_LARGE_HINT);
    const fault = await this.share(blob, size, owner);
    if (fault !== undefined) return fault;
    // What its owner has brought in before is most likely a part of it: what comes is looked at once more.
    const wanted = Math.max(0, withLists(size) - this.#loose.roomOf(owner));
    if (store.bytes + wanted > capBytes) await this.#tidy(owner, wanted);
    return store.bytes + wanted <= capBytes || store.kept.has(blob) ? undefined : noRoom(capBytes);
  }

  /** Why it would be more than its owner's share; undefined where it is not. */
  async share(blob: string, size: number, owner: string): Promise<Fault | undefined> {
    const { collector } = this.#blobs;
    const { ownerBytes } = collector;
    const named = this.#namedRoom(blob, owner);
    this.#named.set(owner, named);
    this.#settle(owner);
    if (named + size > ownerBytes)
      return new Fault(
        'LIMIT',
        `live jobs of ${owner} hold ${mb(named)} of uploads, and may hold ${mb(ownerBytes)}; this is ${mb(size)}`,
        HINT,
      );
    // Much of it may be there: what is brought in decides.
    if (named + this.#loose.roomOf(owner) + size > ownerBytes) {
      await this.#tidy(owner, 0);
      this.#settle(owner);
    }
    return undefined;
  }

  /** One block more of `owner`; where it is taken, `written` follows. */
  take(owner: string, bytes: number): Fault | undefined {
    const { store, capBytes, collector } = this.#blobs;
    const room = store.roomOf(bytes);
    if (store.bytes + room > capBytes) return noRoom(capBytes);
    const named = this.#named.get(owner) ?? 0;
    const writing = this.#writing.get(owner) ?? 0;
    const loose = this.#loose.roomOf(owner) + writing;
    if (named + loose + room > collector.ownerBytes)
      return new Fault(
        'LIMIT',
        `uploads that ${owner} did not complete hold ${mb(loose)}, live jobs ${mb(named)}, of the ${mb(collector.ownerBytes)} that they may`,
        'Wait ten minutes: then what was left in the middle makes room.',
      );
    this.#writing.set(owner, writing + room);
    return undefined;
  }

  /** What was taken is on the disk, or could not be written. */
  written(owner: string, hash: string, bytes: number): void {
    const room = this.#blobs.store.roomOf(bytes);
    const left = (this.#writing.get(owner) ?? 0) - room;
    if (left > 0) this.#writing.set(owner, left);
    else this.#writing.delete(owner);
    if (this.#blobs.store.blocks.has(hash)) this.#loose.add(owner, hash, room);
  }

  /** These belong to something that is kept: they count as that, for whoever completed it. */
  completed(hashes: readonly string[]): void {
    this.#loose.complete(hashes);
  }

  get hasLoose(): boolean {
    return this.#loose.any;
  }

  #namedRoom(blob: string, owner: string): number {
    const { store } = this.#blobs;
    const named = this.#blobs.named();
    let room = 0;
    for (const [kept, note] of store.kept)
      if (note.owner === owner && kept !== blob && named.has(kept)) room += note.room;
    return room;
  }

  /** Removes what may go where `room` more bytes of the owner need it, and what they left in the middle. Rejects with a StorageError. */
  #tidy(owner: string, room: number): Promise<void> {
    const next = this.#next.get(owner);
    if (next !== undefined) {
      next.room = Math.max(next.room, room);
      return next.done;
    }
    const rested = this.#rested.get(owner) ?? Promise.resolve();
    const done = rested.then(() => {
      const wanted = this.#next.get(owner)?.room ?? room;
      this.#next.delete(owner);
      const claim = { owner, loose: this.#loose.rooms };
      return this.#blobs.collector.collect(wanted, this.#loose.of(owner), claim);
    });
    this.#next.set(owner, { room, done });
    const pause = (): Promise<void> => new Promise((resolve) => this.#clock.after(PAUSE_MS, resolve));
    const after = done.then(pause, pause).then(() => {
      if (this.#rested.get(owner) === after) this.#rested.delete(owner);
    });
    this.#rested.set(owner, after);
    return done;
  }

  /** What is not there any more takes no room. */
  #settle(owner: string): void {
    const { blocks } = this.#blobs.store;
    this.#loose.remove(
      owner,
      [...this.#loose.of(owner)].filter((hash) => !blocks.has(hash)),
    );
  }
}

/** Why nothing goes. */
export const NEEDED = 'live jobs need what is there, or it was used in the last ten minutes';

/** Bytes of a content, and of the root and lists that name it, where it is not in the very smallest pieces. */
export function withLists(size: number): number {
  return Math.ceil(size * 1.05) + 2 * LIMITS.chunkBytes;
}

function noRoom(capBytes: number): Fault {
  return new Fault('LIMIT', `the masters keep ${mb(capBytes)} of uploads: ${NEEDED}`, HINT);
}

function mb(bytes: number): string {
  return `${(bytes / 1_048_576).toFixed(1)} MB`;
}
