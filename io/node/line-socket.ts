import { chmod, type FileHandle, open, unlink } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join, relative } from 'node:path';
import { LINE_LIMITS, type LineConnection, type LineListener } from '../line-socket.ts';
import { makeFolders } from './make-folders.ts';

/** Bytes of a socket's path, its NUL included (unix(7), sun_path). */
const PATH_BYTES = 108;
const NEW_LINE = 0x0a;
/** How long a peer may take to read what was sent before the end. */
const CLOSE_MS = 1_000;

/**
 * Listens at `<folder>/<name>`, for this user alone: the folder (made where it is missing) has mode 0700, the socket
 * 0600. What an owner that died left there is replaced: the caller holds the lock of the data folder. Rejects with what
 * the system says.
 */
export async function listenLines(folder: string, name: string): Promise<LineListener> {
  await makeFolders(folder);
  await chmod(folder, 0o700);
  // A long path does not fit into an address; through a descriptor of its folder any does.
  const handle = await open(folder, 'r');
  try {
    const address = `/proc/self/fd/${handle.fd}/${name}`;
    await unlink(address).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error;
    });
    const listener = new NodeLineListener(join(folder, name), handle);
    await listener.listen(address);
    await chmod(address, 0o600);
    return listener;
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** Connects to a {@link LineListener}; rejects with what the system says. */
export function connectLines(path: string): Promise<LineConnection> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path });
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.off('error', reject);
      resolve(new SocketLines(socket));
    });
  });
}

class NodeLineListener implements LineListener {
  readonly #path: string;
  readonly #folder: FileHandle;
  readonly #server: Server;
  readonly #open = new Set<LineConnection>();
  #early: LineConnection[] = [];
  #listener: ((connection: LineConnection) => void) | undefined;

  constructor(path: string, folder: FileHandle) {
    this.#path = path;
    this.#folder = folder;
    this.#server = createServer((socket) => this.#connected(socket));
    this.#server.maxConnections = LINE_LIMITS.connections;
  }

  listen(address: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(address, () => {
        this.#server.off('error', reject);
        // One connection that cannot be taken is not the end of all.
        this.#server.on('error', () => undefined);
        resolve();
      });
    });
  }

  pathFrom(folder: string): string {
    if (Buffer.byteLength(this.#path) < PATH_BYTES) return this.#path;
    return relative(folder, this.#path);
  }

  onConnection(listener: (connection: LineConnection) => void): void {
    this.#listener = listener;
    for (const connection of this.#early.splice(0)) listener(connection);
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const connection of this.#open) connection.close();
    await closed;
    await this.#folder.close();
  }

  #connected(socket: Socket): void {
    const connection = new SocketLines(socket);
    this.#open.add(connection);
    connection.onClosed(() => this.#open.delete(connection));
    if (this.#listener === undefined) this.#early.push(connection);
    else this.#listener(connection);
  }
}

class SocketLines implements LineConnection {
  readonly #socket: Socket;
  readonly #closedListeners: (() => void)[] = [];
  #lineListener: ((line: string) => void | Promise<void>) | undefined;
  /** The beginning of a line. */
  #rest: Buffer[] = [];
  #restBytes = 0;
  #closed = false;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('error', () => undefined);
    socket.on('close', () => this.#end());
    // Nothing is read before somebody listens.
    socket.pause();
    socket.on('data', (bytes: Buffer) => this.#read(bytes));
  }

  send(line: string): void {
    if (this.#socket.destroyed || this.#socket.writableEnded) return;
    this.#socket.write(`${line}\n`);
    if (this.#socket.writableLength > LINE_LIMITS.waitingBytes) this.#socket.destroy();
  }

  onLine(listener: (line: string) => void | Promise<void>): void {
    this.#lineListener = listener;
    this.#socket.resume();
  }

  onClosed(listener: () => void): void {
    if (this.#closed) listener();
    else this.#closedListeners.push(listener);
  }

  close(): void {
    // A peer that ends its side never, or reads nothing, must not keep ours.
    const late = setTimeout(() => this.#socket.destroy(), CLOSE_MS);
    this.#socket.end(() => {
      clearTimeout(late);
      this.#socket.destroy();
    });
  }

  /** False where the rest has to wait, or nothing more is wanted. */
  #read(bytes: Buffer): boolean {
    let from = 0;
    for (let end = bytes.indexOf(NEW_LINE); end >= 0; end = bytes.indexOf(NEW_LINE, from)) {
      if (!this.#take(bytes.subarray(from, end))) return false;
      const line = Buffer.concat(this.#rest).toString('utf8');
      this.#rest = [];
      this.#restBytes = 0;
      from = end + 1;
      const later = this.#lineListener?.(line);
      if (this.#socket.destroyed) return false;
      if (later instanceof Promise) {
        this.#hold(later, bytes.subarray(from));
        return false;
      }
    }
    return this.#take(bytes.subarray(from));
  }

  #hold(until: Promise<void>, rest: Buffer): void {
    this.#socket.pause();
    const goOn = (): void => {
      if (!this.#socket.destroyed && this.#read(rest)) this.#socket.resume();
    };
    until.then(goOn, goOn);
  }

  /** False where the line is too long: that ends the connection. */
  #take(piece: Buffer): boolean {
    this.#restBytes += piece.length;
    if (this.#restBytes > LINE_LIMITS.lineBytes) {
      this.#socket.destroy();
      return false;
    }
    if (piece.length > 0) this.#rest.push(piece);
    return true;
  }

  #end(): void {
    this.#closed = true;
    for (const listener of this.#closedListeners) listener();
  }
}
