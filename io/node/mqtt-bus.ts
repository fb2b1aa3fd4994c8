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
} from '../bus.ts';
import type { Clock, Timer } from '../clock.ts';
import type { Log } from '../log.ts';
import type { Random } from '../random.ts';
import { Subscriptions } from '../subscriptions.ts';
import { isTopic, isTopicFilter } from '../topic-filter.ts';
import { BrokerSession, type SessionEnd } from './broker-session.ts';
import { type BrokerStream, type ClientTls, openBrokerStream, type Resumption } from './broker-stream.ts';
import { type BrokerUrl, parseBrokerUrls } from './broker-url.ts';
import { ConnectionWaiters } from './connection-waiters.ts';
import { wayHint } from './way-hint.ts';

/** Full jitter: a wait is 0 to min(30 s, 100 ms · 2^rounds), so that a thousand agents do not return at once. */
const BACK_OFF_BASE_MS = 100;
const BACK_OFF_CAP_MS = 30_000;
/** To where a broker sends us; followers of a dead leader send there until they know better. */
const MOVE_CAP_MS = 1_000;
/** CONNACK 3: the broker is there, and cannot tell yet who may come in. It is asked again about every 400 ms. */
const NOT_NOW = 3;
const NOT_NOW_ATTEMPTS = 3;
const SILENCE_MS = 8_000;
/** A connection that ends sooner counts as a failed attempt: two clients under one id would throw each other out for ever. */
const LASTING_MS = 10_000;
/** One that ends between this and that is forgiven by half: its broker may have died. */
const BRIEF_MS = 1_000;
/** One that was of use is forgiven but for this many rounds: leaders that die one after another are no reason to wait long. */
const WORKED_ROUNDS = 2;
/** The most that Node's timers take. */
const FOR_EVER_MS = 2_147_483_647;

export interface MqttBusOptions extends ClientTls {
  /** At least one of `mqtt:// mqtts:// ws:// wss://`; it goes round in an order of chance while they fail. */
  readonly urls: readonly string[];
  readonly clientId: string;
  readonly username?: string;
  /** Needs a user name ([MQTT-3.1.2-22]). Never sent over a plain connection beyond this machine: see {@link connectMqttBus}. */
  readonly password?: string;
  /** Seconds, 1 to 65,535. Default 60. A broken connection is noticed after at most 1.5 times that. */
  readonly keepAliveS?: number;
  /** Seconds. What the broker is told where the keep-alive may grow ({@link MovableBus.pulse}). Default: it does not. */
  readonly longestKeepAliveS?: number;
  /**
   * Milliseconds without a byte from the broker, while it owes an acknowledgement, after which it is left: longer by one
   * for each byte that was sent meanwhile. Default 8,000.
   */
  readonly silenceMs?: number;
  /** Asked before every connection: a will carries what belongs to that connection. */
  readonly will?: () => Will | undefined;
  /**
   * Asked before every connection, after `will`, for what is to be said at once to the broker at `url` ([MQTT-3.1.4-4]
   * allows it): three round trips become one, and a dozen packets five. No will is left there. Undefined: step by step.
   */
  readonly opening?: (url: string) => Opening | undefined;
  /** For everything from the first packet to the last SUBACK. Default 4,000. */
  readonly connectTimeoutMs?: number;
  /** The longest wait before the next try. Default 30,000. */
  readonly backOffCapMs?: number;
  /** The longest wait where a broker has refused us, which a person must mend. Default `backOffCapMs`. */
  readonly refusedCapMs?: number;
  /** A broker refused these credentials or this client id (CONNACK 2, 4 or 5). It tries on, ever more slowly, until closed. */
  readonly onRefused?: (error: BusError) => void;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

export interface MqttBus extends MovableBus {
  /**
   * Resolves when connected. Rejects with a BusError once every broker has failed (`UNREACHABLE`; the message has each
   * URL with the system's error), as soon as one refuses us (`BAD_CREDENTIALS`, `NOT_ALLOWED`), or after `timeoutMs`.
   * The bus itself tries on.
   */
  ready(timeoutMs: number): Promise<void>;
  /** Leaves politely and stays away until {@link wake}: whom it speaks for is not there. */
  rest(): void;
  /** Connects again after {@link rest}; else nothing. */
  wake(): void;
  /** Bytes of all connections so far, without TCP/IP's own; with TLS, those inside it. */
  readonly bytesSent: number;
  readonly bytesReceived: number;
}

/**
 * An MQTT 3.1.1 client that connects, and reconnects until it is closed; an open one keeps the process alive. Throws a
 * BusError `BAD_URL`, or `INSECURE` where the password would travel over a plain connection beyond loopback.
 */
export function connectMqttBus(options: MqttBusOptions): MqttBus {
  return new MqttBusConnection(options);
}

class MqttBusConnection implements MqttBus {
  private readonly options: MqttBusOptions;
  private readonly subscriptions = new Subscriptions();
  private readonly connectedListeners: (() => void)[] = [];
  private readonly disconnectedListeners: ((reason: string) => void)[] = [];
  private readonly waiters = new ConnectionWaiters();
  private readonly resumption: Resumption = { session: undefined };
  private readonly hold: NodeJS.Timeout;
  private urls: readonly BrokerUrl[];
  private position = 0;
  private target: BrokerUrl;
  private resting = false;
  /** Of the connection that is wanted now: whatever belongs to an older one is ignored. */
  private generation = 0;
  /** This connection has {@link worked}. */
  private useful = false;
  private session: BrokerSession | undefined;
  /** The filters that the present session has been asked for, with their QoS; undefined until the broker accepted us. */
  private asked: Map<string, QoS> | undefined;
  private up = false;
  private upSince = 0;
  private lastReason: string | undefined;
  private attempts = 0;
  /** The back-off before a connection, or the deadline of one that is opening. */
  private timer: Timer | undefined;
  private closing: Promise<void> | undefined;
  private sentBefore = 0;
  private receivedBefore = 0;
  private keepAlivesBefore = 0;
  private readonly pulseListeners: ((answered: boolean) => void)[] = [];
  readonly pulse: BusPulse = {
    every: (ms) => this.session?.pulseEvery(ms),
    onOutcome: (listener) => {
      this.pulseListeners.push(listener);
    },
  };

