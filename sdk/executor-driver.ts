import type { Clock, Timer } from '../io/clock.ts';
import type { LineConnection } from '../io/line-socket.ts';
import type { Log } from '../io/log.ts';
import { type Random, randomWord } from '../io/random.ts';
import type { MessageOf, Outgoing } from '../protocol/envelope.ts';
import { EXECUTOR_DOWN, EXECUTOR_UP, type LaunchedTask, readLine, writeLine } from '../protocol/executor.ts';
import { Fault } from '../protocol/faults.ts';
import { TIMES } from '../protocol/limits.ts';
import { isTerminal } from '../protocol/task.ts';
import type { Executor, ExecutorRegistration } from './executor.ts';

/** Mesos: mesos.proto Status. Calls on a driver that is not RUNNING do nothing. */
export type ExecutorDriverStatus = 'DRIVER_NOT_STARTED' | 'DRIVER_RUNNING' | 'DRIVER_STOPPED' | 'DRIVER_ABORTED';

/** What an executor says of one of its tasks. */
export interface ExecutorUpdate {
  readonly task: string;
  /** Default: the one that was launched last. */
  readonly attempt?: number;
  readonly state: Extract<MessageOf<typeof EXECUTOR_UP>, { type: 'UPDATE' }>['state'];
  /** At most 500 characters. */
  readonly message?: string;
  readonly exitCode?: number;
  /** For the scheduler, as `data` of the status: at most 8,192 characters. */
  readonly data?: string;
}

export interface ExecutorDriverOptions {
  readonly executor: Executor;
  /** What the agent told this process: `process.env`. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Connects to a Unix socket (io/node/line-socket.ts). */
  readonly connect: (path: string) => Promise<LineConnection>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log?: Log;
  /** How long it waits for an agent that is away, in milliseconds; then its tasks end. Default 15 min. */
  readonly recoveryMs?: number;
}

const RETRY_MS = 500;
/** How long a stopped driver waits for the agent to have written what was said last. */
const LAST_WORDS_MS = 5_000;

interface Sent {
  readonly uuid: string;
  readonly task: string;
  readonly attempt: number;
  readonly line: Outgoing<typeof EXECUTOR_UP>;
  readonly ends: boolean;
}

/** Makes a driver; {@link ExecutorDriver.start} connects it. */
export function createExecutorDriver(options: ExecutorDriverOptions): ExecutorDriver {
  return new ExecutorDriver(options);
}

/**
 * Connects an {@link Executor} to its agent, and connects it again when the agent was restarted: then it names its tasks
 * and repeats what was not acknowledged (Mesos: include/mesos/executor.hpp ExecutorDriver; docs/executors.md).
 */
export class ExecutorDriver {
  readonly #options: ExecutorDriverOptions;
  #status: ExecutorDriverStatus = 'DRIVER_NOT_STARTED';
  #connection: LineConnection | undefined;
  /** Taken in, on this connection. */
  #subscribed = false;
  #registeredBefore = false;
  /** Tasks of which the agent does not know yet that they have ended. */
  readonly #tasks = new Map<string, { readonly task: string; readonly attempt: number }>();
  /** Said, and not known to be written down; oldest first. */
  #unacknowledged: Sent[] = [];
  #retry: Timer | undefined;
  #recovery: Timer | undefined;
  #lastWords: Timer | undefined;
  #joined: ((status: ExecutorDriverStatus) => void)[] = [];
  #closed = false;

  constructor(options: ExecutorDriverOptions) {
    this.#options = options;
  }

  get status(): ExecutorDriverStatus {
    return this.#status;
  }

