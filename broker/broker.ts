import {
  Aedes,
  type AedesPublishPacket,
  type Client,
  type ConnectPacket,
  type PublishPacket,
  type Subscription,
} from 'aedes';
import mqttPacket from 'mqtt-packet';
import type { Bus } from '../io/bus.ts';
import type { Clock } from '../io/clock.ts';
import type { Arrival, Connection, Listener } from '../io/listener.ts';
import type { Log } from '../io/log.ts';
import { type Access, accessOf, NO_ACCESS, type Right, type Speaker } from './access/access.ts';
import { peerRole, refuseSession } from './access/sessions.ts';
import { isName, isTopicWord, isWellFormed, type WordLimits } from './access/words.ts';
import type { AdmissionLimits } from './admission/admission.ts';
import { Admissions } from './admissions.ts';
import { BrokerStatistics, type BrokerStats } from './broker-statistics.ts';
import { capInbound, capOutbound } from './byte-caps.ts';
import { CleanSessionPersistence } from './clean-session-persistence.ts';
import { LocalBus } from './local-bus.ts';

export interface BrokerLimits extends WordLimits, AdmissionLimits {
  /** Bytes of one packet, header included. */
  readonly packetBytes: number;
  /** Bytes a connection may leave untaken before it is cut. */
  readonly outboundBytes: number;
  readonly connections: number;
  readonly subscriptionsPerClient: number;
  /** From the first byte to CONNECT. */
  readonly connectMs: number;
}

export const BROKER_LIMITS: BrokerLimits = {
  packetBytes: 131_072,
  outboundBytes: 8 * 1_048_576,
  connections: 15_000,
  subscriptionsPerClient: 100,
  connectMs: 5_000,
  atOnce: 32,
  atOnceMs: 100,
  waiting: 4_096,
  waitMs: 3_000,
  nameLength: 160,
  topicLength: 512,
  topicLevels: 32,
};

/** What a connection says about itself, and how it came. */
export interface Credentials {
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly clientId: string;
  readonly loopback: boolean;
  readonly secure: boolean;
  /** The name in its certificate, where an authority that the listener trusts vouches for it. */
  readonly certified: string | undefined;
}

export interface BrokerOptions {
  readonly listeners: readonly Listener[];
  /** Who that is, or undefined: refused. `not yet` where that cannot be told at the moment: the client tries again. */
  readonly authenticate: (credentials: Credentials) => Speaker | 'not yet' | undefined;
  readonly rights: readonly Right[];
  /** The roles whose machines are let in first when thousands come at once. Default none. */
  readonly goFirst?: readonly string[];
  readonly version: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly limits?: Partial<BrokerLimits>;
  /** Called for everything that is refused, with the reason that {@link BrokerStats} counts it under. */
  readonly onRejected?: (reason: string) => void;
  /** Bytes of the heap in use, for MQTT Explorer's panel. Default 0. */
  readonly heapBytes?: () => number;
}

export interface Broker {
  /** The master's own connection. */
  readonly local: Bus;
  /** Begins to take connections; until then they wait, for whoever is asked to authenticate them cannot tell yet. */
  open(): void;
  /** Calls `listener` when a speaker's connection has ended. */
  onEnded(listener: (speaker: Speaker, clientId: string) => void): void;
  /** Monotonic milliseconds of the last packet, PINGREQ included, of the live connection of the agent of that name. */
  lastPacketMs(name: string): number | undefined;
  /** Cuts every connection of that name: from now on none of what they have sent is heard. */
  disconnect(name: string): void;
  stats(): BrokerStats;
  close(): Promise<void>;
}

/** So long may answers wait for each other, where they were asked for in one breath with CONNECT. */
export const BREATH_MS = 20;

interface Session {
  readonly speaker: Speaker;
  readonly clientId: string;
  access: Access;
  readonly stream: Connection['stream'];
  readonly filters: Map<string, 'granted' | 'filtered'>;
  lastPacketMs: number;
}

/** Aedes keeps a 64 k table of two-byte buffers by default: 16 MB for nothing. */
mqttPacket.writeToStream.cacheNumbers = false;

/**
 * Starts an MQTT 3.1.1 broker: Aedes, with its faults cured. It takes connections once it is opened. Sessions are clean, whatever a client asks
 * for; QoS 0 and 1 are what the system uses, QoS 2 works.
 */
export async function startBroker(options: BrokerOptions): Promise<Broker> {
  const broker = new CuredBroker(options);
  await broker.start();
  return broker;
}

/** The private parts of an Aedes client that its cures touch. */
interface ClientParts {
  readonly _parser: {
    readonly _list?: { readonly length: number };
    /** Packets that came before CONNACK; null once it has gone. */
    readonly _queue: readonly unknown[] | null;
    on(event: 'packet', listener: () => void): void;
  };
}

