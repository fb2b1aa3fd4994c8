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
  /** Which start of the attempt, where a restart policy has started it again; default: the newest. The one before is kept, too. */
  readonly restart?: number;
  readonly stream: Stream;
  /** Absolute offset to begin at, default 0; negative: that many bytes before the end. */
  readonly from?: number;
  /** Go on as the task writes; default: stop at the end there is now. */
  readonly follow?: boolean;
  /** Although the agent's budget for a day is spent; for operators. Default false. */
  readonly overBudget?: boolean;
}

export interface ReadFileOptions {
  readonly framework: string;
  readonly task: string;
  /** Default: the newest. */
  readonly attempt?: number;
  /** Relative to the task's sandbox, at most 512 characters. */
  readonly path: string;
  /** Although the agent's budget for a day is spent; for operators. Default false. */
  readonly overBudget?: boolean;
  /** Longest wait for the first piece, in ms, default 30,000: an agent that knows no files says nothing. */
  readonly answerMs?: number;
}

/** Bytes of an output stream or a file, in order and without repetition. */
export interface OutputPiece {
  /** Absolute offset of the first byte. */
  readonly offset: number;
  readonly bytes: Uint8Array;
  /** Bytes before `offset` that the agent had dropped already; 0 where nothing is missing. */
  readonly dropped: number;
  /** No more will come. */
  readonly end: boolean;
}

/** What is read, and from where. */
export interface Reach {
  readonly attempt?: number | undefined;
  readonly from?: number | undefined;
  /** Undefined: it may be waited for as long as anybody likes. */
  readonly answerMs?: number | undefined;
}

interface Grant {
  readonly attempt?: number;
  readonly from: number;
  readonly until: number;
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

/** How long an agent may say nothing at all to one who asks for a file. */
export const ANSWER_MS = 30_000;

/**
 * Reads a task's output, or a file it has left, wherever it runs. The consumer's own pace grants the credit; overlaps and repeats are cut by
 * their offsets, and what gets lost on the way is asked for again.
 */
export async function* readBytes(reach: Reach, link: OutputLink): AsyncGenerator<OutputPiece | Fault> {
  const reading = new Reading(reach, link);
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
  readonly #reach: Reach;
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
  /** Of a file: what it was when its first piece was read. */
  #file: Chunk['file'];
  /** Until anything came, where that is not waited for without end. */
  #answer: Timer | undefined;
  /** Why the cluster did not serve the latest grant. */
  #trouble: Fault | undefined;

  constructor(reach: Reach, link: OutputLink) {
    this.#reach = reach;
    this.#link = link;
    this.#attempt = reach.attempt;
    const from = reach.from ?? 0;
    this.#next = from < 0 ? undefined : from;
    this.#consumed = Math.max(0, from);
    this.#until = this.#consumed + CREDIT;
    this.#forget = link.listen(link.reader, (chunk) => this.#received(chunk));
    this.#forgetConnected = link.onConnected(() => this.#ask());
    if (reach.answerMs !== undefined)
      this.#answer = link.clock.after(reach.answerMs, () => this.#fail(this.#trouble ?? unanswered()));
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
    this.#answer?.cancel();
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
    const from = this.#next ?? this.#reach.from ?? 0;
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
    const attempt = this.#attempt === undefined ? {} : { attempt: this.#attempt };
    return { ...attempt, from, until, reader: this.#link.reader };
  }

  #granted(answer: { attempt: number } | Fault, gap: Gap | undefined): void {
    if (this.#closed) return;
    this.#trouble = answer instanceof Fault ? answer : undefined;
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

  #received(chunk: Chunk): void {
    if (this.#closed) return;
    this.#answer?.cancel();
    const fault = chunk.fault ?? this.#change(chunk);
    if (fault !== undefined) {
      this.#fail(fault);
      return;
    }
    const { offset, data, end } = this.#file === undefined ? chunk : upTo(this.#file.size, chunk);
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

  /** A file is read as it was when its reading began: as long as then, and no other in its place. */
  #change({ file, offset, data, end }: Chunk): Fault | undefined {
    if (file === undefined) return undefined;
    this.#file ??= file;
    const { inode, size } = this.#file;
    if (file.inode === inode && (!end || offset + data.length >= size)) return undefined;
    const what = file.inode === inode ? 'became shorter' : 'was replaced';
    return new Fault('CONFLICT', `the file ${what} while it was read`, 'Fetch it again.');
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
    this.#answer?.cancel();
    this.#forget();
    this.#forgetConnected();
    this.pieces.end();
  }
}

/** What of a chunk lies before `size`; what was appended to the file since is not read. */
function upTo(size: number, { offset, data, end }: Chunk): Pick<Chunk, 'offset' | 'data' | 'end'> {
  const bytes = data.subarray(0, Math.max(0, size - offset));
  return { offset, data: bytes, end: end || offset + bytes.length >= size };
}

function unanswered(): Fault {
  return new Fault(
    'TIMED_OUT',
    'the agent sent nothing of the file',
    'An agent of an older version, or a device, has no files to fetch; mesq agents shows whether it is there.',
  );
}
