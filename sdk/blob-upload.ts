import type { Bus } from '../io/bus.ts';
import type { Clock, Timer } from '../io/clock.ts';
import { type Block, type Manifest, readRoot } from '../protocol/blob.ts';
import { CLIENT_BULK, UPLOADS } from '../protocol/blob-link.ts';
import { read, write } from '../protocol/envelope.ts';
import { Fault, type FaultCode } from '../protocol/faults.ts';
import { LIMITS } from '../protocol/limits.ts';
import { topicOf } from '../protocol/topics.ts';

/** What is uploaded: what it consists of, and how to read that (again). */
export interface UploadSource {
  readonly manifest: Manifest;
  /** Of the content, in order. */
  readonly blocks: readonly Block[];
  /** The bytes of a block of the content; a fault CONFLICT where they are no longer what was hashed. */
  read(at: number): Promise<Uint8Array | Fault>;
}

export interface UploadProgress {
  /** Bytes of the content. */
  readonly size: number;
  /** Bytes of it that the leader has: those that were there before, too. */
  readonly done: number;
  /** Bytes that were sent, root and lists with them. */
  readonly sent: number;
}

export interface UploadOptions {
  readonly onProgress?: (progress: UploadProgress) => void;
  /** Longest wait without any progress, in ms; default 60,000. */
  readonly patienceMs?: number;
}

/** What uploading takes of a client. */
export interface UploadLink {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly prefix: string;
  readonly name: string;
  readonly session: string;
  missing(body: {
    blob: string;
    size: number;
    blocks: readonly string[];
  }): Promise<{ missing: readonly number[]; window: number } | Fault>;
  complete(body: {
    blob: string;
    size: number;
  }): Promise<{ state: 'complete' | 'spreading' | 'incomplete'; masters: readonly string[] } | Fault>;
}

interface Piece {
  readonly hash: string;
  /** Of the content; 0 of root and lists. */
  readonly size: number;
  readonly bytes: () => Promise<Uint8Array | Fault>;
}

/** The broker has it, and nothing was answered for so long: the leader was lost. */
const ANSWER_MS = 15_000;
/** Nothing moves on a connection that stands: over 1 kbit/s one block takes more than four minutes. */
const UNDERWAY_MS = 600_000;
/** A block that is answered in this time lets one more go with it; where it takes twice as long, half as many go. */
const QUICK_MS = 4_000;
/** With so many it begins. */
const FIRST_WINDOW = 2;
/** Blocks that are asked about at once: to begin with (3 kB), and at least. Twice as many where the answer is quick. */
const FIRST_BATCH = 48;
const LEAST_BATCH = 6;
const QUICK_ANSWER_MS = 2_000;
/** Between two questions whether it is complete, where the answer came at once. */
const LOOK_AGAIN_MS = 500;
const PATIENCE_MS = 60_000;
/** Passes in a row that find nothing to send, while the leader says that it lacks something. */
const IN_VAIN = 3;
const PASSING: ReadonlySet<FaultCode> = new Set(['NO_LEADER', 'TIMED_OUT', 'UNREACHABLE']);

/**
 * Uploads until most masters have all of it. What they have already is not sent; after a lost connection or under a new
 * leader only what is lacking is. Faults: TOO_LARGE, LIMIT, NOT_ALLOWED, DISK, those of the source, or why it got no further.
 */
export async function uploadBlob(
  link: UploadLink,
  source: UploadSource,
  options: UploadOptions = {},
): Promise<UploadProgress | Fault> {
  const { prefix, name, session, bus } = link;
  const upload = new Upload(link, source, options);
  const topic = topicOf(prefix, { kind: 'clientBulk', name, session });
  const unsubscribe = await bus.subscribe(topic, 1, ({ payload }) => upload.received(payload));
  try {
    return await upload.run();
  } finally {
    unsubscribe();
  }
}

type Outcome = 'stored' | 'lost' | Fault;

