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
  /** A packet in so many takes up to so many milliseconds more. Default none does. */
  readonly tail?: { readonly chance: number; readonly ms: number };
  /** Messages may overtake each other on their way to a subscriber, except within a topic. Default true. */
  readonly reorder?: boolean;
  /** Probability that a QoS 0 message is lost. Default 0. */
  readonly loss?: number;
  /** Probability that a QoS 1 message arrives twice. Default 0. */
  readonly duplicates?: number;
  /** The same of QoS 0, which MQTT forbids and a Raft core endures. Default 0. */
  readonly duplicatesAtQos0?: number;
}

/** From a client to its broker, or back. */
export type Direction = 'up' | 'down';

/** Lets nothing pass, or everything. */
export type Partition = (clientId: string, brokerUrl: string, direction: Direction) => boolean;

/** Brokers, clients, and everything between them that can go wrong, from one seed. */
export class SimulatedNetwork {
  readonly clock: VirtualClock;
  readonly random: SeededRandom;
  readonly reorder: boolean;
  loss: number;
  duplicates: number;
  duplicatesAtQos0: number;
  /** Hears every publish that reaches a broker, wills included. */
  onPublish: (topic: string, payload: Uint8Array, retain: boolean) => void = () => undefined;
  /** Called when a broker has noticed that a client is gone, politely or not. */
  onGone: (clientId: string, brokerUrl: string) => void = () => undefined;
  private readonly latencyMs: readonly [number, number];
  private tail: { readonly chance: number; readonly ms: number };
  private readonly brokers = new Map<string, SimulatedBroker>();
  private readonly links = new Set<Link>();
  private blocks: Partition = () => false;
  private sleeps: (clientId: string | undefined, brokerUrl: string | undefined) => boolean = () => false;
  private unheard: { readonly asleep: () => boolean; readonly tell: () => void }[] = [];

  constructor(options: NetworkOptions) {
    this.clock = options.clock;
    this.random = options.random;
    this.latencyMs = options.latencyMs ?? [1, 5];
    this.reorder = options.reorder ?? true;
    this.loss = options.loss ?? 0;
    this.duplicates = options.duplicates ?? 0;
    this.duplicatesAtQos0 = options.duplicatesAtQos0 ?? 0;
    this.tail = options.tail ?? { chance: 0, ms: 0 };
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
  partition(blocks: Partition): void {
    this.blocks = blocks;
    for (const link of [...this.links]) link.blockageChanged();
  }

  /**
   * Processes that are paused: a client's (asked with its id alone) or a broker's (its URL alone). What is sent to them
   * waits, also within one process, and so does the news that a connection ended. Replaces those before.
   */
  pause(sleeps: (clientId: string | undefined, brokerUrl: string | undefined) => boolean): void {
    this.sleeps = sleeps;
    for (const link of [...this.links]) link.blockageChanged();
    const { unheard } = this;
    this.unheard = [];
    for (const { asleep, tell } of unheard) this.tell(asleep, tell);
  }

  /** At once, or when the process that is to hear of it goes on. */
  tellClient(clientId: string, tell: () => void): void {
    this.tell(() => this.sleeps(clientId, undefined), tell);
  }

  tellBroker(url: string, tell: () => void): void {
    this.tell(() => this.sleeps(undefined, url), tell);
  }

  private tell(asleep: () => boolean, tell: () => void): void {
    if (asleep()) this.unheard.push({ asleep, tell });
    else tell();
  }

  /** From now on nothing is lost, doubled or late. */
  calm(): void {
    this.loss = 0;
    this.duplicates = 0;
    this.duplicatesAtQos0 = 0;
    this.tail = { chance: 0, ms: 0 };
  }

  heal(): void {
    this.partition(() => false);
  }

  isBlocked({ client, broker }: Link, direction: Direction): boolean {
    if (this.sleeps(client.clientId, undefined) || this.sleeps(undefined, broker.url)) return true;
    return !client.local && this.blocks(client.clientId, broker.url, direction);
  }

  open(link: Link): void {
    this.links.add(link);
  }

  closed(link: Link): void {
    this.links.delete(link);
  }

  latency(): number {
    const [least, most] = this.latencyMs;
    const late = this.tail.chance > 0 && this.random.chance(this.tail.chance) ? this.random.next() * this.tail.ms : 0;
    return least + this.random.next() * (most - least) + late;
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
  /** Who receives a topic at present, and how; forgotten whenever somebody comes, goes, or asks for something else. */
  private readonly routes = new Map<string, readonly (readonly [link: Link, granted: QoS])[]>();
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
    this.routes.clear();
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
    this.routes.clear();
    this.places.set(link, this.accepted++);
  }

  subscribe(link: Link, filters: ReadonlyMap<string, QoS>): void {
    this.routes.clear();
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
    for (const [link, granted] of this.receivers(topic))
      this.deliver(link, { topic, payload, retained: false }, granted === 1 ? qos : 0);
  }

  /** In the order they connected. */
  private receivers(topic: string): readonly (readonly [link: Link, granted: QoS])[] {
    const known = this.routes.get(topic);
    if (known !== undefined) return known;
    const found = this.subscribers(topic).flatMap((link) => {
      const granted = [...link.subscriptions].filter(([filter]) => matchesFilter(filter, topic));
      return granted.length === 0 ? [] : [[link, granted.some(([, qos]) => qos === 1) ? 1 : 0] as const];
    });
    this.routes.set(topic, found);
    return found;
  }

  unsubscribe(link: Link, filter: string): void {
    this.routes.clear();
    link.subscriptions.delete(filter);
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
    this.routes.clear();
    this.network.onGone(link.client.clientId, this.url);
  }

  /** The connection broke. */
  lost(link: Link): void {
    this.network.tellBroker(this.url, () => {
      if (this.sessions.get(link.client.clientId) !== link) return;
      this.sessions.delete(link.client.clientId);
      this.routes.clear();
      this.network.onGone(link.client.clientId, this.url);
      const { will } = link.client;
      if (will !== undefined) this.route(will.topic, will.payload, will.qos ?? 0, will.retain ?? false);
    });
  }

  /** When something of a client whose id begins like that was heard last, pings included; undefined where none is connected. */
  lastPacketMs(prefix: string): number | undefined {
    const heard = [...this.sessions].filter(([id]) => id.startsWith(prefix)).map(([, link]) => link.heardMs);
    return heard.length === 0 ? undefined : Math.max(...heard);
  }

  private deliver(link: Link, message: BusMessage, qos: QoS): void {
    const { random, loss, duplicates, duplicatesAtQos0 } = this.network;
    const arrive = (): void => link.toClient(message.topic, () => link.client.received(link, message));
    // Asked in any case: chance goes the same way for all the others.
    const isLost = qos === 0 && random.chance(loss);
    if (isLost && !link.client.local) return;
    arrive();
    const isDoubled = qos === 1 ? random.chance(duplicates) : duplicatesAtQos0 > 0 && random.chance(duplicatesAtQos0);
    if (isDoubled && !link.client.local) arrive();
  }
}

/** Why a link ends whose client has asked in vain whether the other end is there. */
export const NO_ANSWER = 'keep-alive timeout';

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
  private waiting: { readonly direction: Direction; readonly arrive: () => void }[] = [];
  private doom: Timer | undefined;
  /** How long it takes an end to notice that nothing passes. */
  private silenceMs: number;
  private blockedSinceMs: number | undefined;
  /** Whether nothing passes at present: asked of the network whenever it changes, and not for each packet. */
  private readonly blocked: { up: boolean; down: boolean };

