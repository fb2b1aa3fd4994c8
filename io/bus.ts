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
}

export interface PublishOptions {
  /** Default 0. */
  readonly qos?: QoS;
  /** Default false. */
  readonly retain?: boolean;
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
   */
  subscribe(filter: string, qos: QoS, handler: (message: BusMessage) => void): Promise<() => void>;
  /** Calls `listener` after every connection, once all subscriptions stand; at once if connected already. */
  onConnected(listener: () => void): void;
  /** Calls `listener` after every loss of connection; `reason` is for people. */
  onDisconnected(listener: (reason: string) => void): void;
  /** Leaves politely (MQTT DISCONNECT: no will is sent), and never connects again. */
  close(): Promise<void>;
}

export type BusErrorCode = 'DISCONNECTED' | 'NOT_ALLOWED' | 'BAD_CREDENTIALS' | 'UNREACHABLE' | 'TOO_LARGE' | 'CLOSED';

export class BusError extends Error {
  readonly code: BusErrorCode;

  constructor(code: BusErrorCode, message: string, cause?: unknown) {
    super(message, { cause });
    this.name = 'BusError';
    this.code = code;
  }
}
