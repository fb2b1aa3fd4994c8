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

  constructor(send: (topic: string, payload: Uint8Array, options: PublishOptions) => void, failed: (topic: string, error: unknown) => void) {
    this.#send = send;
    this.#failed = failed;
  }

  publish(topic: string, payload: Uint8Array, options: PublishOptions = {}): Promise<void> {
    this.deliver({ topic, payload, retained: false });
    this.#send(topic, payload, options);
    return Promise.resolve();
  }

  subscribe(filter: string, _qos: QoS, handler: (message: BusMessage) => void): Promise<() => void> {
    const subscription = { filter, handler };
    this.#subscriptions.add(subscription);
    return Promise.resolve(() => {
      this.#subscriptions.delete(subscription);
    });
  }

  /** Hands a message to whoever subscribed here. A handler that throws is reported, and harms nobody else. */
  deliver(message: BusMessage): void {
    for (const { filter, handler } of this.#subscriptions) {
      if (!matchesFilter(filter, message.topic)) continue;
      try {
        handler(message);
      } catch (error) {
        this.#failed(message.topic, error);
      }
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
