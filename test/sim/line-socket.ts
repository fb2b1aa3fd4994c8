import type { Clock } from '../../io/clock.ts';
import { LINE_LIMITS, type LineConnection, type LineListener } from '../../io/line-socket.ts';

/** Virtual milliseconds that a line is on its way. */
const WAY_MS = 1;

/** One machine's socket on virtual time: listeners come and go with their process, connections break with it. */
export class SimulatedLineSocket {
  readonly #clock: Clock;
  #listener: SimulatedListener | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** What `listenLines` is on a real machine; the listener before is cut off. */
  listen(): LineListener {
    this.kill();
    this.#listener = new SimulatedListener();
    return this.#listener;
  }

  /** The process that listens dies. */
  kill(): void {
    void this.#listener?.close();
    this.#listener = undefined;
  }

  /** What `connectLines` is on a real machine. */
  connect(): Promise<LineConnection> {
    if (this.#listener?.open !== true) return Promise.reject(new Error('ECONNREFUSED'));
    const [near, far] = [new SimulatedLines(this.#clock), new SimulatedLines(this.#clock)];
    near.peer = far;
    far.peer = near;
    this.#listener.connected(far);
    return Promise.resolve(near);
  }
}

class SimulatedListener implements LineListener {
  open = true;
  readonly #connections: LineConnection[] = [];
  #early: LineConnection[] = [];
  #listener: ((connection: LineConnection) => void) | undefined;

  pathFrom(): string {
    return '/data/executors/socket';
  }

  onConnection(listener: (connection: LineConnection) => void): void {
    this.#listener = listener;
    for (const connection of this.#early.splice(0)) listener(connection);
  }

  connected(connection: LineConnection): void {
    this.#connections.push(connection);
    if (this.#listener === undefined) this.#early.push(connection);
    else this.#listener(connection);
  }

  close(): Promise<void> {
    this.open = false;
    for (const connection of this.#connections) connection.close();
    return Promise.resolve();
  }
}

class SimulatedLines implements LineConnection {
  peer: SimulatedLines | undefined;
  readonly #clock: Clock;
  readonly #closedListeners: (() => void)[] = [];
  #listener: ((line: string) => void | Promise<void>) | undefined;
  #holding = false;
  #early: string[] = [];
  #earlyBytes = 0;
  #ended = false;
  #closed = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  send(line: string): void {
    const { peer } = this;
    if (this.#ended || peer === undefined) return;
    if (new TextEncoder().encode(line).length > LINE_LIMITS.lineBytes) return peer.close();
    this.#clock.after(WAY_MS, () => peer.#take(line));
  }

  onLine(listener: (line: string) => void | Promise<void>): void {
    this.#listener = listener;
    this.#tellKept();
  }

  onClosed(listener: () => void): void {
    if (this.#closed) listener();
    else this.#closedListeners.push(listener);
  }

  close(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#clock.after(WAY_MS, () => {
      this.#end();
      if (this.peer !== undefined) this.peer.#end();
    });
  }

  #take(line: string): void {
    if (this.#closed) return;
    this.#early.push(line);
    this.#earlyBytes += line.length + 1;
    this.#tellKept();
    if (this.#earlyBytes > LINE_LIMITS.waitingBytes) this.close();
  }

  #tellKept(): void {
    while (this.#listener !== undefined && !this.#holding && !this.#closed) {
      const line = this.#early.shift();
      if (line === undefined) return;
      this.#earlyBytes -= line.length + 1;
      const later = this.#listener(line);
      if (!(later instanceof Promise)) continue;
      this.#holding = true;
      const goOn = (): void => {
        this.#holding = false;
        this.#tellKept();
      };
      later.then(goOn, goOn);
    }
  }

  #end(): void {
    if (this.#closed) return;
    this.#ended = true;
    this.#closed = true;
    for (const listener of this.#closedListeners) listener();
  }
}
