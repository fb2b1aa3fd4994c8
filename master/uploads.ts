import type { Timer } from '../io/clock.ts';
import { TOO_LARGE_HINT, tooLarge } from '../protocol/blob.ts';
import { CLIENT_BULK } from '../protocol/blob-link.ts';
import { write } from '../protocol/envelope.ts';
import { Fault } from '../protocol/faults.ts';
import { LIMITS } from '../protocol/limits.ts';
import { isHeldByMost } from './blobs/majority.ts';
import { type Asker, type ClientSessions, mayAsk } from './client-sessions.ts';
import type { Leader } from './leader.ts';

/** The others are told of uploads so often: what they were told may have been lost, or they come back. */
const TELL_MS = 2_000;
/** An upload of which nothing was heard for so long is not waited for. */
const IDLE_MS = 15_000;
/** For so long `blob-complete` waits for the other masters before it says that it still waits. */
const SPREAD_MS = 3_000;
/**
 * For so long another master's word that it has all of a blob counts: what it keeps it forgets again some day, but not
 * what was used so shortly before (blob-collector.ts).
 */
const HELD_MS = 300_000;
/** Blocks being written at once, over all clients: a bound on memory. */
const WRITING = 64;
/** Uploads that go on at once, and blobs of which is remembered who has them: the oldest is forgotten for a newer one. */
const UPLOADS = 1_000;

interface Upload {
  readonly blob: string;
  readonly owner: string;
  readonly size: number;
  /** What its client was told to send. */
  expected: Set<string>;
  /** Bytes that may still come of it: what it has said, and what names that. */
  left: number;
  /** Blocks of it that are being written. */
  writing: number;
  heardMs: number;
}

interface Ask {
  readonly blob: string;
  readonly size: number;
}

/** What the leader does for clients that upload: says what it lacks, stores it, and counts the masters that have it. Dies with the term. */
export class Uploads {
  readonly #leader: Leader;
  readonly #clients: ClientSessions;
  /** `client/session` → its upload. */
  readonly #uploads = new Map<string, Upload>();
  /** Blob → the other masters that have all of it, and when they last said so; and who waits for the next that has. */
  readonly #holders = new Map<string, Map<string, number>>();
  readonly #waiting = new Map<string, Set<() => void>>();
  #writing = 0;
  #telling: Timer | undefined;
  #stopped = false;

  constructor(leader: Leader, clients: ClientSessions) {
    this.#leader = leader;
    this.#clients = clients;
    const { blobs } = leader.world;
    blobs.onKept = (from, blob) => this.#kept(from, blob);
    blobs.exchange.expecting = () => this.#uploads.size > 0;
  }

  stop(): void {
    this.#stopped = true;
    this.#telling?.cancel();
    const { blobs } = this.#leader.world;
    blobs.onKept = () => undefined;
    blobs.exchange.expecting = () => false;
  }

