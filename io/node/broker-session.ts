import type { Duplex } from 'node:stream';
import mqttClient from 'mqtt/lib/client';
import mqttPacket from 'mqtt-packet';
import {
  BusError,
  type BusErrorCode,
  type BusMessage,
  MAX_PAYLOAD_BYTES,
  type Opening,
  type PublishOptions,
  type QoS,
  type Will,
} from '../bus.ts';
import type { Clock, Timer } from '../clock.ts';
import type { BrokerStream } from './broker-stream.ts';
import { Pulse } from './pulse.ts';

/** Acknowledgements that may be outstanding; MQTT has 65,535 packet ids, and MQTT.js reuses the ones in flight after that. */
const IN_FLIGHT = 65_000;
/** Bytes that may wait in the socket: a dead link is noticed only by the keep-alive. */
const WAITING_BYTES = 4 * 1_048_576;
/** How long a broker may take for what is in flight when we leave, and again to close the connection after our DISCONNECT. */
const LEAVE_MS = 1_000;
/** Of the slowest link that is taken for one: so much longer a byte that was sent may be without an answer. */
const SLOWEST_MS_A_BYTE = 1;
/** DISCONNECT, the whole packet ([MQTT-3.14.1-1]). */
const DISCONNECT = Uint8Array.of(0xe0, 0);

export interface SessionOptions {
  readonly clientId: string;
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  readonly will?: Will | undefined;
  /** Said at once, with a subscription to all that is wanted. */
  readonly opening?: { readonly message: Opening; readonly wanted: ReadonlyMap<string, QoS> } | undefined;
  readonly keepAliveS: number;
  /** What the broker is promised where the pulse may become slower. */
  readonly longestKeepAliveS?: number | undefined;
  /** Whether it was answered that we are there. */
  readonly onPulse?: ((answered: boolean) => void) | undefined;
  /** Something waits for an acknowledgement, and nothing comes: after this many milliseconds it is over. */
  readonly silenceMs: number;
  readonly clock: Clock;
  /** The broker accepted us. */
  readonly onOpen: () => void;
  readonly onMessage: (message: BusMessage) => void;
  /** Once, however it ends. */
  readonly onEnd: (end: SessionEnd) => void;
}

/** Why a session is over. */
export interface SessionEnd {
  readonly code: BusErrorCode;
  readonly reason: string;
  /** The return code of a CONNACK that refused us ([MQTT-3.2.2-4]). */
  readonly refusal?: number;
}

/**
 * One connection to a broker: one MQTT.js client, used once. Its own reconnecting stays off: a new client for each
 * attempt can neither get stuck nor replay what is stale, and back-off, brokers and the will are ours to choose.
 */
export class BrokerSession {
  private readonly client: mqttClient.default;
  private readonly stream: Duplex;
  private readonly carrier: BrokerStream['carrier'];
  private readonly clock: Clock;
  private readonly pending = new Set<(error: BusError) => void>();
  /** What waits for `pending` to be empty. */
  private idle: (() => void) | undefined;
  private ended: SessionEnd | undefined;
  private failure: SessionEnd | undefined;
  private readonly silenceMs: number;
  /** When the broker was last heard, as far as anybody looked, and how many bytes had gone to and fro. */
  private heard = { ms: 0, received: 0, sent: 0 };
  private silence: Timer | undefined;
  /** PINGREQs sent. */
  keepAlives = 0;
  /** What was wanted at the opening, and which filters of that the broker refused. */
  readonly opened: { readonly wanted: ReadonlyMap<string, QoS>; readonly granted: Promise<string[]> } | undefined;
  private readonly pulse: Pulse | undefined;

