import { readdir, readFile, readlink } from 'node:fs/promises';
import { createServer as createHttpServer, type Server as HttpServer, type IncomingMessage } from 'node:http';
import { createServer as createTcpServer, type Socket, type Server as TcpServer } from 'node:net';
import type { Duplex } from 'node:stream';
import { createServer as createTlsServer } from 'node:tls';
import { createWebSocketStream, WebSocketServer } from 'ws';
import type { ByteStream, Connection, Listener } from '../listener.ts';

export interface ListenerOptions {
  /** `mqtt:`, `mqtts:` or `ws:` (MQTT over WebSocket at the path /mqtt), host and port; port 0 takes a free one. */
  readonly url: string;
  /** PEM; needed for `mqtts:`. */
  readonly certificate?: string;
  readonly key?: string;
}

/** The port is taken, or may not be had. `holder` names the process where /proc tells. */
export class ListenError extends Error {
  readonly code: string;
  readonly holder: string | undefined;

  constructor(url: string, code: string, holder: string | undefined, cause: unknown) {
    super(`cannot listen on ${url}: ${code}${holder === undefined ? '' : `, held by ${holder}`}`, { cause });
    this.name = 'ListenError';
    this.code = code;
    this.holder = holder;
  }
}

const HANDSHAKE_MS = 10_000;
/** A listener's queue of connections that the kernel holds: a thousand agents may come back at once. */
const BACKLOG = 4_096;

/** True where only this machine can connect to `host`. */
export function isLoopback(host: string): boolean {
  const address = host.replace(/^\[|\]$/g, '').replace(/^::ffff:/, '');
  return address === 'localhost' || address === '::1' || /^127(\.\d{1,3}){3}$/.test(address);
}

/** Listens; rejects with a ListenError. */
export async function listen(options: ListenerOptions): Promise<Listener> {
  const { protocol, hostname, port } = new URL(options.url);
  const bound = isLoopback(hostname);
  let accept: ((connection: Connection) => void) | undefined;
  /** Came before anybody wanted them. */
  const early: { readonly stream: Duplex; readonly handOver: () => void }[] = [];
  let closed = false;
  const connected = (socket: Socket, stream: Duplex, secure: boolean): void => {
    const address = socket.remoteAddress ?? '';
    const connection = { address, loopback: bound && isLoopback(address), secure };
    const handOver = (): void => accept?.({ ...connection, stream: coalesced(stream) });
    if (accept !== undefined) return handOver();
    if (closed || early.length >= BACKLOG) return void stream.destroy();
    // It may be reset meanwhile: whoever takes it is told by `close`.
    stream.on('error', () => undefined);
    early.push({ stream, handOver });
    return undefined;
  };
  const server = serverOf(protocol, options, connected);
  await listening(server, options.url, hostname.replace(/^\[|\]$/g, ''), Number(port || defaultPort(protocol)));
  const at = server.address();
  const url = `${protocol}//${hostname}:${typeof at === 'object' && at !== null ? at.port : port}${protocol === 'ws:' ? '/mqtt' : ''}`;
  return {
    url,
    onConnection: (handler) => {
      accept = handler;
      for (const { stream, handOver } of early.splice(0)) if (!stream.destroyed) handOver();
    },
    close: () =>
      new Promise((resolve) => {
        closed = true;
        server.close(() => resolve());
        // Nobody else has them, and the server waits until all connections have ended.
        for (const { stream } of early.splice(0)) stream.destroy();
      }),
  };
}

function defaultPort(protocol: string): number {
  return protocol === 'mqtts:' ? 8883 : protocol === 'ws:' ? 8080 : 1883;
}

function serverOf(
  protocol: string,
  options: ListenerOptions,
  connected: (socket: Socket, stream: Duplex, secure: boolean) => void,
): TcpServer | HttpServer {
  switch (protocol) {
    case 'mqtt:':
      return createTcpServer({ noDelay: true }, (socket) => connected(socket, socket, false));
    case 'mqtts:': {
      const { certificate, key } = options;
      if (certificate === undefined || key === undefined)
        throw new TypeError(`${options.url} needs a certificate and its key`);
      const server = createTlsServer(
        { cert: certificate, key, handshakeTimeout: HANDSHAKE_MS, minVersion: 'TLSv1.2' },
        (socket) => {
          socket.setNoDelay(true);
          connected(socket, socket, true);
        },
      );
      server.on('tlsClientError', (_error, socket) => socket.destroy());
      return server;
    }
    case 'ws:':
      return webSocketServer(isLoopback(new URL(options.url).hostname), connected);
    default:
      throw new TypeError(`${options.url}: a listener is mqtt://, mqtts:// or ws://`);
  }
}