  constructor(network: SimulatedNetwork, broker: SimulatedBroker, client: LinkEnd) {
    this.network = network;
    this.broker = broker;
    this.client = client;
    this.silenceMs = client.keepAliveS * 1_500;
    this.blocked = this.blockage();
    network.open(this);
  }

  /** TCP: what is sent first arrives first. */
  toBroker(packet: () => void): void {
    this.send('up', 'up', packet);
  }

  toClient(topic: string, packet: () => void): void {
    this.send('down', this.network.reorder ? `down ${topic}` : 'down', packet);
  }

  /** Both ends lose it, and what is on its way; the broker hears of it a little later, unless it is cut off. */
  break(reason: string): void {
    if (!this.close()) return;
    this.network.tellClient(this.client.clientId, () => this.client.broken(this, reason));
    const { clock } = this.network;
    const wait = this.blocked.up ? this.silenceMs : this.transit();
    clock.after(wait, () => this.broker.lost(this));
  }

  /** From now on the client asks only so often whether the other end is there. */
  every(keepAliveMs: number): void {
    this.silenceMs = keepAliveMs + this.client.keepAliveS * 500;
  }

  get answers(): boolean {
    return this.open && !this.blocked.up && !this.blocked.down;
  }

  /** Pings come whenever nothing is in their way. */
  get heardMs(): number {
    return this.blockedSinceMs ?? this.network.clock.monotonic();
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
    Object.assign(this.blocked, this.blockage());
    const { up, down } = this.blocked;
    if (!up) this.blockedSinceMs = undefined;
    else this.blockedSinceMs ??= this.network.clock.monotonic();
    if (up || down) {
      this.doom = this.network.clock.after(this.silenceMs, () => {
        this.break(NO_ANSWER);
        this.broker.lost(this);
      });
    }
    const { waiting } = this;
    this.waiting = [];
    for (const { direction, arrive } of waiting) {
      if (this.blocked[direction]) this.waiting.push({ direction, arrive });
      else arrive();
    }
  }

  private blockage(): { up: boolean; down: boolean } {
    return { up: this.network.isBlocked(this, 'up'), down: this.network.isBlocked(this, 'down') };
  }

  private send(direction: Direction, pipe: string, packet: () => void): void {
    const { clock } = this.network;
    const due = Math.max(this.latest.get(pipe) ?? 0, clock.monotonic() + this.transit());
    this.latest.set(pipe, due);
    const arrive = () => {
      if (!this.open) return;
      if (this.blocked[direction]) this.waiting.push({ direction, arrive });
      else packet();
    };
    clock.after(due - clock.monotonic(), arrive);
  }

  private transit(): number {
    return this.client.local ? 0 : this.network.latency();
  }
}
