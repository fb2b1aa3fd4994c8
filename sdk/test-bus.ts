import { type Bus, BusError, type BusMessage, type PublishOptions, type QoS } from '../io/bus.ts';
import type { Clock } from '../io/clock.ts';
import { Subscriptions } from '../io/subscriptions.ts';

/** A broker in memory. What is published arrives in the next turn of its clock, in order. */
export class TestBroker {
  readonly #clock: Clock;
  readonly #buses = new Set<TestBus>();
  readonly #retained = new Map<string, Uint8Array>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  connect(): TestBus {
    const bus = new TestBus(this);
    this.#buses.add(bus);
    return bus;
  }

  /** Hands a message on, and keeps it where it is to be retained. */
  route(topic: string, payload: Uint8Array, retain: boolean): void {
    if (retain && payload.length === 0) this.#retained.delete(topic);
    else if (retain) this.#retained.set(topic, payload);
    this.later(() => {
      for (const bus of this.#buses) bus.deliver({ topic, payload, retained: false });
    });
  }

  /** What is retained, for a new subscription. */
  replay(deliver: (message: BusMessage) => void): void {
    this.later(() => {
      for (const [topic, payload] of this.#retained) deliver({ topic, payload, retained: true });
    });
  }

  later(callback: () => void): void {
    this.#clock.after(0, callback);
  }
}

/** A connection to a {@link TestBroker}; {@link cut} and {@link mend} are the bad link. */
export class TestBus implements Bus {
  readonly #broker: TestBroker;
  readonly #subscriptions = new Subscriptions();
  readonly #connectedListeners: (() => void)[] = [];
  readonly #disconnectedListeners: ((reason: string) => void)[] = [];
  #state: 'connected' | 'cut' | 'closed' = 'connected';

  constructor(broker: TestBroker) {
    this.#broker = broker;
  }

  get connected(): boolean {
    return this.#state === 'connected';
  }

  /** The connection breaks: what is said from now on, either way, is lost. */
  cut(): void {
    if (this.#state !== 'connected') return;
    this.#state = 'cut';
    for (const listener of this.#disconnectedListeners) listener('cut');
  }

  /** The connection is back. */
  mend(): void {
    if (this.#state !== 'cut') return;
    this.#state = 'connected';
    this.#broker.replay((message) => this.deliver(message));
    for (const listener of this.#connectedListeners) listener();
  }

  publish(topic: string, payload: Uint8Array, { retain = false }: PublishOptions = {}): Promise<void> {
    if (this.#state === 'closed') return Promise.reject(new BusError('CLOSED', 'the bus is closed'));
    if (this.#state === 'cut') return Promise.reject(new BusError('DISCONNECTED', 'the connection is cut'));
    this.#broker.route(topic, payload, retain);
    return Promise.resolve();
  }

  subscribe(filter: string, qos: QoS, handler: (message: BusMessage) => void): Promise<() => void> {
    const remove = this.#subscriptions.add(filter, qos, handler);
    const mine = new Subscriptions();
    mine.add(filter, qos, handler);
    this.#broker.replay((message) => this.connected && mine.deliver(message, rethrow));
    return Promise.resolve(() => {
      remove();
    });
  }

  /** For the broker. */
  deliver(message: BusMessage): void {
    if (this.connected) this.#subscriptions.deliver(message, rethrow);
  }

  onConnected(listener: () => void): void {
    this.#connectedListeners.push(listener);
    if (this.connected) this.#broker.later(() => this.connected && listener());
  }

  onDisconnected(listener: (reason: string) => void): void {
    this.#disconnectedListeners.push(listener);
  }

  close(): Promise<void> {
    this.#state = 'closed';
    return Promise.resolve();
  }
}

/** In a test, a handler that throws is what the test wants to know. */
function rethrow(error: unknown): never {
  throw error;
}
