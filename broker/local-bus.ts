import type { Bus, BusMessage, PublishOptions, QoS } from '../io/bus.ts';
import { matchesFilter } from '../io/topic-filter.ts';

interface Subscription {
  readonly filter: string;
  readonly handler: (message: BusMessage) => void;
}

/**
 * The master's own connection: no socket, no copy. It hears every publish that is allowed, before it is routed and in
 * the order it arrived, so that nothing Aedes does later can lose it.
 */
export class LocalBus implements Bus {
  readonly connected = true;
  readonly #subscriptions = new Set<Subscription>();
  readonly #send: (topic: string, payload: Uint8Array, options: PublishOptions) => void;
  readonly #failed: (topic: string, error: unknown) => void;
  readonly #retained: (filter: string) => Iterable<{ readonly topic: string; readonly payload: Uint8Array }>;

  constructor(
    send: (topic: string, payload: Uint8Array, options: PublishOptions) => void,
    failed: (topic: string, error: unknown) => void,
    retained: (filter: string) => Iterable<{ readonly topic: string; readonly payload: Uint8Array }>,
  ) {
    this.#send = send;
    this.#failed = failed;
    this.#retained = retained;
  }

  publish(topic: string, payload: Uint8Array, options: PublishOptions = {}): Promise<void> {
    this.deliver({ topic, payload, retained: false });
    this.#send(topic, payload, options);
    return Promise.resolve();
  }

  async subscribe(filter: string, _qos: QoS, handler: (message: BusMessage) => void): Promise<() => void> {
    const subscription = { filter, handler };
    this.#subscriptions.add(subscription);
    // Not within the call: nobody expects to be called back before it has returned.
    await Promise.resolve();
    for (const { topic, payload } of this.#retained(filter)) {
      if (!this.#subscriptions.has(subscription)) break;
      this.#hand(subscription, { topic, payload, retained: true });
    }
    return () => {
      this.#subscriptions.delete(subscription);
    };
  }

  /** Hands a message to whoever subscribed here. A handler that throws is reported, and harms nobody else. */
  deliver(message: BusMessage): void {
    for (const subscription of this.#subscriptions)
      if (matchesFilter(subscription.filter, message.topic)) this.#hand(subscription, message);
  }

  #hand({ handler }: Subscription, message: BusMessage): void {
    try {
      handler(message);
    } catch (error) {
      this.#failed(message.topic, error);
    }
  }

  onConnected(listener: () => void): void {
    listener();
  }

  onDisconnected(): void {}

  close(): Promise<void> {
    this.#subscriptions.clear();
    return Promise.resolve();
  }
}
