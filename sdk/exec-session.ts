import type { Clock, Timer } from '../io/clock.ts';
import type { ExecOutput, ExecStart, ExecWord, TerminalSize } from '../protocol/exec.ts';
import { Fault } from '../protocol/faults.ts';
import { LIMITS, TIMES } from '../protocol/limits.ts';
import { InputQueue } from './input-queue.ts';
import { ANSWER_MS } from './output-reader.ts';
import { PartStream } from './part-stream.ts';

export interface ExecOptions {
  readonly framework: string;
  readonly task: string;
  /** Default: the newest. */
  readonly attempt?: number;
  readonly argv: readonly string[];
  /** Starts it under a terminal of its own, of that size and kind (`TERM`); default: three pipes. */
  readonly terminal?: { readonly rows: number; readonly columns: number; readonly type: string };
  /** Longest wait until it runs, in ms, default 30,000. */
  readonly answerMs?: number;
}

/** Output of a program beside a task, in order and without repetition; of a terminal all is `stdout`. */
export interface ExecPiece {
  readonly stream: 'stdout' | 'stderr';
  readonly bytes: Uint8Array;
}

/** A program that was started beside a task (docs/exec.md). It goes on over breaks of the connection. */
export interface ExecSession {
  /** Everything it writes, to its end: the consumer's pace is the program's. To be read once. */
  readonly output: AsyncIterable<ExecPiece>;
  /**
   * Its exit status as a shell gives it, once all its output is in `output`; or a fault: NOT_ALLOWED, NOT_FOUND where the
   * task does not run, UNSUPPORTED where the agent lets nobody in, UNREACHABLE where it was restarted, LIMIT, TIMED_OUT.
   */
  readonly ended: Promise<number | Fault>;
  /** True once it runs; false where it ended before anybody knew of that. */
  readonly started: Promise<boolean>;
  /** Resolves when there is room for more. Each byte reaches the program once. */
  write(bytes: Uint8Array): Promise<void>;
  /** There is no more input. */
  endInput(): void;
  resize(size: TerminalSize): void;
  /** Ends the program as a closed terminal does, and the session; resolves when the leader has heard of it. */
  hangUp(): Promise<void>;
}

type Start = { -readonly [Name in keyof ExecStart]: ExecStart[Name] };

/** What a session takes of a client. */
export interface ExecLink {
  readonly clock: Clock;
  readonly session: string;
  say(attempt: number | undefined, word: ExecWord): Promise<{ attempt: number } | Fault>;
  listen(session: string, handler: (output: ExecOutput) => void): () => void;
  /** After every connection from now on, until the returned function is called. */
  onConnected(listener: () => void): () => void;
}

/** Said again without an answer, doubling. */
const FIRST_AGAIN_MS = 1_000;
const LAST_AGAIN_MS = 10_000;
/** Words on the way at once; what there is to say meanwhile goes with the next. */
const WORDS = 8;
const STREAMS = ['stdout', 'stderr'] as const;
/** The cluster may come back; what is wrong with the request will not. */
const PASSING: ReadonlySet<string> = new Set(['TIMED_OUT', 'NO_LEADER', 'UNREACHABLE']);

/** Starts a program beside a task; see {@link ExecSession}. */
export function openExec(options: ExecOptions, link: ExecLink): ExecSession {
  return new LinkedSession(options, link);
}

class LinkedSession implements ExecSession {
  readonly ended: Promise<number | Fault>;
  readonly started: Promise<boolean>;
  readonly output: AsyncIterable<ExecPiece>;
  readonly #link: ExecLink;
  readonly #start: Start;
  /** One message of it on its way: the masters hand on little more, so that a command is not behind it. */
  readonly #input = new InputQueue(LIMITS.execInputBytes);
  readonly #pieces = new PartStream<ExecPiece>();
  readonly #next = { stdout: 0, stderr: 0 };
  readonly #used = { stdout: 0, stderr: 0 };
  /** What the agent was told of that. */
  #told = 0;
  #attempt: number | undefined;
  #incarnation: string | undefined;
  #running = false;
  #size: TerminalSize | undefined;
  #end: ExecOutput['ended'];
  #turn = 0;
  #words = 0;
  #more = false;
  #settle: (end: number | Fault) => void = () => {};
  #began: (began: boolean) => void = () => {};
  #closed = false;
  #againMs = FIRST_AGAIN_MS;
  #again: Timer | undefined;
  #renew: Timer | undefined;
  #answer: Timer | undefined;
  readonly #forget: (() => void)[] = [];

