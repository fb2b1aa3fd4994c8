import {
  BusError,
  type BusMessage,
  type BusPulse,
  MAX_PAYLOAD_BYTES,
  type MovableBus,
  type Opening,
  type PublishOptions,
  type QoS,
  type Will,
} from '../../io/bus.ts';
import type { Clock, Timer } from '../../io/clock.ts';
import { Subscriptions } from '../../io/subscriptions.ts';
import { isTopic, isTopicFilter } from '../../io/topic-filter.ts';
import { Link, NO_ANSWER, type SimulatedNetwork } from './network.ts';

export interface SimulatedBusOptions {
  readonly clientId: string;
  readonly urls: readonly string[];
  /** Asked before every connection. */
  readonly will?: () => Will | undefined;
  /** As `MqttBusOptions` has it. */
  readonly opening?: (url: string) => Opening | undefined;
  /** Default 60. */
  readonly keepAliveS?: number;
  /** The bus of a master on the broker it embeds. Default false. */
  readonly local?: boolean;
  /** Of the process. Default: the network's. */
  readonly clock?: Clock;
  /** Default 4,000. */
  readonly connectTimeoutMs?: number;
  /** Longest wait before it connects again; default 30,000. */
  readonly backOffCapMs?: number;
}

/** The twin of `connectMqttBus`. */
export function connectSimulatedBus(network: SimulatedNetwork, options: SimulatedBusOptions): SimulatedBus {
  return new SimulatedBus(network, options);
}

/** A bus on a simulated network. A handler that throws fails the simulation. */
export class SimulatedBus implements MovableBus {
  private readonly network: SimulatedNetwork;
  private readonly options: SimulatedBusOptions;
  private readonly clock: Clock;
  private readonly subscriptions = new Subscriptions();
  private readonly connectedListeners: (() => void)[] = [];
  private readonly disconnectedListeners: ((reason: string) => void)[] = [];
  private readonly pending = new Set<(error: BusError) => void>();
  private urls: readonly string[];
  private target: string;
  private link: Link | undefined;
  /** What the present link has asked for; undefined until the broker accepted it. */
  private asked: Map<string, QoS> | undefined;
  private up = false;
  private closed = false;
  private attempts = 0;
  private timer: Timer | undefined;
  private beat: Timer | undefined;
  private readonly outcomes: ((answered: boolean) => void)[] = [];
  readonly pulse: BusPulse = {
    every: (ms) => {
      this.link?.every(ms);
      this.listenEvery(ms);
    },
    onOutcome: (listener) => {
      this.outcomes.push(listener);
    },
  };

  constructor(network: SimulatedNetwork, options: SimulatedBusOptions) {
    this.network = network;
    this.options = options;
    this.clock = options.clock ?? network.clock;
    this.urls = options.urls;
    this.target = this.pick();
    this.dial();
  }

  get connected(): boolean {
    return this.up;
  }

  get url(): string {
    return this.target;
  }

  publish(topic: string, payload: Uint8Array, { qos = 0, retain = false }: PublishOptions = {}): Promise<void> {
    if (!isTopic(topic)) return Promise.reject(new TypeError(`not a topic: ${topic}`));
    if (payload.length > MAX_PAYLOAD_BYTES) return Promise.reject(new BusError('TOO_LARGE', topic));
    const { link } = this;
    if (this.closed) return Promise.reject(new BusError('CLOSED', 'the bus is closed'));
    if (!this.up || link === undefined)
      return Promise.reject(new BusError('DISCONNECTED', `no connection to ${this.target}`));
    const bytes = payload.slice();
    if (qos === 0) {
      const isLost = this.network.random.chance(this.network.loss);
      if (!isLost || this.options.local === true) link.toBroker(() => link.broker.route(topic, bytes, 0, retain));
      return Promise.resolve();
    }
    return this.request((done) =>
      link.toBroker(() => {
        link.broker.route(topic, bytes, 1, retain);
        link.toClient('', done);
      }),
    );
  }

  async subscribe(filter: string, qos: QoS, handler: (message: BusMessage) => void): Promise<() => void> {
    if (!isTopicFilter(filter)) throw new TypeError(`not a topic filter: ${filter}`);
    if (this.closed) throw new BusError('CLOSED', 'the bus is closed');
    const remove = this.subscriptions.add(filter, qos, handler);
    const { link } = this;
    if (this.up && link !== undefined) await this.ask(link, new Map([[filter, this.subscriptions.qosOf(filter)]]));
    else this.asked?.delete(filter);
    return () => {
      if (!remove()) return;
      const present = this.link;
      if (this.asked?.delete(filter)) present?.toBroker(() => present.broker.unsubscribe(present, filter));
    };
  }

  onConnected(listener: () => void): void {
    this.connectedListeners.push(listener);
    if (this.up) listener();
  }

  onDisconnected(listener: (reason: string) => void): void {
    this.disconnectedListeners.push(listener);
  }

  setUrls(urls: readonly string[]): void {
    this.urls = urls;
    if (!urls.includes(this.target)) this.goTo(this.pick());
  }

  moveTo(url: string): void {
    if (url !== this.target || this.link === undefined) this.goTo(url);
  }