  constructor(options: MqttBusOptions) {
    this.options = options;
    this.urls = this.shuffled(options.urls);
    this.target = this.listed();
    this.hold = setInterval(() => {}, FOR_EVER_MS);
    this.connectIn(0);
  }

  get connected(): boolean {
    return this.up;
  }

  get url(): string {
    return this.target.text;
  }

  get bytesSent(): number {
    return this.sentBefore + (this.session?.bytesSent ?? 0);
  }

  get bytesReceived(): number {
    return this.receivedBefore + (this.session?.bytesReceived ?? 0);
  }

  get keepAlives(): number {
    return this.keepAlivesBefore + (this.session?.keepAlives ?? 0);
  }

  async publish(topic: string, payload: Uint8Array, options: PublishOptions = {}): Promise<void> {
    if (!isTopic(topic)) throw new TypeError(`not a topic: ${JSON.stringify(topic)}`);
    if (payload.length > MAX_PAYLOAD_BYTES) throw new BusError('TOO_LARGE', `${payload.length} bytes for ${topic}`);
    if (this.closing !== undefined) throw new BusError('CLOSED', 'the bus is closed');
    if (!this.up || this.session === undefined) throw new BusError('DISCONNECTED', `no connection to ${this.url}`);
    await this.session.publish(topic, payload, options);
  }

  async subscribe(filter: string, qos: QoS, handler: (message: BusMessage) => void): Promise<() => void> {
    if (!isTopicFilter(filter)) throw new TypeError(`not a topic filter: ${JSON.stringify(filter)}`);
    if (this.closing !== undefined) throw new BusError('CLOSED', 'the bus is closed');
    const remove = this.subscriptions.add(filter, qos, handler);
    const unsubscribe = () => {
      if (!remove()) return;
      if (this.asked?.delete(filter)) this.session?.unsubscribe(filter);
    };
    if (!this.up || this.session === undefined) {
      // Where a connection opens, `subscribeAll` comes by (again).
      this.asked?.delete(filter);
    } else {
      const refused = await this.ask(this.session, [filter], this.subscriptions.qosOf(filter));
      if (refused.length > 0) {
        unsubscribe();
        throw new BusError('NOT_ALLOWED', `the broker does not allow a subscription to ${filter}`);
      }
    }
    return unsubscribe;
  }

  onConnected(listener: () => void): void {
    this.connectedListeners.push(listener);
    if (this.up) this.guard('connected', listener);
  }

  onDisconnected(listener: (reason: string) => void): void {
    this.disconnectedListeners.push(listener);
  }

  ready(timeoutMs: number): Promise<void> {
    if (this.up) return Promise.resolve();
    if (this.closing !== undefined) return Promise.reject(new BusError('CLOSED', 'the bus is closed'));
    return this.waiters.wait(timeoutMs, this.options.clock);
  }

  setUrls(urls: readonly string[]): void {
    this.urls = this.shuffled(urls);
    const position = this.urls.findIndex((url) => url.text === this.target.text);
    this.position = Math.max(0, position);
    if (position < 0) {
      this.goTo(this.listed());
    }
  }

  moveTo(text: string): void {
    const [url] = this.parse([text]);
    if (url === undefined || (url.text === this.target.text && this.session !== undefined)) return;
    const position = this.urls.findIndex((listed) => listed.text === url.text);
    if (position >= 0) this.position = position;
    this.goTo(url);
  }