  constructor({ argv, terminal, attempt, answerMs = ANSWER_MS }: ExecOptions, link: ExecLink) {
    this.#link = link;
    this.#attempt = attempt;
    this.#start = { argv: [...argv], ...(terminal === undefined ? {} : { terminal }) };
    this.ended = new Promise((resolve) => {
      this.#settle = resolve;
    });
    this.started = new Promise((resolve) => {
      this.#began = resolve;
    });
    this.output = this.#consumed();
    this.#forget.push(
      link.listen(link.session, (output) => this.#received(output)),
      link.onConnected(() => this.#say(true)),
    );
    this.#answer = link.clock.after(answerMs, () => this.#finish(unanswered()));
    this.#say(false);
  }

  async write(bytes: Uint8Array): Promise<void> {
    if (this.#closed) return;
    this.#input.add(bytes);
    if (this.#running) this.#say(false);
    await this.#input.room();
  }

  endInput(): void {
    this.#input.end();
    if (this.#running) this.#say(false);
  }

  resize(size: TerminalSize): void {
    this.#size = size;
    if (this.#running) this.#say(false);
  }

  async hangUp(): Promise<void> {
    if (this.#closed) return;
    const { session } = this.#link;
    const said = this.#link.say(this.#attempt, { ...this.#plain(), session, hangUp: true });
    this.#close();
    await said;
  }

  async *#consumed(): AsyncGenerator<ExecPiece> {
    for await (const piece of this.#pieces) {
      yield piece;
      this.#used[piece.stream] += piece.bytes.length;
      if (this.#used.stdout + this.#used.stderr - this.#told >= LIMITS.execWindowBytes / 4) this.#say(false);
    }
  }

  #plain(): ExecWord {
    this.#turn++;
    this.#told = this.#used.stdout + this.#used.stderr;
    return { session: this.#link.session, turn: this.#turn, used: { ...this.#used } };
  }

  /** Says all there is to say; `again`: also what may have been heard already. */
  #say(again: boolean): void {
    if (this.#closed) return;
    if (again) this.#input.again();
    else if (this.#words >= WORDS) {
      this.#more = true;
      return;
    }
    this.#more = false;
    const input = this.#running ? this.#input.next(LIMITS.execInputBytes) : undefined;
    this.#speak({
      ...this.#plain(),
      ...(this.#incarnation === undefined ? {} : { incarnation: this.#incarnation }),
      ...(this.#running ? {} : { start: this.#start as ExecStart }),
      ...(this.#running && this.#size !== undefined ? { size: this.#size } : {}),
      ...(input === undefined ? {} : { input }),
      ...(again ? { again } : {}),
    });
    if (this.#input.waits && this.#running) this.#say(false);
  }

  #speak(word: ExecWord): void {
    this.#words++;
    this.#armTimers();
    this.#link.say(this.#attempt, word).then(
      (answer) => {
        this.#words--;
        if (this.#closed) return;
        if (!(answer instanceof Fault)) this.#attempt ??= answer.attempt;
        else if (!this.#running || !PASSING.has(answer.code)) return this.#finish(answer);
        if (this.#more) this.#say(false);
      },
      (error: unknown) => {
        throw error;
      },
    );
  }

  #armTimers(): void {
    const { clock } = this.#link;
    this.#renew?.cancel();
    this.#renew = clock.after(TIMES.execRenewMs, () => this.#say(true));
    this.#again ??= clock.after(this.#againMs, () => {
      this.#again = undefined;
      if (this.#running && this.#input.taken && this.#end === undefined) return;
      this.#againMs = Math.min(LAST_AGAIN_MS, this.#againMs * 2);
      this.#say(true);
    });
  }

  #received({ incarnation, running, taken, piece, ended, fault }: ExecOutput): void {
    if (this.#closed) return;
    if (fault !== undefined) return this.#finish(fault);
    const first = this.#incarnation === undefined;
    this.#incarnation ??= incarnation;
    if (incarnation !== this.#incarnation) return;
    if (first) return this.#say(false);
    const began = running && !this.#running;
    if (began) {
      this.#running = true;
      this.#began(true);
      this.#answer?.cancel();
    }
    if (this.#input.took(taken)) this.#progress();
    if (piece !== undefined) this.#take(piece);
    if (ended !== undefined) {
      this.#end = ended;
      this.#complete();
    }
    if (!this.#closed && (began || this.#input.waits)) this.#say(false);
  }

  #take({ stream, offset, data }: NonNullable<ExecOutput['piece']>): void {
    const next = this.#next[stream];
    // Behind a gap: what is missing is asked for again, and this with it.
    if (offset > next) return this.#armTimers();
    const bytes = data.subarray(Math.min(data.length, next - offset));
    if (bytes.length === 0) return;
    this.#next[stream] += bytes.length;
    this.#pieces.push({ stream, bytes });
    this.#progress();
    this.#complete();
  }

  #progress(): void {
    this.#againMs = FIRST_AGAIN_MS;
    this.#again?.cancel();
    this.#again = undefined;
    if (!this.#input.taken) this.#armTimers();
  }

  #complete(): void {
    const end = this.#end;
    if (end === undefined) return;
    if (STREAMS.every((stream) => this.#next[stream] >= end[stream])) this.#finish(end.code);
    else this.#armTimers();
  }

  #finish(end: number | Fault): void {
    if (this.#closed) return;
    this.#settle(end);
    // The agent may forget it; where that is lost, its lease runs out.
    if (this.#incarnation !== undefined) void this.hangUp();
    else this.#close();
  }

  #close(): void {
    this.#closed = true;
    this.#began(false);
    for (const timer of [this.#again, this.#renew, this.#answer]) timer?.cancel();
    for (const forget of this.#forget) forget();
    this.#input.close();
    this.#pieces.end();
  }
}

function unanswered(): Fault {
  return new Fault(
    'TIMED_OUT',
    'the agent did not answer',
    'The command was not started, or is ended within two minutes; mesq agents shows whether the agent is there.',
  );
}
