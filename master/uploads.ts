import type { Timer } from '../io/clock.ts';
import { TOO_LARGE_HINT, tooLarge, tooManyPieces } from '../protocol/blob.ts';
import { CLIENT_BULK } from '../protocol/blob-link.ts';
import { write } from '../protocol/envelope.ts';
import { Fault } from '../protocol/faults.ts';
import { LIMITS } from '../protocol/limits.ts';
import { isHeldByMost } from './blobs/majority.ts';
import { type Asker, type ClientSessions, type ClientSpeaker, mayAsk } from './client-sessions.ts';
import type { Leader } from './leader.ts';
import { NEEDED, UploadRoom, withLists } from './upload-room.ts';

/** The others are told of uploads so often: what they were told may have been lost, or they come back. */
const TELL_MS = 2_000;
/** They are not, of an upload of which nothing has come for so long… */
const QUIET_MS = 15_000;
/** …and after this it is forgotten: over 1 kbit/s a block takes four minutes. */
const IDLE_MS = 600_000;
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
  /** Bytes that may still come of it: what it has said, and what names that; and blocks. */
  left: number;
  leftBlocks: number;
  /** Blocks that are being written for its client, whatever it has asked since. */
  readonly writing: { blocks: number };
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
  /** Blob → the other masters that have said, since they were last asked for it, that they have no room. */
  readonly #full = new Map<string, Set<string>>();
  readonly #room: UploadRoom;
  #writing = 0;
  #telling: Timer | undefined;
  #stopped = false;

  constructor(leader: Leader, clients: ClientSessions) {
    this.#leader = leader;
    this.#clients = clients;
    const { blobs } = leader.world;
    this.#room = new UploadRoom(blobs, leader.world.clock);
    blobs.onKept = (from, blob) => this.#kept(from, blob);
    blobs.onFull = (from, blob) => this.#hasNoRoom(from, blob);
    blobs.exchange.expecting = () => [...this.#uploads.values()].some((upload) => this.#isLively(upload));
  }

  stop(): void {
    this.#stopped = true;
    this.#telling?.cancel();
    const { blobs } = this.#leader.world;
    blobs.onKept = () => undefined;
    blobs.onFull = () => undefined;
    blobs.exchange.expecting = () => false;
  }

  /** Answers `blob-missing`. */
  missing({ blob, size, blocks }: Ask & { readonly blocks: readonly string[] }, asker: Asker): void {
    this.#answer(asker, async () => {
      const { world } = this.#leader;
      const key = keyOf(asker.principal.name, asker.session);
      const known = this.#uploads.get(key);
      if (known?.blob !== blob) {
        const fault = await this.#room.admit(blob, size, asker.principal.name);
        if (fault !== undefined) return fault;
      }
      const { store } = world.blobs;
      const missing = blocks.flatMap((hash, at) => (store.blocks.has(hash) ? [] : [at]));
      const upload: Upload = {
        blob,
        size,
        owner: asker.principal.name,
        left: known?.blob === blob ? known.left : withLists(size),
        leftBlocks: known?.blob === blob ? known.leftBlocks : LIMITS.uploadBlocks + LIMITS.blocksPerList + 1,
        expected: new Set(missing.map((at) => blocks[at] ?? '')),
        writing: this.#uploads.get(key)?.writing ?? { blocks: 0 },
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
  put(speaker: ClientSpeaker, data: Uint8Array): void {
    const { name: client, session } = speaker;
    const { world } = this.#leader;
    const hash = world.digest.sha256(data);
    const stored = (fault?: Fault): void => {
      if (this.#stopped) return;
      const message = { type: 'STORED', block: hash, ...(fault === undefined ? {} : { fault }) } as const;
      this.#clients.bulk(client, session, write(CLIENT_BULK, message, this.#clients.encoding(client, session)));
    };
    const principal = this.#clients.principal(speaker);
    if (principal === undefined || !mayAsk(principal, 'user'))
      return stored(new Fault('NOT_ALLOWED', `${client} may not upload`));
    const upload = this.#uploads.get(keyOf(client, session));
    if (upload === undefined || !upload.expected.has(hash)) {
      if (world.blobs.store.blocks.has(hash)) return stored();
      world.counters.count('block nobody asked for');
      return stored(new Fault('NOT_FOUND', 'this block was not asked for', 'Ask what is missing, and send that.'));
    }
    // Beyond the credit that it was given, or that there is for all: it is sent again.
    const { writing } = upload;
    if (writing.blocks >= LIMITS.uploadWindow || this.#writing >= WRITING) {
      world.counters.count('block beyond the credit');
      return;
    }
    if (data.length > upload.left)
      return stored(new Fault('TOO_LARGE', `this upload was said to have ${upload.size} bytes, and has more`));
    if (upload.leftBlocks === 0) return stored(new Fault('TOO_LARGE', tooManyPieces()));
    const fault = this.#room.take(client, data.length);
    if (fault !== undefined) return stored(fault);
    upload.left -= data.length;
    upload.leftBlocks--;
    upload.heardMs = world.clock.monotonic();
    this.#tell();
    writing.blocks++;
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
        writing.blocks--;
        this.#writing--;
        this.#room.written(client, hash, data.length);
      });
  }

  /** Answers `blob-complete`. */
  complete({ blob, size }: Ask, asker: Asker): void {
    this.#answer(asker, async () => {
      const fault = size > LIMITS.uploadBytes ? new Fault('TOO_LARGE', tooLarge(size), TOO_LARGE_HINT) : undefined;
      if (fault !== undefined) return fault;
      const { blobs } = this.#leader.world;
      const owner = asker.principal.name;
      // Whoever brought its blocks in, it counts as theirs who keep it.
      const tooMuch = blobs.store.kept.has(blob) ? undefined : await this.#room.share(blob, size, owner);
      if (tooMuch !== undefined) return tooMuch;
      const keeping = await blobs.keeper.keep(blob, owner, size);
      if (keeping === 'full') return full([this.#leader.world.id]);
      if (keeping === 'lacking') return { state: 'incomplete', masters: [] };
      if (this.#room.hasLoose) this.#room.completed((await blobs.keeper.blocksOf(blob)) ?? []);
      if (!this.#isComplete(blob)) {
        this.#full.delete(blob);
        this.#tellOf(blob, owner, size);
        await this.#spread(blob);
      }
      const state = this.#isComplete(blob) ? 'complete' : 'spreading';
      if (state === 'spreading' && this.#isHopeless(blob)) return full([...(this.#full.get(blob) ?? [])].sort());
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
    this.#full.get(blob)?.delete(from);
    for (const oldest of this.#holders.keys()) {
      if (this.#holders.size <= UPLOADS) break;
      this.#holders.delete(oldest);
    }
    for (const look of this.#waiting.get(blob) ?? []) look();
  }

  #hasNoRoom(from: string, blob: string): void {
    const full = this.#full.get(blob) ?? new Set();
    this.#full.delete(blob);
    this.#full.set(blob, full.add(from));
    for (const oldest of this.#full.keys()) {
      if (this.#full.size <= UPLOADS) break;
      this.#full.delete(oldest);
    }
    for (const look of this.#waiting.get(blob) ?? []) look();
  }

  /** Those that have said that they have no room are too many for the others to be most of the voters. */
  #isHopeless(blob: string): boolean {
    const full = this.#full.get(blob);
    const voters = this.#leader.world.quorum.standing().membership.voters.map(({ id }) => id);
    return full !== undefined && !isHeldByMost(voters, new Set(voters.filter((voter) => !full.has(voter))));
  }

  #isLively({ heardMs }: Upload): boolean {
    return this.#leader.world.clock.monotonic() - heardMs <= QUIET_MS;
  }

  /** Resolves once most have it, or have not had it for long, or cannot. */
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
        if (this.#isComplete(blob) || this.#isHopeless(blob)) done();
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
    let lively = false;
    for (const [key, upload] of this.#uploads) {
      if (clock.monotonic() - upload.heardMs > IDLE_MS) this.#uploads.delete(key);
      if (!this.#isLively(upload)) continue;
      lively = true;
      this.#tellOf(upload.blob, upload.owner, upload.size);
    }
    if (!lively) return;
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

function full(masters: readonly string[]): Fault {
  return new Fault(
    'LIMIT',
    `${masters.join(', ')} of the masters have no room for it: ${NEEDED}`,
    'Cancel jobs that are not needed, or give each of the masters more room with --blobs.',
  );
}

function keyOf(client: string, session: string): string {
  return `${client}/${session}`;
}