class CuredBroker implements Broker {
  readonly local: LocalBus;
  readonly #options: BrokerOptions;
  readonly #limits: BrokerLimits;
  readonly #persistence = new CleanSessionPersistence();
  readonly #sessions = new Map<Client, Session>();
  readonly #byName = new Map<string, Set<Session>>();
  readonly #byClientId = new Map<string, Session>();
  readonly #connections = new Map<Client, { readonly connection: Connection; readonly arrival: Arrival }>();
  /** All that stand or wait. */
  readonly #arrivals = new Set<Arrival>();
  readonly #dropped = new WeakSet<object>();
  readonly #rejected = new Map<string, number>();
  readonly #endListeners: ((speaker: Speaker, clientId: string) => void)[] = [];
  readonly #statistics: BrokerStatistics;
  readonly #admissions: Admissions;
  readonly #aedes: Aedes;
  #received = 0;
  #sent = 0;
  #bytes = 0;
  #total = 0;

  constructor(options: BrokerOptions) {
    this.#options = options;
    this.#limits = { ...BROKER_LIMITS, ...options.limits };
    this.#aedes = new Aedes({
      // Above any number of messages in flight: at its limit the emitter queues in an array it shifts (4x slower).
      concurrency: 0,
      drainTimeout: 0,
      connectTimeout: this.#limits.connectMs,
      heartbeatInterval: 2_147_483_647 / 4,
      maxTopicLevels: this.#limits.topicLevels,
      persistence: this.#persistence,
      preConnect: (_client, packet, done) => this.#preConnect(packet, done),
      authenticate: (client, username, password, done) => this.#authenticate(client, username, password, done),
      authorizePublish: (client, packet, done) => this.#authorizePublish(client, packet, done),
      authorizeSubscribe: (client, subscription, done) => done(null, this.#authorizeSubscribe(client, subscription)),
      authorizeForward: (client, packet) => this.#authorizeForward(client, packet),
    });
    this.#admissions = new Admissions(
      this.#limits,
      options.clock,
      (arrival) => arrival.open((connection) => this.#accept(arrival, connection)),
      () => this.#reject('too busy'),
    );
    this.local = new LocalBus(
      (topic, payload, { qos = 0, retain = false }) => this.#route(topic, payload, qos, retain),
      (topic, error) =>
        options.log.error('a handler failed', {
          topic,
          error: error instanceof Error ? (error.stack ?? error.message) : String(error),
        }),
      // Handlers may publish what is retained.
      (filter) => [...this.#persistence.matching([filter])],
    );
    this.#statistics = new BrokerStatistics(
      options.clock,
      `Mesquite ${options.version}`,
      () => this.stats(),
      options.heapBytes ?? (() => 0),
      (topic, text) => {
        this.#route(topic, new TextEncoder().encode(text), 0, true);
      },
    );
  }

  async start(): Promise<void> {
    this.#shadowPublish();
    await this.#aedes.listen();
    this.#aedes.on('clientDisconnect', (client) => this.#ended(client));
    this.#aedes.on('clientError', (client, error) => this.#malformed(client, error));
    this.#aedes.on('connectionError', (client, error) => this.#malformed(client, error));
    this.#aedes.on('unsubscribe', (filters, client) => this.#unsubscribed(client, filters));
  }

  open(): void {
    for (const listener of this.#options.listeners) listener.onArrival((arrival) => this.#arrived(arrival));
  }

  onEnded(listener: (speaker: Speaker, clientId: string) => void): void {
    this.#endListeners.push(listener);
  }

  lastPacketMs(name: string): number | undefined {
    let last: number | undefined;
    for (const { speaker, clientId, lastPacketMs } of this.#byName.get(name) ?? []) {
      const role = peerRole(speaker, clientId);
      if (role === 'agent' || role === 'local') last = Math.max(last ?? 0, lastPacketMs);
    }
    return last;
  }

  disconnect(name: string): void {
    for (const session of [...(this.#byName.get(name) ?? [])]) {
      session.access = NO_ACCESS;
      session.stream.destroy();
    }
  }

  stats(): BrokerStats {
    let subscriptions = 0;
    for (const { filters } of this.#sessions.values()) subscriptions += filters.size;
    return {
      clients: this.#sessions.size,
      connectionsTotal: this.#total,
      subscriptions,
      retained: this.#persistence.retainedCount,
      retainedExamined: this.#persistence.examined,
      messagesReceived: this.#received,
      messagesSent: this.#sent,
      bytesReceived: this.#bytes,
      rejected: Object.fromEntries(this.#rejected),
    };
  }

  async close(): Promise<void> {
    this.#statistics.stop();
    this.#admissions.stop();
    const closed = this.#options.listeners.map((listener) => listener.close());
    await new Promise<void>((resolve) => this.#aedes.close(() => resolve()));
    for (const arrival of this.#arrivals) arrival.refuse();
    await Promise.all(closed);
  }

  /** Packets Aedes publishes about itself, and those that were refused, go nowhere. */
  #shadowPublish(): void {
    const publish = this.#aedes.publish.bind(this.#aedes) as (
      packet: PublishPacket,
      client: unknown,
      done?: unknown,
    ) => void;
    const own = `$SYS/${this.#aedes.id}/`;
    this.#aedes.publish = ((packet: PublishPacket, client: unknown, done?: unknown): void => {
      const finished = (typeof client === 'function' ? client : done) as (() => void) | undefined;
      if (packet.topic.startsWith(own) || this.#dropped.has(packet)) finished?.();
      else publish(packet, client, done);
    }) as Aedes['publish'];
  }

  #route(topic: string, payload: Uint8Array, qos: 0 | 1, retain: boolean): void {
    this.#aedes.publish(
      {
        cmd: 'publish',
        topic,
        payload: Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength),
        qos,
        retain,
        dup: false,
      },
      () => undefined,
    );
  }

  #reject(reason: string): void {
    this.#rejected.set(reason, (this.#rejected.get(reason) ?? 0) + 1);
    this.#options.onRejected?.(reason);
  }

  /** What cannot be parsed ends the connection ([MQTT-4.8.0-1]). An error with a code is the socket's, or counted. */
  #malformed(client: Client, error: Error): void {
    this.#options.log.debug('connection error', { client: client.id ?? '', error: error.message });
    if (!('code' in error) && !('returnCode' in error)) this.#reject('malformed packet');
  }

  #arrived(arrival: Arrival): void {
    if (this.#arrivals.size >= this.#limits.connections) {
      this.#reject('too many connections');
      arrival.refuse();
      return;
    }
    this.#arrivals.add(arrival);
    arrival.onClosed(() => {
      this.#arrivals.delete(arrival);
      this.#admissions.served(arrival);
    });
    this.#admissions.arrived(arrival);
  }

  #accept(arrival: Arrival, connection: Connection): void {
    const { stream } = connection;
    // Whatever a peer does to its connection is no error of ours, before Aedes listens and after it stopped.
    stream.on('error', () => undefined);
    capOutbound(stream, this.#limits.outboundBytes, () => this.#reject('too slow'));
    const client = this.#aedes.handle(stream as unknown as Parameters<Aedes['handle']>[0]);
    const { _parser: parser } = client as unknown as ClientParts;
    capInbound(
      stream,
      () => parser._list,
      this.#limits.packetBytes,
      () => this.#reject('packet too large'),
    );
    parser.on('packet', () => {
      const session = this.#sessions.get(client);
      if (session !== undefined) session.lastPacketMs = this.#options.clock.monotonic();
    });
    this.#connections.set(client, { connection, arrival });
    this.#total++;
    stream.on('close', () => {
      this.#connections.delete(client);
      this.#ended(client);
    });
  }

  #preConnect(packet: ConnectPacket, done: (error: Error | null, ok: boolean) => void): void {
    const { clientId, username = '', will } = packet;
    const bad =
      (!isName(clientId, this.#limits) && 'bad client id') ||
      (!isName(username, this.#limits) && 'bad user name') ||
      (will != null && (!isTopicWord(will.topic, this.#limits) || /[+#]/.test(will.topic)) && 'bad will topic');
    if (bad !== false) {
      this.#reject(bad);
      done(Object.assign(new Error(bad), { code: 'REFUSED' }), false);
      return;
    }
    // Every session is clean. Only one without an id keeps what it asked for: `authenticate` refuses it in words ([MQTT-3.1.3-8]).
    if (clientId !== '') Object.assign(packet, { clean: true });
    done(null, true);
  }

  #authenticate(
    client: Client,
    username: string | undefined,
    password: Readonly<Uint8Array> | undefined,
    done: (error: (Error & { returnCode: number }) | null, ok: boolean | null) => void,
  ): void {
    const found = this.#connections.get(client);
    const refuse = (returnCode: 2 | 3 | 4 | 5, reason: string): void => {
      if (found !== undefined) this.#admissions.served(found.arrival);
      this.#reject(reason);
      this.#options.log.debug('connection refused', { client: client.id, reason });
      done(Object.assign(new Error(reason), { returnCode }), null);
    };
    if (found === undefined) return refuse(5, 'connection lost');
    if (!client.clean) return refuse(2, 'no client id');
    const secret = password === undefined ? undefined : new TextDecoder().decode(password);
    if (secret !== undefined && !isWellFormed(secret)) return refuse(4, 'bad credentials');
    const { connection, arrival } = found;
    const { loopback, secure, certified } = connection;
    const shown = { username, password: secret, clientId: client.id, loopback, secure, certified };
    const speaker = this.#options.authenticate(shown);
    if (speaker === undefined) return refuse(4, 'bad credentials');
    if (speaker === 'not yet') return refuse(3, 'not ready');
    const rivals = [...(this.#byName.get(speaker.name) ?? [])];
    const holder = this.#byClientId.get(client.id);
    if (holder !== undefined && !rivals.includes(holder)) rivals.push(holder);
    const conflict = refuseSession(rivals, client.id, speaker);
    if (conflict !== undefined) return refuse(2, 'name in use');
    this.#begin(client, speaker, connection);
    if (this.#options.goFirst?.includes(speaker.role) === true) this.#admissions.goesFirst(connection.address);
    done(null, true);
    this.#admissions.served(arrival);
  }

  #begin(client: Client, speaker: Speaker, { stream }: Connection): void {
    const session: Session = {
      speaker,
      clientId: client.id,
      access: accessOf(this.#options.rights, speaker),
      stream,
      filters: new Map(),
      lastPacketMs: this.#options.clock.monotonic(),
    };
    this.#sessions.set(client, session);
    this.#byClientId.set(client.id, session);
    const named = this.#byName.get(speaker.name);
    if (named === undefined) this.#byName.set(speaker.name, new Set([session]));
    else named.add(session);
    // Who did not wait for CONNACK is spared packets: it hears everything at once.
    const { _parser: parser } = client as unknown as ClientParts;
    if ((parser._queue?.length ?? 0) === 0) return;
    stream.cork();
    this.#options.clock.after(BREATH_MS, () => stream.uncork());
  }

  #ended(client: Client): void {
    const session = this.#sessions.get(client);
    if (session === undefined) return;
    this.#sessions.delete(client);
    for (const filter of session.filters.keys()) if (filter.startsWith('$SYS')) this.#statistics.unwatch();
    if (this.#byClientId.get(session.clientId) === session) this.#byClientId.delete(session.clientId);
    const named = this.#byName.get(session.speaker.name);
    named?.delete(session);
    if (named?.size === 0) this.#byName.delete(session.speaker.name);
    for (const listener of this.#endListeners) listener(session.speaker, session.clientId);
  }

  /** A refused message is dropped and counted, not answered with a closed connection: a bug must not become a reconnect storm. */
  #authorizePublish(client: Client | null, packet: PublishPacket, done: (error?: Error | null) => void): void {
    const { topic } = packet;
    const session = client === null ? undefined : this.#sessions.get(client);
    this.#received++;
    this.#bytes += packet.payload.length;
    if (session === undefined || !isTopicWord(topic, this.#limits) || !session.access.mayPublish(topic)) {
      this.#reject(session !== undefined && !isTopicWord(topic, this.#limits) ? 'bad topic' : 'publish not allowed');
      this.#dropped.add(packet);
      done(null);
      return;
    }
    const payload = typeof packet.payload === 'string' ? new TextEncoder().encode(packet.payload) : packet.payload;
    if (packet.retain && !session.access.mayRetain(topic)) Object.assign(packet, { retain: false });
    this.local.deliver({ topic, payload, retained: false, role: session.speaker.role });
    done(null);
  }

  #authorizeSubscribe(client: Client | null, subscription: Subscription): Subscription | null {
    const session = client === null ? undefined : this.#sessions.get(client);
    const { topic } = subscription;
    if (session === undefined) return null;
    const verdict = isTopicWord(topic, this.#limits) ? session.access.maySubscribe(topic) : 'refused';
    if (
      verdict === 'refused' ||
      (session.filters.size >= this.#limits.subscriptionsPerClient && !session.filters.has(topic))
    ) {
      this.#reject(verdict === 'refused' ? 'subscription not allowed' : 'too many subscriptions');
      return null;
    }
    if (topic.startsWith('$SYS') && !session.filters.has(topic)) this.#statistics.watch();
    session.filters.set(topic, verdict);
    return subscription;
  }

  #unsubscribed(client: Client, filters: readonly string[]): void {
    const session = this.#sessions.get(client);
    for (const filter of filters) {
      if (session?.filters.delete(filter) === true && filter.startsWith('$SYS')) this.#statistics.unwatch();
    }
  }

  #authorizeForward(client: Client, packet: AedesPublishPacket): AedesPublishPacket | null {
    const session = this.#sessions.get(client);
    if (session?.access.mayReceive(packet.topic) !== true) return null;
    this.#sent++;
    return packet;
  }
}