function webSocketServer(
  onLoopback: boolean,
  connected: (socket: Socket, stream: Duplex, secure: boolean) => void,
): HttpServer {
  const http = createHttpServer((_request, response) => {
    response.writeHead(404, { 'content-type': 'text/plain' }).end('MQTT over WebSocket is at /mqtt\n');
  });
  const sockets = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    maxPayload: 1_048_576,
    handleProtocols: (offered) => (offered.has('mqtt') ? 'mqtt' : false),
  });
  http.on('upgrade', (request, socket, head) => {
    // Node hands the socket over with nobody listening for its errors: a reset must not end the process.
    socket.on('error', () => undefined);
    // Until the WebSocket has it, nobody else listens: a reset would stop the process.
    socket.on('error', () => undefined);
    const [path] = (request.url ?? '').split('?');
    if (path !== '/mqtt' || foreign(request, onLoopback)) {
      socket.end('HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n');
      return;
    }
    sockets.handleUpgrade(request, socket, head, (webSocket) =>
      connected(request.socket, createWebSocketStream(webSocket), false),
    );
  });
  return http;
}

/**
 * A page of another site in the user's own browser must not speak for the user (cross-site WebSocket hijacking). It may
 * also have given its own name our address (DNS rebinding): on a loopback listener the name must be one of this machine.
 */
function foreign({ headers }: IncomingMessage, onLoopback: boolean): boolean {
  const { origin, host } = headers;
  if (origin === undefined) return false;
  try {
    const from = new URL(origin);
    return from.host !== host || (onLoopback && !isLoopback(from.hostname));
  } catch {
    return true;
  }
}

/** Sends what is written in one turn of the loop as one piece: a third less processor time (docs/decisions/0006). */
function coalesced(stream: Duplex): ByteStream {
  const write = stream.write.bind(stream) as (...parameters: unknown[]) => boolean;
  let corked = false;
  stream.write = ((...parameters: unknown[]): boolean => {
    if (!corked) {
      corked = true;
      stream.cork();
      setImmediate(() => {
        corked = false;
        stream.uncork();
      });
    }
    return write(...parameters);
  }) as typeof stream.write;
  return stream as unknown as ByteStream;
}

function listening(server: TcpServer | HttpServer, url: string, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const code = error.code ?? 'UNKNOWN';
      holderOf(port).then(
        (holder) => reject(new ListenError(url, code, code === 'EADDRINUSE' ? holder : undefined, error)),
        () => reject(new ListenError(url, code, undefined, error)),
      );
    });
    server.listen({ host, port, backlog: BACKLOG }, () => {
      server.removeAllListeners('error');
      server.on('error', () => undefined);
      resolve();
    });
  });
}

/** The process that listens on a port: its socket's inode is in /proc/net/tcp, its open files in /proc/<pid>/fd. */
async function holderOf(port: number): Promise<string | undefined> {
  const hexPort = port.toString(16).toUpperCase().padStart(4, '0');
  const inodes = new Set<string>();
  for (const table of ['/proc/net/tcp', '/proc/net/tcp6']) {
    const text = await readFile(table, 'utf8').catch(() => '');
    for (const line of text.split('\n').slice(1)) {
      const [, local = '', , state, , , , , , inode = ''] = line.trim().split(/\s+/);
      if (state === '0A' && local.endsWith(`:${hexPort}`)) inodes.add(`socket:[${inode}]`);
    }
  }
  if (inodes.size === 0) return undefined;
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    for (const file of await readdir(`/proc/${pid}/fd`).catch(() => [])) {
      const link = await readlink(`/proc/${pid}/fd/${file}`).catch(() => '');
      if (!inodes.has(link)) continue;
      const name = (await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '')).trim();
      return `${name} (process ${pid})`;
    }
  }
  return undefined;
}