  constructor(way: BrokerStream, options: SessionOptions) {
    this.stream = way.stream;
    this.carrier = way.carrier;
    this.clock = options.clock;
    this.silenceMs = options.silenceMs;
    const { will, longestKeepAliveS, clock, keepAliveS } = options;
    this.client = new mqttClient.default(() => way.stream, {
      clientId: options.clientId,
      ...(options.username !== undefined && { username: options.username }),
      ...(options.password !== undefined && { password: options.password }),
      ...(will && {
        will: { topic: will.topic, payload: asBuffer(will.payload), qos: will.qos ?? 0, retain: will.retain ?? false },
      }),
      // Ours is quicker than the one of MQTT.js, and only its promise counts.
      keepalive: longestKeepAliveS === undefined ? options.keepAliveS : longestKeepAliveS + options.keepAliveS,
      clean: true,
      reconnectPeriod: 0,
      resubscribe: false,
      queueQoSZero: false,
      // Our own deadline rules; MQTT.js's would be one more.
      connectTimeout: 2_147_483_647,
      // 16 MB of prepared two-byte numbers otherwise.
      writeCache: false,
      timerVariant: 'native',
      log: () => {},
    });
    this.client.on('connect', () => {
      // With reconnectPeriod 0 MQTT.js says `connect` also when it was ended meanwhile.
      if (this.ended === undefined && this.failure === undefined) options.onOpen();
    });
    this.pulse =
      longestKeepAliveS === undefined
        ? undefined
        : new Pulse(
            {
              clock,
              // As long as [MQTT-3.1.2-24] has a broker wait beyond the keep-alive.
              answerMs: keepAliveS * 500,
              ping: () => this.client.sendPing(),
              outcome: (answered) => {
                options.onPulse?.(answered);
                if (!answered) this.cut('keep-alive not answered');
              },
            },
            keepAliveS * 1_000,
          );
    this.client.on('packetsend', ({ cmd }) => {
      if (cmd === 'pingreq') this.keepAlives++;
      this.pulse?.spoke();
    });
    this.client.on('packetreceive', ({ cmd }) => {
      if (cmd === 'pingresp') this.pulse?.answered();
    });
    this.client.on('message', (topic, payload, packet) => {
      if (this.ended === undefined && payload.length <= MAX_PAYLOAD_BYTES)
        options.onMessage({ topic, payload, retained: packet.retain });
    });
    // MQTT.js keeps stream errors without a code to itself: a WebSocket that was answered 404, for one.
    this.stream.on('error', (error) => {
      this.failure ??= endOf(error);
    });
    this.client.on('error', (error) => {
      this.failure ??= endOf(error);
      // MQTT.js reports a packet it cannot read and carries on, deaf.
      this.stream.destroy();
    });
    this.client.on('close', () => {
      if (this.ended !== undefined) return;
      this.silence?.cancel();
      this.pulse?.end();
      this.ended = this.failure ?? { code: 'UNREACHABLE', reason: 'the broker closed the connection' };
      const error = new BusError('DISCONNECTED', this.ended.reason);
      for (const reject of this.pending) reject(error);
      this.pending.clear();
      options.onEnd(this.ended);
    });
    const { opening } = options;
    if (opening !== undefined) {
      const { message, wanted } = opening;
      this.opened = { wanted, granted: this.open(message, wanted) };
      // Awaited once the broker has accepted us, if it does.
      this.opened.granted.catch(() => undefined);
    }
  }

  /** MQTT.js sends nothing before CONNACK: these packets go behind its CONNECT, in the same piece. */
  private open({ topic, payload, without }: Opening, wanted: ReadonlyMap<string, QoS>): Promise<string[]> {
    const said = { cmd: 'publish', topic, payload: asBuffer(payload), qos: 0, retain: false, dup: false } as const;
    const filters = [...wanted.keys()].filter((filter) => !without.includes(filter));
    const subscriptions = filters.map((filter) => ({ topic: filter, qos: wanted.get(filter) ?? 0 }));
    const refused: string[] = [];
    if (filters.length === 0) {
      mqttPacket.writeToStream(said, this.stream);
      return Promise.resolve(refused);
    }
    const messageId = this.client.messageIdProvider.allocate() ?? 1;
    const granted = this.request((settle) => {
      this.client.on('packetreceive', (packet) => {
        if (packet.cmd !== 'suback' || packet.messageId !== messageId) return;
        refused.push(...filters.filter((_, index) => Number(packet.granted[index]) >= 0x80));
        settle();
      });
      mqttPacket.writeToStream({ cmd: 'subscribe', messageId, subscriptions }, this.stream);
      mqttPacket.writeToStream(said, this.stream);
    });
    return granted.then(() => refused);
  }

  /** Asks after silences of so many milliseconds; only where a longest keep-alive was given. */
  pulseEvery(ms: number): void {
    if (this.ended === undefined) this.pulse?.every(ms);
  }

  get bytesSent(): number {
    return this.carrier()?.bytesWritten ?? 0;
  }

  get bytesReceived(): number {
    return this.carrier()?.bytesRead ?? 0;
  }

  publish(topic: string, payload: Uint8Array, { qos = 0, retain = false }: PublishOptions): Promise<void> {
    return this.request((settle) => {
      if (this.pending.size > IN_FLIGHT || this.stream.writableLength > WAITING_BYTES) {
        settle(new BusError('BUSY', 'too many messages wait for the broker'));
      } else if (qos === 0) {
        // A callback would make MQTT.js wait for `drain` with one listener a message.
        this.client.publish(topic, asBuffer(payload), { qos, retain });
        settle();
      } else {
        this.client.publish(topic, asBuffer(payload), { qos, retain }, (error) => settle(error && disconnected(error)));
      }
    });
  }

  /** Resolves with those filters that the broker refused. */
  subscribe(filters: readonly string[], qos: QoS): Promise<string[]> {
    const refused: string[] = [];
    const granted = this.request((settle) => {
      this.client.subscribe([...filters], { qos }, (error, _subscriptions, suback) => {
        // MQTT.js fails the whole packet for one refused filter ([MQTT-3.9.3-2]): only the packet says which.
        if (suback === undefined) return settle(disconnected(error));
        refused.push(...filters.filter((_, index) => Number(suback.granted[index]) >= 0x80));
        settle();
      });
    });
    return granted.then(() => refused);
  }

  unsubscribe(filter: string): void {
    this.client.unsubscribe(filter, () => {});
  }

