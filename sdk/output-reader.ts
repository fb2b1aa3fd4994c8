import type { Clock, Timer } from '../io/clock.ts';
import type { Chunk, Stream } from '../protocol/agent-link.ts';
import { Fault } from '../protocol/faults.ts';
import { LIMITS } from '../protocol/limits.ts';
import { PartStream } from './part-stream.ts';

export interface ReadOutputOptions {
  readonly framework: string;
  readonly task: string;
  /** Default: the newest. */
  readonly attempt?: number;
  readonly stream: Stream;
  /** Absolute offset to begin at, default 0; negative: that many bytes before the end. */
  readonly from?: number;
  /** Go on as the task writes; default: stop at the end there is now. */
  readonly follow?: boolean;
}

/** Bytes of an output stream, in order and without repetition. */
export interface OutputPiece {
  /** Absolute offset of the first byte. */
  readonly offset: number;
  readonly bytes: Uint8Array;
  /** Bytes before `offset` that the agent had dropped already; 0 where nothing is missing. */
  readonly dropped: number;
  /** No more will come. */
  readonly end: boolean;
}

interface Grant {
  readonly framework: string;
  readonly task: string;
  readonly attempt?: number;
  readonly stream: Stream;
  readonly from: number;
  readonly until: number;
  readonly follow: boolean;
  readonly reader: string;
}

interface Gap {
  /** Where it ends. */
  readonly offset: number;
  /** The agent has been asked again since. */
  answered: boolean;
  repeated: boolean;
}

/** What reading takes of a client. */
export interface OutputLink {
  readonly clock: Clock;
  /** The stream's own id. */
  readonly reader: string;
  grant(body: Grant): Promise<{ attempt: number; agent: string } | Fault>;
  listen(reader: string, handler: (chunk: Chunk) => void): () => void;
  /** After every connection from now on, until the returned function is called. */
  onConnected(listener: () => void): () => void;
}

/** Granted ahead of what was consumed. */
const CREDIT = LIMITS.creditBytes / 4;
/**
 * Asked again when nothing came for this long, since a chunk may have been lost with a leader or a broker; doubling
 * while the task writes nothing, so that following a silent one costs little.
 */
const FIRST_AGAIN_MS = 5_000;
const LAST_AGAIN_MS = 60_000;

/**
 * Reads a task's output, wherever it runs. The consumer's own pace grants the credit; overlaps and repeats are cut by
 * their offsets, and what gets lost on the way is asked for again.
 */
export async function* readOutput(options: ReadOutputOptions, link: OutputLink): AsyncGenerator<OutputPiece | Fault> {
  const reading = new Reading(options, link);
  try {
    for await (const piece of reading.pieces) {
      yield piece;
      if (!(piece instanceof Fault)) reading.consumed(piece.offset + piece.bytes.length);
    }
  } finally {
    reading.close();
  }
}

class Reading {
  readonly pieces = new PartStream<OutputPiece | Fault>();
  readonly #options: ReadOutputOptions;
  readonly #link: OutputLink;
  readonly #forget: () => void;
  readonly #forgetConnected: () => void;
  /** The offset that comes next; undefined until the first piece of a stream that is read from its end. */
  #next: number | undefined;
  #until: number;
  #consumed = 0;
  /** Fixed by the first answer: a new attempt of the task is another stream. */
  #attempt: number | undefined;
  /** A gap that is not believed yet. */
  #gap: Gap | undefined;
  #timer: Timer | undefined;
  #againMs = FIRST_AGAIN_MS;
  #closed = false;

  constructor(options: ReadOutputOptions, link: OutputLink) {
    this.#options = options;
    this.#link = link;
    this.#attempt = options.attempt;
    const from = options.from ?? 0;
    this.#next = from < 0 ? undefined : from;
    this.#consumed = Math.max(0, from);
    this.#until = this.#consumed + CREDIT;
    this.#forget = link.listen(link.reader, (chunk) => this.#received(chunk));
    this.#forgetConnected = link.onConnected(() => this.#ask());
    this.#ask();
  }

  consumed(offset: number): void {
    this.#consumed = offset;
    this.#extend();
  }