  /** Answers `blob-missing`. */
  missing({ blob, size, blocks }: Ask & { readonly blocks: readonly string[] }, asker: Asker): void {
    this.#answer(asker, async () => {
      const { world } = this.#leader;
      const key = keyOf(asker.principal.name, asker.session);
      const known = this.#uploads.get(key);
      if (known?.blob !== blob) {
        const fault = await this.#admit(blob, size, asker.principal.name);
        if (fault !== undefined) return fault;
      }
      const { store } = world.blobs;
      const missing = blocks.flatMap((hash, at) => (store.blocks.has(hash) ? [] : [at]));
      const upload: Upload = {
        blob,
        size,
        owner: asker.principal.name,
        left: known?.blob === blob ? known.left : withLists(size),
        expected: new Set(missing.map((at) => blocks[at] ?? '')),
        writing: known?.writing ?? 0,
        heardMs: world.clock.monotonic(),
      };
      this.#uploads.delete(key);
      this.#uploads.set(key, upload);
      for (const oldest of this.#uploads.keys()) {
        if (this.#uploads.size <= UPLOADS) break;
        this.#uploads.delete(oldest);
      }
      this.#tell();
      return { missing, window: LIMITS.uploadWindow };
    });
  }

  /** One block of a client, on its upload topic. */
  put(client: string, session: string, data: Uint8Array): void {
    const { world } = this.#leader;
    const hash = world.digest.sha256(data);
    const stored = (fault?: Fault): void => {
      if (this.#stopped) return;
      const message = { type: 'STORED', block: hash, ...(fault === undefined ? {} : { fault }) } as const;
      this.#clients.bulk(client, session, write(CLIENT_BULK, message, this.#clients.encoding(client, session)));
    };
    const principal = this.#clients.principal(client);
    if (principal === undefined || !mayAsk(principal, 'user'))
      return stored(new Fault('NOT_ALLOWED', `${client} may not upload`));
    const upload = this.#uploads.get(keyOf(client, session));
    if (upload === undefined || !upload.expected.has(hash)) {
      if (world.blobs.store.blocks.has(hash)) return stored();
      world.counters.count('block nobody asked for');
      return stored(new Fault('NOT_FOUND', 'this block was not asked for', 'Ask what is missing, and send that.'));
    }
    // Beyond the credit that it was given, or that there is for all: it is sent again.
    if (upload.writing >= LIMITS.uploadWindow || this.#writing >= WRITING) {
      world.counters.count('block beyond the credit');
      return;
    }
    const { store, capBytes } = world.blobs;
    if (data.length > upload.left)
      return stored(new Fault('TOO_LARGE', `this upload was said to have ${upload.size} bytes, and has more`));
    if (store.bytes + data.length > capBytes) return stored(noRoom(capBytes));
    upload.left -= data.length;
    upload.heardMs = world.clock.monotonic();
    upload.writing++;
    this.#writing++;
    world.blobs.store
      .write(new Uint8Array(data))
      .then(
        () => {
          world.blobs.exchange.stored(hash, data);
          stored();
        },
        (error: unknown) => stored(new Fault('DISK', `the leader's disk refused a block: ${String(error)}`)),
      )
      .finally(() => {
        upload.writing--;
        this.#writing--;
      });
  }

  /** Answers `blob-complete`. */
  complete({ blob, size }: Ask, asker: Asker): void {
    this.#answer(asker, async () => {
      const fault = size > LIMITS.uploadBytes ? new Fault('TOO_LARGE', tooLarge(size), TOO_LARGE_HINT) : undefined;
      if (fault !== undefined) return fault;
      const { blobs } = this.#leader.world;
      const owner = asker.principal.name;
      if (!(await blobs.keeper.keep(blob, owner, size))) return { state: 'incomplete', masters: [] };
      if (!this.#isComplete(blob)) {
        this.#tellOf(blob, owner, size);
        await this.#spread(blob);
      }
      const state = this.#isComplete(blob) ? 'complete' : 'spreading';
      if (state === 'complete') this.#uploads.delete(keyOf(owner, asker.session));
      return { state, masters: [...this.#holdersOf(blob)].sort() };
    });
  }

  #answer({ principal, session, request }: Asker, work: () => Promise<object | Fault>): void {
    const end = (answer: { body: object } | { fault: Fault }): void => {
      if (!this.#stopped) this.#clients.reply(principal.name, session, { request, part: 0, last: true, ...answer });
    };
    work().then(
      (answer) => end(answer instanceof Fault ? { fault: answer } : { body: answer }),
      (error: unknown) => end({ fault: new Fault('DISK', `the leader's disk failed: ${String(error)}`) }),
    );
  }

  async #admit(blob: string, size: number, owner: string): Promise<Fault | undefined> {
    const { blobs } = this.#leader.world;
    const { store, capBytes, collector } = blobs;
    if (size > LIMITS.uploadBytes) return new Fault('TOO_LARGE', tooLarge(size), TOO_LARGE_HINT);
    const named = blobs.named();
    let owned = 0;
    for (const [kept, note] of store.kept)
      if (note.owner === owner && kept !== blob && named.has(kept)) owned += note.size;
    if (owned + size > collector.ownerBytes)
      return new Fault(
        'LIMIT',
        `live jobs of ${owner} hold ${mb(owned)} of uploads, and may hold ${mb(collector.ownerBytes)}; this is ${mb(size)}`,
        'Cancel jobs that are not needed, or give the masters more room with --blobs.',
      );
    await collector.makeRoom(withLists(size));
    return store.bytes + withLists(size) <= capBytes || store.kept.has(blob) ? undefined : noRoom(capBytes);
  }

  /** This master and those others of which it is known. */
  #holdersOf(blob: string): Set<string> {
    const { id, clock } = this.#leader.world;
    const nowMs = clock.monotonic();
    const others = [...(this.#holders.get(blob) ?? [])].filter(([, heardMs]) => nowMs - heardMs <= HELD_MS);
    return new Set([id, ...others.map(([master]) => master)]);
  }

  #isComplete(blob: string): boolean {
    const { voters } = this.#leader.world.quorum.standing().membership;
    return isHeldByMost(
      voters.map(({ id }) => id),
      this.#holdersOf(blob),
    );
  }

  #kept(from: string, blob: string): void {
    const holders = this.#holders.get(blob) ?? new Map<string, number>();
    this.#holders.delete(blob);
    this.#holders.set(blob, holders.set(from, this.#leader.world.clock.monotonic()));
    for (const oldest of this.#holders.keys()) {
      if (this.#holders.size <= UPLOADS) break;
      this.#holders.delete(oldest);
    }
    for (const look of this.#waiting.get(blob) ?? []) look();
  }

  /** Resolves once most have it, or have not had it for long. */
  #spread(blob: string): Promise<void> {
    return new Promise((resolve) => {
      const waiting = this.#waiting.get(blob) ?? new Set();
      this.#waiting.set(blob, waiting);
      const done = (): void => {
        timer.cancel();
        waiting.delete(look);
        if (waiting.size === 0) this.#waiting.delete(blob);
        resolve();
      };
      const look = (): void => {
        if (this.#isComplete(blob)) done();
      };
      const timer = this.#leader.world.clock.after(SPREAD_MS, done);
      waiting.add(look);
      look();
    });
  }

  /** So that they fetch while it still comes in. */
  #tell(): void {
    if (this.#telling !== undefined || this.#stopped) return;
    const { clock } = this.#leader.world;
    for (const [key, { heardMs, blob, owner, size }] of this.#uploads) {
      if (clock.monotonic() - heardMs > IDLE_MS) this.#uploads.delete(key);
      else this.#tellOf(blob, owner, size);
    }
    if (this.#uploads.size === 0) return;
    this.#telling = clock.after(TELL_MS, () => {
      this.#telling = undefined;
      this.#tell();
    });
  }

  #tellOf(blob: string, owner: string, size: number): void {
    const { blobs, quorum, id } = this.#leader.world;
    const { voters, learners } = quorum.standing().membership;
    const holders = this.#holdersOf(blob);
    for (const member of [...voters, ...learners])
      if (member.id !== id && !holders.has(member.id)) blobs.send(member.id, { type: 'KEEP', blob, owner, size });
  }
}

/** Bytes of a content, and of the root and lists that name it, where it is not in the very smallest pieces. */
function withLists(size: number): number {
  return Math.ceil(size * 1.05) + 2 * LIMITS.chunkBytes;
}

function noRoom(capBytes: number): Fault {
  return new Fault(
    'LIMIT',
    `the masters keep ${mb(capBytes)} of uploads, and live jobs need what is there`,
    'Cancel jobs that are not needed, or give the masters more room with --blobs.',
  );
}

function keyOf(client: string, session: string): string {
  return `${client}/${session}`;
}

function mb(bytes: number): string {
  return `${(bytes / 1_048_576).toFixed(1)} MB`;
}
