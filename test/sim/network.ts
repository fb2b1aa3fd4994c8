import type { BusMessage, QoS, Will } from '../../io/bus.ts';
import type { Timer } from '../../io/clock.ts';
import { matchesFilter } from '../../io/topic-filter.ts';
import type { VirtualClock } from './clock.ts';
import type { SeededRandom } from './random.ts';

export interface NetworkOptions {
  readonly clock: VirtualClock;
  readonly random: SeededRandom;
  /** Least and most milliseconds one way. Default 1 to 5. */
  readonly latencyMs?: readonly [number, number];
  /** Messages may overtake each other on their way to a subscriber, except within a topic. Default true. */
  readonly reorder?: boolean;
  /** Probability that a QoS 0 message is lost. Default 0. */
  readonly loss?: number;
  /** Probability that a QoS 1 message arrives twice. Default 0. */
  readonly duplicates?: number;
}

/** Brokers, clients, and everything between them that can go wrong, from one seed. */
export class SimulatedNetwork {
  readonly clock: VirtualClock;
  readonly random: SeededRandom;
  readonly reorder: boolean;
  readonly loss: number;
  readonly duplicates: number;
  /** Hears every publish that reaches a broker, wills included. */
  onPublish: (topic: string, payload: Uint8Array, retain: boolean) => void = () => undefined;
  /** Called when a broker has noticed that a client is gone, politely or not. */
  onGone: (clientId: string) => void = () => undefined;
  private readonly latencyMs: readonly [number, number];
  private readonly brokers = new Map<string, SimulatedBroker>();
  private readonly links = new Set<Link>();
  private blocks: (clientId: string, brokerUrl: string) => boolean = () => false;

  constructor(options: NetworkOptions) {
    this.clock = options.clock;
    this.random = options.random;
    this.latencyMs = options.latencyMs ?? [1, 5];
    this.reorder = options.reorder ?? true;
    this.loss = options.loss ?? 0;
    this.duplicates = options.duplicates ?? 0;
  }

  /** The broker at `url`; made, and running, when first asked for. */
  broker(url: string): SimulatedBroker {
    const broker = this.brokers.get(url) ?? new SimulatedBroker(url, this);
    this.brokers.set(url, broker);
    return broker;
  }

  /** Breaks the connections of `clientId`: it notices at once, its broker when the reset arrives. */
  cut(clientId: string, reason = 'cut'): void {
    for (const link of [...this.links]) if (link.client.clientId === clientId) link.break(reason);
  }

  /**
   * Lets nothing pass between clients and brokers for which `blocks` is true. Packets wait, as TCP keeps them, until
   * {@link heal}; after 1.5 keep-alives both ends give the connection up ([MQTT-3.1.2-24]). Replaces the partition before.
   */
  partition(blocks: (clientId: string, brokerUrl: string) => boolean): void {
    this.blocks = blocks;
    for (const link of [...this.links]) link.blockageChanged();
  }

  heal(): void {
    this.partition(() => false);
  }

  isBlocked(link: Link): boolean {
    return !link.client.local && this.blocks(link.client.clientId, link.broker.url);
  }

  open(link: Link): void {
    this.links.add(link);
  }

  closed(link: Link): void {
    this.links.delete(link);
  }

  latency(): number {
    const [least, most] = this.latencyMs;
    return least + this.random.next() * (most - least);
  }
}

/** What of a broker a client can see: retained messages, wills, subscriptions, and that it may be gone. */
export class SimulatedBroker {
  readonly url: string;
  /** False between {@link stop} and {@link start}. */
  running = true;
  private readonly network: SimulatedNetwork;
  private readonly retained = new Map<string, Uint8Array>();
  private readonly sessions = new Map<string, Link>();
  /** Who has ever subscribed to a topic, or with a wildcard; some are gone since. */
  private readonly exact = new Map<string, Set<Link>>();
  private readonly wild = new Set<Link>();
  private readonly places = new WeakMap<Link, number>();
  private accepted = 0;

  constructor(url: string, network: SimulatedNetwork) {
    this.url = url;
    this.network = network;
  }

  /** Dies, with all it holds: no will is sent, nothing retained remains. */
  stop(): void {
    this.running = false;
    this.retained.clear();
    const links = [...this.sessions.values()];
    this.sessions.clear();
    for (const link of links) link.break('the broker died');
  }

  start(): void {
    this.running = true;
  }

  /** Who is connected, in the order they came. */
  clients(): string[] {
    return [...this.sessions.keys()];
  }

  accept(link: Link): void {
    // A second client under the name takes over ([MQTT-3.1.4-2]).
    const before = this.sessions.get(link.client.clientId);
    if (before !== undefined) {
      before.break('taken over');
      this.lost(before);
    }
    this.sessions.set(link.client.clientId, link);
    this.places.set(link, this.accepted++);
  }

