import type { Clock } from '../../io/clock.ts';
import type { LineConnection } from '../../io/line-socket.ts';
import type { Outgoing } from '../../protocol/envelope.ts';
import { EXECUTOR_DOWN, writeLine } from '../../protocol/executor.ts';
import { Fault } from '../../protocol/faults.ts';
import { LIMITS } from '../../protocol/limits.ts';

/** Words of one executor for its scheduler, in one second. */
const MESSAGES_PER_S = 100;

/** What is said to an executor over its newest connection, and how much it may say to its scheduler. */
export class ExecutorWords {
  readonly #clock: Clock;
  #connection: LineConnection | undefined;
  /** Words of its scheduler that came before it subscribed. */
  #waiting: string[] = [];
  #spoken = { sinceMs: 0, count: 0 };

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get connected(): boolean {
    return this.#connection !== undefined;
  }

  /** It has subscribed on this one: the one before is closed. */
  connect(connection: LineConnection): void {
    this.#connection?.close();
    this.#connection = connection;
  }

  /** True where that was the newest connection. */
  lost(connection: LineConnection): boolean {
    if (this.#connection !== connection) return false;
    this.#connection = undefined;
    return true;
  }

  close(): void {
    this.#connection?.close();
  }

  /** A word of its scheduler; the oldest are kept for one that has not subscribed. */
  tell(data: string): void {
    if (this.#connection !== undefined) this.send({ type: 'MESSAGE', data });
    else if (this.#waiting.length < LIMITS.executorMessages) this.#waiting.push(data);
  }

  /** What was kept for it. */
  tellKept(): void {
    for (const data of this.#waiting.splice(0)) this.send({ type: 'MESSAGE', data });
  }

  /** It has a word for its scheduler; the fault where that is one too many. */
  speaks(): Fault | undefined {
    const nowMs = this.#clock.monotonic();
    if (nowMs - this.#spoken.sinceMs >= 1_000) this.#spoken = { sinceMs: nowMs, count: 0 };
    return ++this.#spoken.count > MESSAGES_PER_S
      ? new Fault('LIMIT', `${MESSAGES_PER_S} messages a second`)
      : undefined;
  }

  refuse({ code, message, hint }: Fault): void {
    this.send({ type: 'ERROR', fault: { code, message, hint } });
  }

  /** False where it does not fit into a line. Lost where nobody is connected. */
  send(message: Outgoing<typeof EXECUTOR_DOWN>): boolean {
    const line = writeLine(EXECUTOR_DOWN, message);
    if (line === undefined) return false;
    this.#connection?.send(line);
    return true;
  }
}