class Upload {
  readonly #link: UploadLink;
  readonly #source: UploadSource;
  readonly #options: UploadOptions;
  /** What was put and not answered, by hash. */
  readonly #unanswered = new Map<string, (outcome: Outcome) => void>();
  /** Blocks on their way at once, and asked about at once: as many as the link carries in some seconds. */
  #window = FIRST_WINDOW;
  #batch = FIRST_BATCH;
  #sent = 0;
  #done = 0;
  /** Monotonic milliseconds of the last progress. */
  #movedMs: number;

  constructor(link: UploadLink, source: UploadSource, options: UploadOptions) {
    this.#link = link;
    this.#source = source;
    this.#options = options;
    this.#movedMs = link.clock.monotonic();
  }

  async run(): Promise<UploadProgress | Fault> {
    const { blob, size } = this.#source.manifest;
    for (let inVain = 0; ; ) {
      const answer = await this.#patiently(() => this.#link.complete({ blob, size }));
      if (answer instanceof Fault) return answer;
      if (answer.state === 'complete') {
        this.#done = size;
        return this.#progress();
      }
      if (answer.state === 'spreading') {
        if (this.#isStuck())
          return new Fault(
            'UNREACHABLE',
            `only ${answer.masters.join(', ')} of the masters has the upload`,
            'It counts once most masters have it: start those that cannot be reached, and run the command again.',
          );
        await this.#pause();
        continue;
      }
      const before = this.#sent;
      const fault = await this.#pass();
      if (fault !== undefined) return fault;
      inVain = this.#sent === before ? inVain + 1 : 0;
      if (inVain >= IN_VAIN) return new Fault('CONFLICT', 'the leader lacks something that it does not say');
    }
  }

  /** STORED: credit comes back. */
  received(payload: Uint8Array): void {
    const taken = payload.length === 0 ? undefined : read(CLIENT_BULK, payload);
    if (taken === undefined || taken instanceof Fault || taken.message.type !== 'STORED') return;
    const { block, fault } = taken.message;
    // Also one that comes too late: the link carries.
    if (fault === undefined) this.#movedMs = this.#link.clock.monotonic();
    this.#unanswered.get(block)?.(
      fault === undefined
        ? 'stored'
        : fault.code === 'NOT_FOUND'
          ? 'lost'
          : new Fault(fault.code, fault.message, fault.hint),
    );
  }

  /** Sends, from the root to the last block, what is lacking. */
  async #pass(): Promise<Fault | undefined> {
    this.#done = 0;
    const pieces = this.#pieces();
    for (let from = 0; from < pieces.length; ) {
      const batch = pieces.slice(from, from + this.#batch);
      const outcome = await this.#send(batch);
      if (outcome instanceof Fault) return outcome;
      if (outcome === 'lost') continue;
      from += batch.length;
      this.#done += batch.reduce((all, { size }) => all + size, 0);
      this.#tell();
    }
    return undefined;
  }

