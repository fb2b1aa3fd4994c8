/**
 * What an MQTT connection gives us, whoever carries it: a client of a broker, the embedded broker itself, or the
 * simulator. Only the portable part of MQTT 3.1.1: QoS 0 and 1, clean sessions, retained on exact topics, one will.
 */
export type QoS = 0 | 1;

/** A message as it arrives. With QoS 1 it may arrive twice; messages may overtake each other across topics. */
export interface BusMessage {
  readonly topic: string;
  readonly payload: Uint8Array;
  /** True only where it comes from the broker's retained store. */
  readonly retained: boolean;
  /** The role that its publisher's connection has. Only the broker within this process knows it. */
  readonly role?: string;
}

export interface PublishOptions {
  /** Default 0. */
  readonly qos?: QoS;
  /** Default false. */
  readonly retain?: boolean;
}

/** What the broker publishes for a client whose connection breaks ([MQTT-3.1.2-8]). */
export interface Will {
  readonly topic: string;
  readonly payload: Uint8Array;
  /** Default 0. */
  readonly qos?: QoS;
  /** Default false. */
  readonly retain?: boolean;
}

/** What is said in one breath with CONNECT and all subscriptions, at QoS 0, before the broker has answered any of it. */
export interface Opening {
  readonly topic: string;
  readonly payload: Uint8Array;
  /** Filters that this connection does not ask for until somebody subscribes to them anew. */
  readonly without: readonly string[];
}

export interface Bus {
  /** True between `connected` and `disconnected`. */
  readonly connected: boolean;
  /**
   * Sends a message. QoS 0 resolves when it was handed to the connection, QoS 1 when the broker acknowledged it.
   * Rejects with a {@link BusError} when there is no connection, or it breaks first: nothing is queued while offline.
   */
  publish(topic: string, payload: Uint8Array, options?: PublishOptions): Promise<void>;
  /**
   * Delivers everything that matches `filter` to `handler`, until the returned function is called. It outlives the
   * connection: after every reconnect the bus subscribes again before it says `connected`. Resolves once the broker
   * has granted it, or at once while there is no connection; rejects with a BusError `NOT_ALLOWED` if it is refused.
   * Retained messages arrive after every subscription and reconnect, also again for handlers that share `filter`.
   * Where filters overlap, a broker may send one message once for each ([MQTT-3.3.5-1]): handlers take duplicates.
   * A handler that throws is logged, and harms nobody else.
   */
  subscribe(filter: string, qos: QoS, handler: (message: BusMessage) => void): Promise<() => void>;
  /** Calls `listener` after every connection, once all subscriptions stand; at once if connected already. */
  onConnected(listener: () => void): void;
  /**
   * Calls `listener` after every loss of connection, also of one that had begun to deliver and was never said to stand:
   * what was heard on it belongs to it. `reason` is for people.
   */
  onDisconnected(listener: (reason: string) => void): void;
  /** Leaves politely (MQTT DISCONNECT: no will is sent), and never connects again. */
  close(): Promise<void>;
}

/** A bus that may be carried from one broker to another: how everybody but the master reaches the cluster. */
export interface MovableBus extends Bus {
  /** The broker it is connected to, or is trying; as it was given. */
  readonly url: string;
  /**
   * Replaces the brokers it may use. A connection to one that is still listed stays; any other is left politely.
   * Throws a BusError `BAD_URL` or `INSECURE`, and then changes nothing.
   */
  setUrls(urls: readonly string[]): void;
  /**
   * Leaves the present broker politely and connects to `url` at once, listed or not; falls back to the list if that
   * fails. Nothing happens where it is there already. Throws as {@link setUrls} does.
   */
  moveTo(url: string): void;
  /** What the connection is for has worked: should it end now, its broker has died, and the next is tried soon. */
  worked(): void;
  /** Packets it has sent only to show that it is there (PINGREQ); absent where the carrier has none. */
  readonly keepAlives?: number;
  /** How it shows that it is there; absent where that cannot be changed. */
  readonly pulse?: BusPulse;
}

/** Packets of a connection that say nothing but that both ends are there. */
export interface BusPulse {
  /**
   * Asks after so many milliseconds without a word of its own, on this connection; the next begins anew with the shortest.
   * Nothing longer than what the connection has promised.
   */
  every(ms: number): void;
  /** Calls `listener` whenever it has asked: whether there was an answer, before the connection ended or was given up. */
  onOutcome(listener: (answered: boolean) => void): void;
}

/** Bytes of the largest payload that a bus takes or hands on: `LIMITS.payloadBytes` of the protocol. */
export const MAX_PAYLOAD_BYTES = 65_536;

/**
 * - `DISCONNECTED` there is no connection, or it broke first: whether the broker has it is not known
 * - `NOT_ALLOWED` the broker refused the subscription, or this client id
 * - `BAD_CREDENTIALS` the broker refused the user name or password
 * - `UNREACHABLE` no broker answered; the message names each URL with what the system said
 * - `INSECURE` a password would travel over a plain connection beyond this machine
 * - `BAD_URL` not a URL of a broker
 * - `TOO_LARGE` the payload is over {@link MAX_PAYLOAD_BYTES}
 * - `BUSY` too much is waiting to be sent, or acknowledged
 * - `CLOSED` the bus was closed
 */
export type BusErrorCode =
  | 'DISCONNECTED'
  | 'NOT_ALLOWED'
  | 'BAD_CREDENTIALS'
  | 'UNREACHABLE'
  | 'INSECURE'
  | 'BAD_URL'
  | 'TOO_LARGE'
  | 'BUSY'
  | 'CLOSED';

export class BusError extends Error {
  readonly code: BusErrorCode;

  constructor(code: BusErrorCode, message: string, cause?: unknown) {
    super(message, { cause });
    this.name = 'BusError';
    this.code = code;
  }
}