  rest(): void {
    if (this.closing !== undefined || this.resting) return;
    this.resting = true;
    this.generation++;
    this.timer?.cancel();
    const { session, up } = this;
    this.session = undefined;
    this.asked = undefined;
    this.up = false;
    void session?.leave();
    if (up) this.tellDisconnected('resting');
  }

  wake(): void {
    if (this.closing !== undefined || !this.resting) return;
    this.resting = false;
    this.attempts = 0;
    this.connectIn(0);
  }

  close(): Promise<void> {
    if (this.closing !== undefined) return this.closing;
    this.generation++;
    this.timer?.cancel();
    clearInterval(this.hold);
    this.up = false;
    this.closing = this.session?.leave() ?? Promise.resolve();
    this.waiters.settle(new BusError('CLOSED', 'the bus was closed'));
    return this.closing;
  }

  private parse(urls: readonly string[]): BrokerUrl[] {
    return parseBrokerUrls(urls, this.options.password !== undefined);
  }

  /** Everybody has the same list: whoever loses the first of it must not all go to the second. */
  private shuffled(texts: readonly string[]): BrokerUrl[] {
    return this.parse(texts)
      .map((url) => ({ url, at: this.options.random.next() }))
      .sort((one, other) => one.at - other.at)
      .map(({ url }) => url);
  }

  private listed(): BrokerUrl {
    const url = this.urls[this.position % this.urls.length];
    if (url === undefined) throw new Error('broken invariant: a bus has at least one URL');
    return url;
  }

  private goTo(url: BrokerUrl): void {
    if (this.closing !== undefined) return;
    if (this.resting) {
      this.target = url;
      return;
    }
    const { session, asked } = this;
    this.forgiveIfLasting();
    // At once, unless we are sent to and fro: a stale leader's followers would have us turn in circles.
    const waitMs = this.attempts === 0 || this.useful ? 0 : Math.min(this.backOff(), MOVE_CAP_MS);
    this.attempts++;
    this.target = url;
    this.connectIn(waitMs);
    void session?.leave();
    if (asked !== undefined) this.tellDisconnected(`moving to ${url.text}`);
  }

  worked(): void {
    this.useful = true;
    this.attempts = Math.min(this.attempts, WORKED_ROUNDS * this.urls.length);
  }

  /** Grows with every round of the brokers, not with each of them: one of them may lead by now. */
  private backOff(isRefused = false): number {
    const { random, backOffCapMs = BACK_OFF_CAP_MS, refusedCapMs = backOffCapMs } = this.options;
    const rounds = Math.floor(this.attempts / this.urls.length);
    const capMs = isRefused ? refusedCapMs : backOffCapMs;
    return Math.floor(random.next() * Math.min(capMs, BACK_OFF_BASE_MS * 2 ** rounds));
  }

  private forgiveIfLasting(): void {
    const upMs = this.up ? this.options.clock.monotonic() - this.upSince : 0;
    if (upMs >= LASTING_MS) this.attempts = 0;
    else if (upMs >= BRIEF_MS) this.attempts = Math.floor(this.attempts / 2);
  }

  /** Turns away from whatever connection there is or opens, in favour of one to `target`. */
  private connectIn(ms: number): void {
    this.generation++;
    this.session = undefined;
    this.asked = undefined;
    this.up = false;
    this.useful = false;
    this.timer?.cancel();
    if (ms > 0) this.timer = this.options.clock.after(ms, () => this.connect());
    else this.connect();
  }

  private connect(): void {
    const { generation } = this;
    const { clock, connectTimeoutMs = 4_000 } = this.options;
    this.timer = clock.after(connectTimeoutMs, () => {
      const reason = `no answer within ${connectTimeoutMs} ms`;
      if (this.session) this.session.cut(reason);
      else this.ended(generation, { code: 'UNREACHABLE', reason });
    });
    openBrokerStream(this.target, this.options, this.resumption).then(
      (way) => this.openSession(generation, way),
      (error: Error) => this.ended(generation, { code: 'UNREACHABLE', reason: error.message }),
    );
  }