  /** Connects, and goes on trying. Aborts, with a word to `error`, where the agent's variables are missing. */
  start(): ExecutorDriverStatus {
    if (this.#status !== 'DRIVER_NOT_STARTED') return this.#status;
    const { executor, environment } = this.#options;
    this.#status = 'DRIVER_RUNNING';
    if (environment['MESQ_EXECUTOR_SOCKET'] === undefined || environment['MESQ_EXECUTOR_SECRET'] === undefined) {
      executor.error?.(
        this,
        new Fault(
          'BAD_USAGE',
          'MESQ_EXECUTOR_SOCKET or MESQ_EXECUTOR_SECRET is missing: an executor is started by an agent',
        ),
      );
      return this.abort();
    }
    this.#awaitAgent();
    this.#connect();
    return this.#status;
  }

  /** Stops, once the agent has written what was said last, or after 5 s. */
  stop(): ExecutorDriverStatus {
    if (this.#status !== 'DRIVER_RUNNING') return this.#status;
    this.#status = 'DRIVER_STOPPED';
    if (this.#unacknowledged.length === 0) this.#close();
    else this.#lastWords = this.#options.clock.after(LAST_WORDS_MS, () => this.#close());
    return this.#status;
  }

  /** Stops at once. */
  abort(): ExecutorDriverStatus {
    if (this.#status !== 'DRIVER_RUNNING') return this.#status;
    this.#status = 'DRIVER_ABORTED';
    this.#close();
    return this.#status;
  }

  /** Resolves when the driver has stopped or aborted, with its connection closed. */
  join(): Promise<ExecutorDriverStatus> {
    if (this.#closed || this.#status === 'DRIVER_NOT_STARTED') return Promise.resolve(this.#status);
    return new Promise((resolve) => this.#joined.push(resolve));
  }

  /** {@link start} and {@link join}. */
  run(): Promise<ExecutorDriverStatus> {
    this.start();
    return this.join();
  }

  /** Says it until the agent has written it down: the framework will hear of it, in order, once for each call. */
  sendStatusUpdate(update: ExecutorUpdate): ExecutorDriverStatus {
    if (this.#status !== 'DRIVER_RUNNING') return this.#status;
    const { task, state, message, exitCode, data } = update;
    const attempt = update.attempt ?? [...this.#tasks.values()].findLast((known) => known.task === task)?.attempt ?? 0;
    const uuid = randomWord(this.#options.random, 16);
    const line: Outgoing<typeof EXECUTOR_UP> = {
      type: 'UPDATE',
      task,
      attempt,
      uuid,
      state,
      ...(message === undefined ? {} : { message }),
      ...(exitCode === undefined ? {} : { exitCode }),
      ...(data === undefined ? {} : { data }),
    };
    this.#unacknowledged.push({ uuid, task, attempt, line, ends: isTerminal(state) });
    if (this.#subscribed) this.#send(line);
    return this.#status;
  }

  /** For the scheduler; at most once, at most 8,192 characters, and a hundred a second. */
  sendFrameworkMessage(data: string): ExecutorDriverStatus {
    if (this.#status === 'DRIVER_RUNNING' && this.#subscribed) this.#send({ type: 'MESSAGE', data });
    return this.#status;
  }

  #connect(): void {
    const { connect, environment, clock, log } = this.#options;
    const again = (reason: unknown): void => {
      if (this.#closed) return;
      log?.debug('agent not reached', { reason: String(reason) });
      this.#retry = clock.after(RETRY_MS, () => this.#connect());
    };
    connect(environment['MESQ_EXECUTOR_SOCKET'] ?? '').then((connection) => {
      if (this.#closed) return connection.close();
      this.#connection = connection;
      connection.onLine((line) => this.#heard(line));
      connection.onClosed(() => {
        if (this.#connection === connection) this.#lost();
        again('closed');
      });
      return this.#send({
        type: 'SUBSCRIBE',
        secret: environment['MESQ_EXECUTOR_SECRET'] ?? '',
        tasks: [...this.#tasks.values()],
      });
    }, again);
  }

  #lost(): void {
    this.#connection = undefined;
    if (!this.#subscribed) return;
    this.#subscribed = false;
    this.#awaitAgent();
    this.#options.executor.disconnected?.(this);
  }

  /** An executor that nobody will find again must not run for ever. */
  #awaitAgent(): void {
    const { clock, recoveryMs = TIMES.executorRecoveryMs } = this.#options;
    this.#recovery?.cancel();
    this.#recovery = clock.after(recoveryMs, () => {
      if (this.#status !== 'DRIVER_RUNNING') return;
      this.#options.executor.shutdown?.(this, 0);
      this.abort();
    });
  }

  #heard(line: string): void {
    const message = readLine(EXECUTOR_DOWN, line);
    if (message instanceof Fault) {
      this.#options.log?.warn('line unreadable', { code: message.code, message: message.message });
      return;
    }
    if (message.type === 'ACKNOWLEDGED') return this.#acknowledged(message.uuid);
    // A driver that stops waits for its last words to be heard, and listens to nothing else.
    if (this.#status === 'DRIVER_RUNNING') this.#told(message);
    else if (message.type === 'SUBSCRIBED') this.#sayAgain();
  }

  #told(message: Exclude<MessageOf<typeof EXECUTOR_DOWN>, { type: 'ACKNOWLEDGED' }>): void {
    const { executor } = this.#options;
    switch (message.type) {
      case 'SUBSCRIBED':
        return this.#taken(message);
      case 'LAUNCH': {
        const { type: _type, v: _v, ...task } = message;
        if (this.#fresh(task)) executor.launchTask(this, task);
        return;
      }
      case 'LAUNCH_GROUP': {
        const tasks = message.tasks.filter((task) => this.#fresh(task));
        if (executor.launchGroup !== undefined && tasks.length > 0) executor.launchGroup(this, message.group, tasks);
        else for (const task of tasks) executor.launchTask(this, task);
        return;
      }
      case 'KILL':
        return executor.killTask(this, message.task, message.attempt, message.graceMs);
      case 'MESSAGE':
        return executor.frameworkMessage?.(this, message.data);
      case 'SHUTDOWN':
        executor.shutdown?.(this, message.graceMs);
        this.stop();
        return;
      case 'ERROR':
        return executor.error?.(this, new Fault(message.fault.code, message.fault.message, message.fault.hint));
      case 'HEARTBEAT':
        return;
    }
  }

  #fresh({ task, attempt }: LaunchedTask): boolean {
    const name = `${task}.${attempt}`;
    if (this.#tasks.has(name)) return false;
    this.#tasks.set(name, { task, attempt });
    return true;
  }

  #taken({ framework, executor: id, agent, agentName }: ExecutorRegistration): void {
    const { executor } = this.#options;
    this.#recovery?.cancel();
    this.#subscribed = true;
    this.#sayAgain();
    const registration = { framework, executor: id, agent, agentName };
    if (this.#registeredBefore) executor.reregistered?.(this, registration);
    else executor.registered(this, registration);
    this.#registeredBefore = true;
  }

  #sayAgain(): void {
    for (const { line } of this.#unacknowledged) this.#send(line);
  }

  #acknowledged(uuid: string): void {
    const sent = this.#unacknowledged.find((each) => each.uuid === uuid);
    if (sent === undefined) return;
    this.#unacknowledged = this.#unacknowledged.filter((each) => each !== sent);
    if (sent.ends) this.#tasks.delete(`${sent.task}.${sent.attempt}`);
    if (this.#status !== 'DRIVER_RUNNING' && this.#unacknowledged.length === 0) this.#close();
  }

  #send(message: Outgoing<typeof EXECUTOR_UP>): void {
    const line = writeLine(EXECUTOR_UP, message);
    if (line !== undefined) this.#connection?.send(line);
    else this.#options.executor.error?.(this, new Fault('TOO_LARGE', `a ${message.type} does not fit into a line`));
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const timer of [this.#retry, this.#recovery, this.#lastWords]) timer?.cancel();
    this.#connection?.close();
    this.#connection = undefined;
    for (const joined of this.#joined.splice(0)) joined(this.#status);
  }
}
