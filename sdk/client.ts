import type { InferInput, InferOutput } from 'valibot';
import { BrokerPatience } from '../io/broker-patience.ts';
import { type Bus, BusError, type MovableBus } from '../io/bus.ts';
import type { Clock, Timer } from '../io/clock.ts';
import { type Random, randomWord } from '../io/random.ts';
import { check, type Encoding, type MessageOf, read, write } from '../protocol/envelope.ts';
import { Fault } from '../protocol/faults.ts';
import { BATCH_OPERATIONS } from '../protocol/job.ts';
import { chooseLeader } from '../protocol/leader-choice.ts';
import { TIMES } from '../protocol/limits.ts';
import { OPERATIONS, REPLIES, REQUESTS } from '../protocol/operator.ts';
import { type LeaderDocument, topicOf } from '../protocol/topics.ts';
import { type UploadOptions, type UploadProgress, type UploadSource, uploadBlob } from './blob-upload.ts';
import { ChunkRouter } from './chunk-router.ts';
import type { DeepReadonly } from './deep-readonly.ts';
import { type ExecOptions, type ExecSession, openExec } from './exec-session.ts';
import { readLeader } from './leader-document.ts';
import {
  ANSWER_MS,
  type OutputLink,
  type OutputPiece,
  type Reach,
  type ReadFileOptions,
  type ReadOutputOptions,
  readBytes,
} from './output-reader.ts';
import { PartStream } from './part-stream.ts';

type LeaderOps = typeof OPERATIONS;
type BatchOps = typeof BATCH_OPERATIONS;

export interface ClientOptions {
  /** One that can move follows the leader. */
  readonly bus: Bus | MovableBus;
  /** The brokers that it was told of: it moves to no other host. Default none. */
  readonly urls?: readonly string[];
  /** Default `mesq`. */
  readonly prefix?: string;
  /** The name of the credential. */
  readonly name: string;
  /** Sets this process apart from others of the same name. */
  readonly session: string;
  readonly clock: Clock;
  readonly random: Random;
  /** Default `cbor`. */
  readonly encoding?: Encoding;
}

export interface RequestOptions {
  /** Longest wait for the whole answer, or for the first part of a stream; default 10,000 ms. */
  readonly timeoutMs?: number;
  /** The request's id, where it must be the same over several processes; default a random one. */
  readonly request?: string;
}

interface OpenRequest {
  readonly request: string;
  readonly framework: string | undefined;
  readonly op: string;
  readonly body: unknown;
  /** What it has, if it is a stream: the parts of an answer that begins anew are told again. */
  readonly stream: boolean;
  readonly part: (body: unknown, part: number, last: boolean) => void;
  readonly fault: (fault: Fault) => void;
  expected: number;
  sentAgain: boolean;
  deadline: Timer | undefined;
  again: Timer | undefined;
}

const TIMEOUT_MS = 10_000;
/** A leader that was just elected may not have its frameworks yet. */
const AGAIN_MS = 500;
/** Without an answer: what was sent may have been lost with a leader. */
const SLOW_AGAIN_MS = 5_000;

