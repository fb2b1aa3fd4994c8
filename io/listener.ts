/** Sockets that strangers connect to: TCP, TLS or WebSocket, all as byte streams. */
export interface Listener {
  /** Where it listens, with the port it really has: `mqtt://127.0.0.1:1883`. */
  readonly url: string;
  /** Calls `arrive` for every connection, those first that have come already. One only. */
  onArrival(arrive: (arrival: Arrival) => void): void;
  /** Stops listening; connections that stand are left alone. */
  close(): Promise<void>;
}

/** Somebody has connected, and nothing has been read: it has cost next to nothing so far. */
export interface Arrival {
  /** Of the peer, for people and limits; empty where the platform has none. */
  readonly address: string;
  /** The peer is on this machine. */
  readonly sameMachine: boolean;
  /** Begins: the handshake of TLS, the upgrade to a WebSocket. Calls `ready` once it can be spoken on; never, where it ends first. */
  open(ready: (connection: Connection) => void): void;
  /** Ends it without a word. */
  refuse(): void;
  /** Calls `listener` once it has ended, on whichever side. */
  onClosed(listener: () => void): void;
}

export interface Connection {
  readonly stream: ByteStream;
  /** Of the peer, for people and limits; empty where the platform has none. */
  readonly address: string;
  /** The listener is bound to a loopback address and so is the peer's. */
  readonly loopback: boolean;
  /** Nobody on the way can read it. */
  readonly secure: boolean;
  /** The common name of the certificate that the peer has shown, where an authority of the listener's vouches for it. */
  readonly certified: string | undefined;
}

/** What a broker needs of a duplex stream of the platform. */
export interface ByteStream {
  /** Bytes accepted by `write` that the peer has not taken. */
  readonly writableLength: number;
  write(bytes: Uint8Array, ...rest: unknown[]): boolean;
  /** What is written from now on waits for {@link uncork}; they nest. */
  cork(): void;
  uncork(): void;
  destroy(error?: Error): unknown;
  on(event: 'readable' | 'close', listener: () => void): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
}
