import type { Timer } from '../io/clock.ts';
import { type Outgoing, write } from '../protocol/envelope.ts';
import { CALLS } from '../protocol/scheduler.ts';
import { topicOf } from '../protocol/topics.ts';
import type { SchedulerDriverOptions } from './scheduler-driver-options.ts';

export type Call = Outgoing<typeof CALLS>;

/** Longest that an end waits for the broker to take the last calls. */
const LEAVE_MS = 5_000;

/** Publishes calls, each once, and knows which of them the broker has not taken yet. */
export class CallSender {
  readonly #options: SchedulerDriverOptions;
  readonly #topic: string;
  readonly #failed: (error: unknown) => void;
  readonly #leaving = new Set<Promise<void>>();

  constructor(options: SchedulerDriverOptions, failed: (error: unknown) => void) {
    this.#options = options;
    this.#topic = topicOf(options.prefix ?? 'mesq', { kind: 'call', name: options.name });
    this.#failed = failed;
  }

  send(call: Call): void {
    const { bus, encoding } = this.#options;
    const sent = bus
      .publish(this.#topic, write(CALLS, call, encoding), { qos: 1 })
      .catch(this.#failed)
      .finally(() => this.#leaving.delete(sent));
    this.#leaving.add(sent);
  }

  /** Resolves once the broker has taken every call, or 5 s have passed. */
  async left(): Promise<void> {
    let late: Timer | undefined;
    const tooLate = new Promise<void>((resolve) => {
      late = this.#options.clock.after(LEAVE_MS, resolve);
    });
    await Promise.race([Promise.all(this.#leaving), tooLate]);
    late?.cancel();
  }
}