/** A client of the operator API: what `mesq` asks the leader and the frameworks. */
export interface Client {
  /**
   * Asks the leader. Resolves with the answer, lists of several parts joined, or a fault: the one it was answered,
   * TIMED_OUT, NO_LEADER or UNREACHABLE. Sent again under the same id after a reconnect and by a new leader.
   */
  request<Op extends keyof LeaderOps>(
    op: Op,
    body: DeepReadonly<InferInput<LeaderOps[Op]['body']>>,
    options?: RequestOptions & { framework?: undefined },
  ): Promise<InferOutput<LeaderOps[Op]['part']> | Fault>;
  /** Asks the batch framework, by its name. */
  request<Op extends keyof BatchOps>(
    op: Op,
    body: DeepReadonly<InferInput<BatchOps[Op]['body']>>,
    options: RequestOptions & { framework: string },
  ): Promise<InferOutput<BatchOps[Op]['part']> | Fault>;
  /**
   * Follows a job: each part as it comes, to the last. A fault ends it. After a reconnect it begins anew with a part
   * that tells the job as it is. Leave the loop to stop.
   */
  watch(
    job: string,
    options: RequestOptions & { framework: string },
  ): AsyncIterable<InferOutput<BatchOps['watch']['part']> | Fault>;
  /** Reads a task's output; see {@link ReadOutputOptions}. A fault ends it. */
  readOutput(options: ReadOutputOptions): AsyncIterable<OutputPiece | Fault>;
  /**
   * Reads a file of a task's sandbox, as long as it is when the reading begins. A fault ends it: NOT_FOUND, NOT_ALLOWED
   * where it leads out of the sandbox, BAD_USAGE where it is no regular file, CONFLICT where it became shorter or was
   * replaced meanwhile, TIMED_OUT where the agent knows no files.
   */
  readFile(options: ReadFileOptions): AsyncIterable<OutputPiece | Fault>;
  /**
   * Uploads a file or a folder to the masters, where tasks name it as an artifact (docs/uploads.md). What is there already
   * is not sent; it goes on over reconnects and new leaders. Faults: TOO_LARGE, LIMIT, NOT_ALLOWED, DISK, CONFLICT where the
   * source changed meanwhile, or why it got no further for a minute.
   */
  upload(source: UploadSource, options?: UploadOptions): Promise<UploadProgress | Fault>;
  /** Starts a program beside a task that runs, in its sandbox. */
  exec(options: ExecOptions): ExecSession;
  /** The leader as the broker tells it: undefined until it has, null while nobody leads. */
  leader(): string | null | undefined;
  /** Ends every open request with a fault and stops listening. The bus stays. */
  close(): void;
}

/** Makes a client and begins to listen for its answers. */
export function createClient(options: ClientOptions): Client {
  return new BusClient(options);
}

class BusClient implements Client {
  readonly #options: ClientOptions;
  readonly #prefix: string;
  readonly #open = new Map<string, OpenRequest>();
  readonly #chunks = new ChunkRouter();
  readonly #connectedListeners = new Set<() => void>();
  readonly #listening: Promise<void>;
  readonly #unsubscribe: (() => void)[] = [];
  #term = { generation: 0, term: 0 };
  /** What the last document said of a leader that there is none of. */
  #why: string | undefined;
  #leader: string | null | undefined;
  /** Runs while the broker knows no leader, or an old one: it may be cut off from the others. */
  readonly #patience: BrokerPatience;
  /** Monotonic milliseconds of the last connection or answer. */
  #heardMs = 0;
  #closed = false;

  constructor(options: ClientOptions) {
    this.#options = options;
    this.#prefix = options.prefix ?? 'mesq';
    const { bus, urls = [], clock, random } = options;
    const { leaderlessMs: firstMs, leaderlessMaxMs: longestMs } = TIMES;
    this.#patience = new BrokerPatience({ bus, urls, clock, random, firstMs, longestMs });
    this.#listening = this.#listen();
    // Whoever asks learns of it; nobody may be asking yet.
    this.#listening.catch(() => {});
    options.bus.onDisconnected(() => {
      // The next broker may say of the same leader that it is elsewhere.
      this.#leader = undefined;
      this.#patience.end();
    });
    options.bus.onConnected(() => {
      this.#heardMs = options.clock.monotonic();
      // A master that was never told of its cluster says nothing at all.
      if (this.#leader === undefined) this.#patience.begin();
      this.#sendAgain();
      for (const listener of this.#connectedListeners) listener();
    });
  }

  request(
    op: string,
    body: unknown,
    options: RequestOptions & { framework?: string | undefined } = {},
  ): Promise<never> {
    const parts: unknown[] = [];
    return new Promise<unknown>((resolve) => {
      this.#ask(op, body, options, {
        stream: false,
        part: (part, at, last) => {
          parts[at] = part;
          if (last) resolve(joined(op, options.framework, parts.slice(0, at + 1)));
        },
        fault: resolve,
      });
    }) as Promise<never>;
  }