  /** It waits as long whatever has worked. */
  worked(): void {}

  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    this.timer?.cancel();
    await this.leave();
  }

  /** The process dies without a word; its broker notices. */
  kill(): void {
    this.closed = true;
    this.timer?.cancel();
    this.beat?.cancel();
    this.link?.break('killed');
  }

  private received(link: Link, message: BusMessage): void {
    if (link !== this.link) return;
    this.subscriptions.deliver(message, (error) => {
      throw error;
    });
  }

  private broken(link: Link, reason: string): void {
    if (link !== this.link) return;
    const { up, asked } = this;
    if (reason === NO_ANSWER) for (const listener of this.outcomes) listener(false);
    this.forget(reason);
    if (this.closed) return;
    if (!up) this.target = this.urls[(this.urls.indexOf(this.target) + 1) % this.urls.length] ?? this.target;
    const { backOffCapMs = 30_000 } = this.options;
    const waitMs = this.network.random.next() * Math.min(backOffCapMs, 100 * 2 ** this.attempts++);
    this.timer = this.clock.after(waitMs, () => this.dial());
    if (asked !== undefined) for (const listener of this.disconnectedListeners) listener(reason);
  }

  private pick(): string {
    return this.urls[this.network.random.below(this.urls.length)] ?? '';
  }

  private goTo(url: string): void {
    if (this.closed) return;
    const { asked } = this;
    this.timer?.cancel();
    void this.leave();
    this.target = url;
    this.dial();
    if (asked !== undefined) for (const listener of this.disconnectedListeners) listener(`moving to ${url}`);
  }

  /** DISCONNECT; resolves when the broker has it, or never will. */
  private leave(): Promise<void> {
    const { link } = this;
    this.forget('left');
    if (link === undefined) return Promise.resolve();
    return new Promise((resolve) => {
      link.toBroker(() => {
        link.close();
        link.broker.left(link);
        resolve();
      });
      this.clock.after(1_000, () => {
        link.break('left');
        resolve();
      });
    });
  }

  private dial(): void {
    const { clientId, will, keepAliveS = 60, local = false, connectTimeoutMs = 4_000 } = this.options;
    const last = will?.();
    const opening = this.options.opening?.(this.target);
    const opened = opening && { opening, wanted: this.subscriptions.wanted() };
    const link = new Link(this.network, this.network.broker(this.target), {
      clientId,
      will: opening === undefined ? last : undefined,
      keepAliveS,
      local,
      received: (from, message) => this.received(from, message),
      broken: (from, reason) => this.broken(from, reason),
    });
    const { broker } = link;
    this.link = link;
    this.timer = this.clock.after(connectTimeoutMs, () => link.break('no answer'));
    link.toBroker(() => {
      if (!broker.running) return link.break('nothing listens there');
      broker.accept(link);
      if (opened !== undefined) this.open(link, opened);
      link.toClient('', () => void this.subscribeAll(link, opened?.wanted));
    });
  }

  private open(link: Link, { opening, wanted }: { opening: Opening; wanted: ReadonlyMap<string, QoS> }): void {
    const { topic, payload, without } = opening;
    link.broker.subscribe(link, new Map([...wanted].filter(([filter]) => !without.includes(filter))));
    if (!this.network.random.chance(this.network.loss)) link.broker.route(topic, payload, 0, false);
  }

  private async subscribeAll(link: Link, opened?: ReadonlyMap<string, QoS>): Promise<void> {
    if (link !== this.link) return;
    const asked = new Map<string, QoS>(opened);
    this.asked = asked;
    for (;;) {
      const missing = [...this.subscriptions.wanted()].filter(([filter, qos]) => (asked.get(filter) ?? -1) < qos);
      if (missing.length === 0) break;
      await this.ask(link, new Map(missing));
      if (link !== this.link) return;
    }
    this.timer?.cancel();
    this.up = true;
    this.attempts = 0;
    if (this.outcomes.length > 0) this.listenEvery(1_000 * (this.options.keepAliveS ?? 60));
    for (const listener of this.connectedListeners) if (link === this.link) listener();
  }

  private async ask(link: Link, filters: ReadonlyMap<string, QoS>): Promise<void> {
    for (const [filter, qos] of filters) this.asked?.set(filter, qos);
    const granted = this.request((done) =>
      link.toBroker(() => {
        link.broker.subscribe(link, filters);
        link.toClient('', done);
      }),
    );
    // Where the link breaks first, the next one asks again.
    await granted.catch(() => {});
  }

  private request(start: (done: () => void) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      this.pending.add(reject);
      start(() => {
        this.pending.delete(reject);
        resolve();
      });
    });
  }

  /** Whether the other end is there, so often, where anybody wants to know. */
  private listenEvery(ms: number): void {
    this.beat?.cancel();
    this.beat = this.clock.after(ms, () => {
      this.listenEvery(ms);
      if (this.link?.answers === true) for (const listener of this.outcomes) listener(true);
    });
  }

  private forget(reason: string): void {
    this.beat?.cancel();
    this.link = undefined;
    this.asked = undefined;
    this.up = false;
    this.timer?.cancel();
    const error = new BusError('DISCONNECTED', reason);
    for (const reject of this.pending) reject(error);
    this.pending.clear();
  }
}