  private openSession(generation: number, way: BrokerStream): void {
    if (generation !== this.generation) {
      way.stream.on('error', () => {}).destroy();
      return;
    }
    const { clientId, username, password, will, keepAliveS = 60, silenceMs = SILENCE_MS, clock } = this.options;
    const { longestKeepAliveS } = this.options;
    const last = will?.();
    const message = this.options.opening?.(this.target.text);
    const session = new BrokerSession(way, {
      clientId,
      username,
      password,
      will: message === undefined ? last : undefined,
      opening: message && { message, wanted: this.subscriptions.wanted() },
      keepAliveS,
      longestKeepAliveS,
      onPulse: (answered) => {
        for (const listener of this.pulseListeners) this.guard('pulse', () => listener(answered));
      },
      silenceMs,
      clock,
      onOpen: () => {
        if (generation === this.generation)
          this.subscribeAll(generation, session).catch((error: Error) => session.cut(error.message));
      },
      onMessage: (message) => {
        if (generation === this.generation)
          this.subscriptions.deliver(message, (error) => this.blame(error, message.topic));
      },
      onEnd: (end) => {
        this.sentBefore += session.bytesSent;
        this.receivedBefore += session.bytesReceived;
        this.keepAlivesBefore += session.keepAlives;
        this.ended(generation, end);
      },
    });
    this.session = session;
  }

  private async subscribeAll(generation: number, session: BrokerSession): Promise<void> {
    const asked = new Map<string, QoS>(session.opened?.wanted);
    this.asked = asked;
    if (session.opened !== undefined) {
      const refused = await session.opened.granted.catch(() => []);
      if (generation !== this.generation) return;
      this.warnOf(refused);
      const wanted = this.subscriptions.wanted();
      for (const filter of [...asked.keys()].filter((known) => !wanted.has(known))) {
        asked.delete(filter);
        session.unsubscribe(filter);
      }
    }
    for (;;) {
      // Handlers of retained messages may subscribe to more while we wait.
      const missing = [...this.subscriptions.wanted()].filter(([filter, qos]) => (asked.get(filter) ?? -1) < qos);
      if (missing.length === 0) break;
      for (const qos of [0, 1] as const) {
        const filters = missing.filter(([, wanted]) => wanted === qos).map(([filter]) => filter);
        if (filters.length === 0) continue;
        const refused = await this.ask(session, filters, qos);
        if (generation !== this.generation) return;
        this.warnOf(refused);
      }
    }
    this.timer?.cancel();
    this.up = true;
    this.upSince = this.options.clock.monotonic();
    this.options.log.info('bus_connected', { url: this.target.text });
    this.waiters.settle();
    for (const listener of this.connectedListeners) {
      if (generation === this.generation) this.guard('connected', listener);
    }
  }

  private warnOf(refused: readonly string[]): void {
    for (const filter of refused) this.options.log.warn('subscription_refused', { filter, url: this.target.text });
  }

  private async ask(session: BrokerSession, filters: readonly string[], qos: QoS): Promise<string[]> {
    for (const filter of filters) this.asked?.set(filter, qos);
    try {
      return await session.subscribe(filters, qos);
    } catch (error) {
      // The connection broke: the next one asks again.
      if (error instanceof BusError) return [];
      throw error;
    }
  }

  private ended(generation: number, end: SessionEnd): void {
    if (generation !== this.generation) return;
    const { log, onRefused } = this.options;
    const { up, target, asked } = this;
    this.forgiveIfLasting();
    // A blip must not send everybody to another master: the broker that was there is tried again first.
    if (!up) {
      this.position = (this.position + 1) % this.urls.length;
      this.target = this.listed();
    }
    if (end.refusal === NOT_NOW) this.attempts = Math.min(this.attempts, NOT_NOW_ATTEMPTS);
    const isRefused = end.refusal === 2 || end.refusal === 4 || end.refusal === 5;
    const retryMs = this.backOff(isRefused);
    // Repeats of one reason are not news.
    const fresh = up || this.attempts < this.urls.length || end.reason !== this.lastReason;
    this.lastReason = end.reason;
    this.attempts++;
    const hint = up ? undefined : wayHint(`${target.text}: ${end.reason}`);
    log[fresh ? 'warn' : 'debug'](up ? 'bus_disconnected' : 'bus_unreachable', {
      url: target.text,
      reason: end.reason,
      ...(hint === undefined ? {} : { hint }),
      retryMs,
    });
    this.connectIn(retryMs);
    if (asked !== undefined) this.tellDisconnected(end.reason);
    if (!up) {
      const error = new BusError(end.code, `${target.text}: ${end.reason}`);
      if (isRefused) onRefused?.(error);
      const urls = this.urls.map((url) => url.text);
      // A broker that asks to come back later is there: it is worth waiting for.
      if (end.refusal === NOT_NOW) this.waiters.heard(target.text, error);
      else this.waiters.failed(target.text, error, urls);
    }
  }

  private tellDisconnected(reason: string): void {
    for (const listener of this.disconnectedListeners) this.guard('disconnected', () => listener(reason));
  }

  private guard(event: string, call: () => void): void {
    try {
      call();
    } catch (error) {
      this.blame(error, event);
    }
  }

  private blame(error: unknown, event: string): void {
    this.options.log.error('handler_failed', {
      on: event,
      error: error instanceof Error ? (error.stack ?? error.message) : String(error),
    });
  }
}