  subscribe(link: Link, filters: ReadonlyMap<string, QoS>): void {
    for (const [filter, qos] of filters) {
      link.subscriptions.set(filter, qos);
      if (/[+#]/.test(filter)) this.wild.add(link);
      else this.exact.set(filter, (this.exact.get(filter) ?? new Set()).add(link));
      for (const [topic, payload] of this.retained) {
        if (matchesFilter(filter, topic)) this.deliver(link, { topic, payload, retained: true }, qos);
      }
    }
  }

  route(topic: string, payload: Uint8Array, qos: QoS, retain: boolean): void {
    this.network.onPublish(topic, payload, retain);
    if (retain && payload.length === 0) this.retained.delete(topic);
    else if (retain) this.retained.set(topic, payload);
    for (const link of this.subscribers(topic)) {
      const granted = [...link.subscriptions]
        .filter(([filter]) => matchesFilter(filter, topic))
        .map(([, each]) => each);
      if (granted.length === 0) continue;
      this.deliver(link, { topic, payload, retained: false }, granted.includes(1) ? qos : 0);
    }
  }

  /** Those who may have subscribed to the topic, in the order they connected. */
  private subscribers(topic: string): Link[] {
    const found = new Set([...(this.exact.get(topic) ?? []), ...this.wild]);
    const live = [...found].filter((link) => this.sessions.get(link.client.clientId) === link);
    return live.sort((one, other) => (this.places.get(one) ?? 0) - (this.places.get(other) ?? 0));
  }

  /** DISCONNECT: the will is forgotten ([MQTT-3.14.4-3]). */
  left(link: Link): void {
    if (this.sessions.get(link.client.clientId) !== link) return;
    this.sessions.delete(link.client.clientId);
    this.network.onGone(link.client.clientId);
  }

  /** The connection broke. */
  lost(link: Link): void {
    if (this.sessions.get(link.client.clientId) !== link) return;
    this.sessions.delete(link.client.clientId);
    this.network.onGone(link.client.clientId);
    const { will } = link.client;
    if (will !== undefined) this.route(will.topic, will.payload, will.qos ?? 0, will.retain ?? false);
  }

  private deliver(link: Link, message: BusMessage, qos: QoS): void {
    if (qos === 0 && this.network.random.chance(this.network.loss)) return;
    link.toClient(message.topic, () => link.client.received(link, message));
    if (qos === 1 && this.network.random.chance(this.network.duplicates)) {
      link.toClient(message.topic, () => link.client.received(link, message));
    }
  }
}

/** The client's end of a connection. */
export interface LinkEnd {
  readonly clientId: string;
  readonly will: Will | undefined;
  readonly keepAliveS: number;
  /** Within one process: no latency, no partition. */
  readonly local: boolean;
  readonly received: (link: Link, message: BusMessage) => void;
  /** Once, unless the client left. */
  readonly broken: (link: Link, reason: string) => void;
}

/** One connection: two pipes of packets that take their time. */
export class Link {
  readonly broker: SimulatedBroker;
  readonly client: LinkEnd;
  readonly subscriptions = new Map<string, QoS>();
  private readonly network: SimulatedNetwork;
  private readonly latest = new Map<string, number>();
  private open = true;
  private waiting: (() => void)[] = [];
  private doom: Timer | undefined;

  constructor(network: SimulatedNetwork, broker: SimulatedBroker, client: LinkEnd) {
    this.network = network;
    this.broker = broker;
    this.client = client;
    network.open(this);
  }

  /** TCP: what is sent first arrives first. */
  toBroker(packet: () => void): void {
    this.send('up', packet);
  }

  toClient(topic: string, packet: () => void): void {
    this.send(this.network.reorder ? `down ${topic}` : 'down', packet);
  }

  /** Both ends lose it, and what is on its way; the broker hears of it a little later, unless it is cut off. */
  break(reason: string): void {
    if (!this.close()) return;
    this.client.broken(this, reason);
    const { clock } = this.network;
    const wait = this.network.isBlocked(this) ? this.client.keepAliveS * 1_500 : this.transit();
    clock.after(wait, () => this.broker.lost(this));
  }

  /** Ends it; false where it had ended before. */
  close(): boolean {
    if (!this.open) return false;
    this.open = false;
    this.doom?.cancel();
    this.network.closed(this);
    return true;
  }

  blockageChanged(): void {
    this.doom?.cancel();
    this.doom = undefined;
    if (this.network.isBlocked(this)) {
      this.doom = this.network.clock.after(this.client.keepAliveS * 1_500, () => {
        this.break('keep-alive timeout');
        this.broker.lost(this);
      });
    } else {
      const { waiting } = this;
      this.waiting = [];
      for (const packet of waiting) packet();
    }
  }

  private send(pipe: string, packet: () => void): void {
    const { clock } = this.network;
    const due = Math.max(this.latest.get(pipe) ?? 0, clock.monotonic() + this.transit());
    this.latest.set(pipe, due);
    const arrive = () => {
      if (!this.open) return;
      if (this.network.isBlocked(this)) this.waiting.push(arrive);
      else packet();
    };
    clock.after(due - clock.monotonic(), arrive);
  }

  private transit(): number {
    return this.client.local ? 0 : this.network.latency();
  }
}