  /**
   * Waits for what is in flight, then says DISCONNECT, so that the broker sends no will ([MQTT-3.14.4-3]).
   * Resolves when the connection is closed, after at most twice {@link LEAVE_MS}.
   */
  leave(): Promise<void> {
    this.failure ??= { code: 'CLOSED', reason: 'left' };
    const { stream, clock } = this;
    if (stream.destroyed) return Promise.resolve();
    return new Promise((resolve) => {
      let deadline: Timer | undefined;
      const disconnect = () => {
        this.idle = undefined;
        deadline?.cancel();
        deadline = clock.after(LEAVE_MS, () => stream.destroy());
        // MQTT.js would acknowledge what still arrives, and a write after the end destroys the stream, DISCONNECT and all.
        stream.unpipe();
        stream.resume();
        stream.end(DISCONNECT);
      };
      stream.once('close', () => {
        deadline?.cancel();
        resolve();
      });
      if (!this.client.connected) {
        stream.destroy();
      } else if (this.pending.size === 0) {
        disconnect();
      } else {
        this.idle = disconnect;
        deadline = clock.after(LEAVE_MS, disconnect);
      }
    });
  }

  /** Ends it at once, without a word. */
  cut(reason: string): void {
    this.failure ??= { code: 'UNREACHABLE', reason };
    this.stream.destroy();
  }

  /** From now on the broker owes an acknowledgement. */
  private listen(): void {
    this.heard = { ms: this.clock.monotonic(), received: this.bytesReceived, sent: this.bytesSent };
    this.silence ??= this.clock.after(this.silenceMs, () => this.doubt(false));
  }

  /**
   * A broker may be frozen, or cut off: TCP does not tell for minutes, the keep-alive after 1.5 of them. Whoever has
   * nothing to say can wait for that; whoever has, goes elsewhere.
   */
  private doubt(lookedAgain: boolean): void {
    this.silence = undefined;
    if (this.pending.size === 0 || this.ended !== undefined) return;
    if (this.bytesReceived > this.heard.received) return this.listen();
    const silentMs = this.clock.monotonic() - this.heard.ms;
    const leftMs = this.silenceMs + (this.bytesSent - this.heard.sent) * SLOWEST_MS_A_BYTE - silentMs;
    if (leftMs <= 0 && lookedAgain) return this.cut(`no acknowledgement within ${Math.round(silentMs)} ms`);
    // After a pause of this process, what has arrived meanwhile is read between two timers.
    this.silence = this.clock.after(Math.max(1, leftMs), () => this.doubt(leftMs <= 0));
  }

  /** MQTT.js drops some callbacks when a connection breaks: whatever has not settled by then is rejected here. */
  private request(start: (settle: (error?: BusError | null | undefined) => void) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.ended !== undefined) return reject(new BusError('DISCONNECTED', this.ended.reason));
      if (this.pending.size === 0) this.listen();
      this.pending.add(reject);
      start((error) => {
        if (this.pending.delete(reject) && this.pending.size === 0) this.idle?.();
        if (error) reject(error);
        else resolve();
      });
    });
  }
}

function disconnected(error: Error | null | undefined): BusError {
  return new BusError('DISCONNECTED', error?.message ?? 'the connection broke', error);
}

/** A view, not a copy: MQTT.js takes Buffers only. */
function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** What CONNACK 3 means of a master: it was started, and has heard of no leader since. */
export const NO_LEADER_YET = 'the broker takes nobody yet: its master knows no leader';

/** CONNACK return codes ([MQTT-3.2.2], table 3.1). */
const REFUSALS: Readonly<Record<number, SessionEnd>> = {
  1: { code: 'UNREACHABLE', reason: 'the broker does not speak MQTT 3.1.1', refusal: 1 },
  2: { code: 'NOT_ALLOWED', reason: 'the broker refused this client id', refusal: 2 },
  3: { code: 'UNREACHABLE', reason: NO_LEADER_YET, refusal: 3 },
  4: { code: 'BAD_CREDENTIALS', reason: 'the broker refused the user name or password', refusal: 4 },
  5: { code: 'BAD_CREDENTIALS', reason: 'the broker does not allow this user to connect', refusal: 5 },
};

function endOf(error: Error & { code?: unknown }): SessionEnd {
  if (typeof error.code === 'number') {
    return (
      REFUSALS[error.code] ?? {
        code: 'UNREACHABLE',
        reason: `the broker refused the connection with ${error.code}`,
        refusal: error.code,
      }
    );
  }
  return { code: 'UNREACHABLE', reason: describe(error) };
}

const SYSTEM_ERRORS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there',
  ECONNRESET: 'the broker reset the connection',
  ENOTFOUND: 'no such host',
  EAI_AGAIN: 'the name server does not answer',
  EHOSTUNREACH: 'no route to the host',
  ENETUNREACH: 'no network',
  ETIMEDOUT: 'no answer',
};

/** What happened, for people, always with the system's own code where there is one. */
function describe(error: Error & { code?: unknown }): string {
  if (typeof error.code !== 'string') return error.message;
  if (error.code === 'EPROTO' && error.message.includes('wrong version number'))
    return 'no TLS is spoken there (EPROTO)';
  return `${SYSTEM_ERRORS[error.code] ?? error.message} (${error.code})`;
}