  #pieces(): Piece[] {
    const { manifest, blocks, read: readBlock } = this.#source;
    const { blob, root, lists } = manifest;
    const known = readRoot(root);
    const named = known instanceof Fault ? [] : known.lists;
    const said = (bytes: Uint8Array) => () => Promise.resolve(bytes);
    return [
      { hash: blob, size: 0, bytes: said(root) },
      ...lists.map((bytes, at) => ({ hash: named[at]?.hash ?? '', size: 0, bytes: said(bytes) })),
      ...blocks.map(({ hash, size }, at) => ({ hash, size, bytes: () => readBlock.call(this.#source, at) })),
    ];
  }

  /** One batch: asks what of it is lacking, and sends that. */
  async #send(batch: readonly Piece[]): Promise<Outcome> {
    const answer = await this.#ask(batch);
    if (answer instanceof Fault || answer === 'lost') return answer;
    const lacking = new Map<string, Piece>();
    for (const at of answer.missing) {
      const piece = batch[at];
      if (piece !== undefined) lacking.set(piece.hash, piece);
    }
    const outcomes = new Set<Outcome>();
    const queue = [...lacking.values()];
    const underway = new Set<Promise<void>>();
    const start = (piece: Piece): void => {
      const put = this.#put(piece).then((outcome) => {
        underway.delete(put);
        if (outcome !== 'stored') outcomes.add(outcome);
      });
      underway.add(put);
    };
    for (;;) {
      while (outcomes.size === 0 && underway.size < Math.max(1, Math.min(this.#window, answer.window))) {
        const piece = queue.shift();
        if (piece === undefined) break;
        start(piece);
      }
      if (underway.size === 0) break;
      await Promise.race(underway);
    }
    for (const outcome of outcomes) if (outcome !== 'lost') return outcome;
    if (outcomes.size === 0) return 'stored';
    return this.#isStuck() ? new Fault('TIMED_OUT', 'the leader takes no blocks of the upload') : 'lost';
  }

  /** Which of them are lacking; of fewer the next time where the question itself was too long for the link. */
  async #ask(
    batch: readonly Piece[],
  ): Promise<{ readonly missing: readonly number[]; readonly window: number } | 'lost' | Fault> {
    const { clock } = this.#link;
    const { blob, size } = this.#source.manifest;
    const begunMs = clock.monotonic();
    const answer = await this.#link.missing({ blob, size, blocks: batch.map(({ hash }) => hash) });
    if (answer instanceof Fault) {
      if (!PASSING.has(answer.code) || this.#isStuck()) return answer;
      if (answer.code === 'TIMED_OUT') this.#batch = Math.max(LEAST_BATCH, Math.floor(this.#batch / 2));
      await this.#pause();
      return 'lost';
    }
    if (clock.monotonic() - begunMs < QUICK_ANSWER_MS) this.#batch = Math.min(LIMITS.blocksPerList, this.#batch * 2);
    return answer;
  }

  async #put({ hash, bytes: readBytes }: Piece): Promise<Outcome> {
    const { bus, clock, prefix, name, session } = this.#link;
    const bytes = await readBytes();
    if (bytes instanceof Fault) return bytes;
    let timer: Timer | undefined;
    const begunMs = clock.monotonic();
    const answered = new Promise<Outcome>((resolve) => {
      this.#unanswered.set(hash, resolve);
      let arrived = false;
      const look = (): void => {
        const silentMs = clock.monotonic() - Math.max(begunMs, this.#movedMs);
        const leftMs = (arrived ? ANSWER_MS : UNDERWAY_MS) - silentMs;
        if (leftMs <= 0) resolve('lost');
        else timer = clock.after(Math.min(leftMs, ANSWER_MS), look);
      };
      timer = clock.after(ANSWER_MS, look);
      bus
        .publish(
          topicOf(prefix, { kind: 'upload', name, session }),
          write(UPLOADS, { type: 'PUT', data: new Uint8Array(bytes) }),
          {
            qos: 1,
          },
        )
        .then(
          () => {
            arrived = true;
            this.#movedMs = clock.monotonic();
          },
          () => resolve('lost'),
        );
    });
    const outcome = await answered;
    timer?.cancel();
    this.#unanswered.delete(hash);
    if (outcome !== 'stored') return outcome;
    this.#sent += bytes.length;
    this.#movedMs = clock.monotonic();
    this.#learn(this.#movedMs - begunMs);
    this.#tell();
    return outcome;
  }

  /** A block took so long, with those before it. */
  #learn(tookMs: number): void {
    if (tookMs < QUICK_MS) this.#window = Math.min(LIMITS.uploadWindow, this.#window + 1);
    else if (tookMs > 2 * QUICK_MS) this.#window = Math.max(1, Math.floor(this.#window / 2));
  }

  /** Asks again where the cluster was away. */
  async #patiently<Answer>(ask: () => Promise<Answer | Fault>): Promise<Answer | Fault> {
    for (;;) {
      const answer = await ask();
      if (!(answer instanceof Fault) || !PASSING.has(answer.code) || this.#isStuck()) return answer;
      await this.#pause();
    }
  }

  #isStuck(): boolean {
    return this.#link.clock.monotonic() - this.#movedMs > (this.#options.patienceMs ?? PATIENCE_MS);
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => this.#link.clock.after(LOOK_AGAIN_MS, resolve));
  }

  #progress(): UploadProgress {
    return { size: this.#source.manifest.size, done: this.#done, sent: this.#sent };
  }

  #tell(): void {
    this.#options.onProgress?.(this.#progress());
  }
}