  /** Once all that was granted has come and half of it is used; earlier, the agent would send its rest twice. */
  #extend(): void {
    if (this.#closed || this.#next === undefined || this.#next < this.#until) return;
    if (this.#until - this.#consumed > CREDIT / 2) return;
    this.#until = this.#consumed + CREDIT;
    this.#ask();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#timer?.cancel();
    this.#forget();
    this.#forgetConnected();
    this.pieces.end();
    const at = this.#next ?? 0;
    // Ends the grant at the agent; whether it arrives matters to nobody.
    this.#link.grant(this.#grant(at, at)).catch(() => {});
  }

  #ask(gap?: Gap): void {
    if (this.#closed) return;
    this.#waitAgain();
    const from = this.#next ?? this.#options.from ?? 0;
    // Read from its end, where that is shows with the first piece: the agent bounds the grant by the limit itself.
    const until = this.#next === undefined ? Number.MAX_SAFE_INTEGER : this.#until;
    this.#link.grant(this.#grant(from, until)).then(
      (answer) => this.#granted(answer, gap),
      (error: unknown) => {
        throw error;
      },
    );
  }

  #grant(from: number, until: number): Grant {
    const { framework, task, stream, follow = false } = this.#options;
    const attempt = this.#attempt === undefined ? {} : { attempt: this.#attempt };
    return { framework, task, ...attempt, stream, from, until, follow, reader: this.#link.reader };
  }

  #granted(answer: { attempt: number } | Fault, gap: Gap | undefined): void {
    if (this.#closed) return;
    if (!(answer instanceof Fault)) {
      this.#attempt ??= answer.attempt;
      if (gap === undefined || gap !== this.#gap) return;
      gap.answered = true;
      // The piece may have overtaken this answer: the next one decides.
      if (gap.repeated) this.#ask();
    }
    // The cluster may come back; what is wrong with the request will not.
    else if (answer.code !== 'TIMED_OUT' && answer.code !== 'NO_LEADER' && answer.code !== 'UNREACHABLE')
      this.#fail(answer);
  }

  #received({ offset, data, end, fault }: Chunk): void {
    if (this.#closed) return;
    if (fault !== undefined) {
      this.#fail(fault);
      return;
    }
    const next = this.#next ?? offset;
    if (offset > next && !this.#isDropped(offset)) return;
    this.#gap = undefined;
    const skip = Math.max(0, next - offset);
    if (skip > data.length || (skip === data.length && data.length > 0 && !end)) return;
    const bytes = data.subarray(skip);
    const dropped = Math.max(0, offset - next);
    this.#next = next + dropped + bytes.length;
    this.#until = Math.max(this.#until, this.#next);
    this.#againMs = FIRST_AGAIN_MS;
    this.#waitAgain();
    if (bytes.length > 0 || end || dropped > 0) {
      this.pieces.push({ offset: this.#next - bytes.length, bytes, dropped, end });
    }
    if (end) this.#finish();
  }

  /**
   * A gap is what the agent has dropped, or what got lost on the way here with an older grant. Asked again, the agent
   * answers the same offset only in the first case; before it answered, the same offset is a repeat of the network's.
   */
  #isDropped(offset: number): boolean {
    if (this.#gap === undefined) {
      this.#gap = { offset, answered: false, repeated: false };
      this.#ask(this.#gap);
      return false;
    }
    if (this.#gap.offset !== offset) return false;
    this.#gap.repeated = true;
    return this.#gap.answered;
  }

  #waitAgain(): void {
    this.#timer?.cancel();
    this.#timer = this.#link.clock.after(this.#againMs, () => {
      this.#gap = undefined;
      this.#againMs = Math.min(LAST_AGAIN_MS, this.#againMs * 2);
      // All that was granted came: it is the consumer's turn.
      if (this.#next !== undefined && this.#next >= this.#until) this.#waitAgain();
      else this.#ask();
    });
  }

  #fail(fault: Fault): void {
    this.pieces.push(fault);
    this.#finish();
  }

  #finish(): void {
    this.#closed = true;
    this.#timer?.cancel();
    this.#forget();
    this.#forgetConnected();
    this.pieces.end();
  }
}