  async *watch(
    job: string,
    options: RequestOptions & { framework: string },
  ): AsyncGenerator<InferOutput<BatchOps['watch']['part']> | Fault> {
    const stream = new PartStream<InferOutput<BatchOps['watch']['part']> | Fault>();
    const close = this.#ask('watch', { job }, options, {
      stream: true,
      part: (part, _at, last) => {
        const checked = check(BATCH_OPERATIONS.watch.part, part);
        stream.push(checked);
        if (last || checked instanceof Fault) stream.end();
      },
      fault: (fault) => {
        stream.push(fault);
        stream.end();
      },
    });
    try {
      yield* stream;
    } finally {
      close();
    }
  }

  readOutput(options: ReadOutputOptions): AsyncIterable<OutputPiece | Fault> {
    const { framework, task, stream, restart, follow = false } = options;
    const of = { framework, task, stream, ...(restart === undefined ? {} : { restart }) };
    return this.#read(options, (grant) => this.request('read', { ...of, follow, ...over(options), ...grant }));
  }

  readFile(options: ReadFileOptions): AsyncIterable<OutputPiece | Fault> {
    const { framework, task, attempt, path, answerMs = ANSWER_MS } = options;
    return this.#read({ attempt, answerMs }, (grant) =>
      this.request('read-file', { framework, task, path, ...over(options), ...grant }),
    );
  }

  exec(options: ExecOptions): ExecSession {
    const { clock, random } = this.#options;
    const { framework, task } = options;
    return openExec(options, {
      clock,
      session: randomWord(random, 16),
      say: (attempt, word) =>
        this.request('exec', { framework, task, word, ...(attempt === undefined ? {} : { attempt }) }),
      listen: (session, handler) => this.#chunks.listenTo(session, handler),
      onConnected: (listener) => this.#onConnected(listener),
    });
  }

  #onConnected(listener: () => void): () => void {
    this.#connectedListeners.add(listener);
    return () => this.#connectedListeners.delete(listener);
  }

  #read(reach: Reach, grant: OutputLink['grant']): AsyncIterable<OutputPiece | Fault> {
    const { clock, random } = this.#options;
    return readBytes(reach, {
      clock,
      reader: randomWord(random, 16),
      grant,
      listen: (reader, handler) => this.#chunks.listen(reader, handler),
      onConnected: (listener) => this.#onConnected(listener),
    });
  }

  upload(source: UploadSource, options?: UploadOptions): Promise<UploadProgress | Fault> {
    const { bus, clock, name, session } = this.#options;
    const link = { bus, clock, prefix: this.#prefix, name, session };
    return uploadBlob(
      {
        ...link,
        missing: (body) => this.request('blob-missing', body),
        complete: (body) => this.request('blob-complete', body),
      },
      source,
      options,
    );
  }

  leader(): string | null | undefined {
    return this.#leader;
  }

  close(): void {
    this.#closed = true;
    this.#patience.end();
    for (const { request } of [...this.#open.values()])
      this.#fail(request, new Fault('UNREACHABLE', 'the client was closed'));
    for (const remove of this.#unsubscribe) remove();
    this.#chunks.close();
  }

  async #listen(): Promise<void> {
    const { bus, name, session } = this.#options;
    const listen = async (topic: string, handler: (payload: Uint8Array) => void): Promise<void> => {
      this.#unsubscribe.push(await bus.subscribe(topic, 1, ({ payload }) => !this.#closed && handler(payload)));
    };
    await Promise.all([
      listen(topicOf(this.#prefix, { kind: 'reply', name, session }), (payload) => this.#replied(payload)),
      listen(topicOf(this.#prefix, { kind: 'clientBulk', name, session }), (payload) => this.#chunks.received(payload)),
      listen(topicOf(this.#prefix, { kind: 'leader' }), (payload) => this.#leaderSaid(payload)),
    ]);
  }

  /** Returns how to stop caring about the answer. */
  #ask(
    op: string,
    body: unknown,
    options: RequestOptions & { framework?: string | undefined },
    answer: Pick<OpenRequest, 'stream' | 'part' | 'fault'>,
  ): () => void {
    const request = options.request ?? randomWord(this.#options.random, 16);
    const { framework } = options;
    const open: OpenRequest = {
      ...answer,
      request,
      framework,
      op,
      body,
      expected: 0,
      sentAgain: false,
      deadline: undefined,
      again: undefined,
    };
    this.#open.set(request, open);
    open.deadline = this.#options.clock.after(options.timeoutMs ?? TIMEOUT_MS, () => {
      const silence = this.#silence(op);
      this.#doubt();
      this.#fail(request, silence);
    });
    this.#listening.then(
      () => this.#send(open),
      (error: unknown) => this.#fail(request, faultOf(error)),
    );
    return () => this.#done(request);
  }

  #silence(op: string): Fault {
    // It may be on its way from one that said why to the next.
    if (!this.#options.bus.connected && this.#why === undefined)
      return new Fault('UNREACHABLE', 'there is no connection to the cluster');
    if (this.#leader === null || this.#leader === undefined) return new Fault('NO_LEADER', this.#why);
    return new Fault('TIMED_OUT', `${op} was not answered in time`);
  }

  #send(open: OpenRequest): void {
    if (this.#open.get(open.request) !== open) return;
    const { bus, clock, name, session, encoding } = this.#options;
    const { request, framework, op, body } = open;
    open.again?.cancel();
    // A stream that has begun is kept up by events alone.
    if (!open.stream || open.expected === 0)
      open.again = clock.after(SLOW_AGAIN_MS, () => {
        this.#repeat(open);
        this.#doubt();
      });
    if (!bus.connected) return;
    const message = { type: 'REQUEST', request, op, body, ...(framework === undefined ? {} : { framework }) } as const;
    bus
      .publish(topicOf(this.#prefix, { kind: 'request', name, session }), write(REQUESTS, message, encoding), {
        qos: 1,
      })
      .catch((error: unknown) => {
        // A lost connection comes back, and the request goes out again.
        if (!(error instanceof BusError) || error.code !== 'DISCONNECTED') this.#fail(request, faultOf(error));
      });
  }

  /**
   * A broker that has said nothing for long may be frozen, or cut off: TCP does not tell for minutes. Another one says
   * who leads; if it is this one after all, it sends us back.
   */
  #doubt(): void {
    const { bus, clock } = this.#options;
    if (bus.connected && clock.monotonic() - this.#heardMs >= SLOW_AGAIN_MS) this.#patience.leave();
  }

  #repeat(open: OpenRequest): void {
    open.sentAgain = true;
    this.#send(open);
  }

  #sendAgain(): void {
    for (const open of this.#open.values()) this.#repeat(open);
  }

  #leaderSaid(payload: Uint8Array): void {
    const document = readLeader(payload);
    if (document === undefined) return;
    const { bus, urls = [] } = this.#options;
    const { generation, term, leader } = document;
    const known = this.#term;
    if ('moveTo' in bus) {
      const choice = chooseLeader({ ...known, leader: this.#leader ?? null }, document, bus.url, urls);
      if (choice.kind === 'move') {
        this.#term = { generation, term };
        this.#leader = undefined;
        return bus.moveTo(choice.url);
      }
    }
    const stale = generation < known.generation || (generation === known.generation && term < known.term);
    if (stale || leader === null) this.#patience.begin();
    else this.#patience.rewarded();
    if (stale) return;
    const first = this.#leader === undefined;
    const changed = generation > known.generation || term > known.term || leader !== this.#leader;
    this.#term = { generation, term };
    this.#leader = leader;
    this.#why = whyNoLeader(document);
    if (changed && !first && leader !== null) this.#sendAgain();
  }

  #replied(payload: Uint8Array): void {
    const received = payload.length === 0 ? undefined : read(REPLIES, payload);
    if (received === undefined || received instanceof Fault) return;
    this.#heardMs = this.#options.clock.monotonic();
    const open = this.#open.get(received.message.request);
    const { bus } = this.#options;
    if (open !== undefined && 'worked' in bus) bus.worked();
    if (open !== undefined) this.#answered(open, received.message);
  }

  #answered(open: OpenRequest, reply: MessageOf<typeof REPLIES>): void {
    if (reply.fault !== undefined) {
      if (isPassing(reply.fault, open)) {
        open.again?.cancel();
        open.again = this.#options.clock.after(AGAIN_MS, () => this.#repeat(open));
      } else this.#fail(open.request, reply.fault);
      return;
    }
    // Asked again, it may be answered again from its beginning; otherwise an old part is a repeat of the network's. A
    // stream that was asked for twice begins twice, and the second beginning holds what the first did not know yet.
    if (reply.part === 0 && (open.sentAgain || open.stream)) {
      open.expected = 0;
      open.sentAgain = false;
    }
    if (reply.part < open.expected) return;
    if (reply.part > open.expected) {
      if (!open.sentAgain) this.#repeat(open);
      return;
    }
    open.expected++;
    if (open.stream) {
      open.deadline?.cancel();
      open.again?.cancel();
    }
    if (reply.last) this.#done(open.request);
    open.part(reply.body, reply.part, reply.last);
  }

  #fail(request: string, fault: Fault): void {
    const open = this.#open.get(request);
    if (open === undefined) return;
    this.#done(request);
    open.fault(fault);
  }

  #done(request: string): void {
    const open = this.#open.get(request);
    open?.deadline?.cancel();
    open?.again?.cancel();
    this.#open.delete(request);
  }
}

/** Undefined where the master that says so reaches enough of the others: an election is under way. */
function whyNoLeader({ voters, unreachable }: LeaderDocument): string | undefined {
  if (voters === undefined || unreachable.length * 2 < voters) return undefined;
  return `no leader: ${unreachable.length} of ${voters} masters unreachable (${unreachable.join(', ')})`;
}

/** Faults that the next moments may cure: no leader, or a framework that has not registered with the new one. */
function isPassing(fault: Fault, { framework }: OpenRequest): boolean {
  return fault.code === 'NO_LEADER' || (fault.code === 'NOT_REGISTERED' && framework !== undefined);
}

/** The parts of an answer as one: lists are joined, the rest is the last part's. */
function joined(op: string, framework: string | undefined, parts: readonly unknown[]): unknown {
  const operations: Readonly<
    Record<string, { readonly part: LeaderOps['agents']['part'] | BatchOps['jobs']['part'] }>
  > = framework === undefined ? (OPERATIONS as never) : (BATCH_OPERATIONS as never);
  const schema = operations[op]?.part;
  const whole: Record<string, unknown> = {};
  for (const part of parts) {
    const checked = schema === undefined ? part : check(schema, part);
    if (checked instanceof Fault) return checked;
    if (typeof checked !== 'object' || checked === null) return new Fault('BAD_SHAPE', `the answer to ${op} is no map`);
    for (const [key, value] of Object.entries(checked)) {
      const before = whole[key];
      whole[key] = Array.isArray(before) && Array.isArray(value) ? [...before, ...value] : value;
    }
  }
  return whole;
}

function faultOf(error: unknown): Fault {
  if (!(error instanceof BusError)) throw error;
  const { code, message } = error;
  if (code === 'NOT_ALLOWED' || code === 'BAD_CREDENTIALS' || code === 'TOO_LARGE') return new Fault(code, message);
  return new Fault('UNREACHABLE', message);
}

/** Said only where it is meant: who may not say it is refused. */
function over({ overBudget = false }: { readonly overBudget?: boolean }): { overBudget?: true } {
  return overBudget ? { overBudget } : {};
}
