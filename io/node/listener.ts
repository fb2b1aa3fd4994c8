import { createHash } from 'node:crypto';
import { createServer as createHttpServer, type Server as HttpServer, type IncomingMessage } from 'node:http';
import { createServer as createTcpServer, type Server, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { createServer as createTlsServer, type TLSSocket } from 'node:tls';
import { createWebSocketStream, WebSocketServer } from 'ws';
import type { Arrival, ByteStream, Connection, Listener } from '../listener.ts';
import { holderOf } from './port-holder.ts';

export interface ListenerOptions {
  /** `mqtt:`, `mqtts:` or `ws:` (MQTT over WebSocket at the path /mqtt), host and port; port 0 takes a free one. */
  readonly url: string;
  /** PEM; needed for `mqtts:`. */
  readonly certificate?: string;
  readonly key?: string;
  /** PEM of the authorities whose certificates tell who a client is. Default: none is asked for. */
  readonly clientCa?: string;
  /** 48 bytes, the same for all listeners of a cluster: what a client was told by one of them shortens its next handshake with any. */
  readonly ticketKeys?: Uint8Array;
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
/**
 * How long what was agreed may shorten the next handshake: as long as TLS 1.3 allows (RFC 8446 §4.6.1). Node's 300 s would
 * have whoever reconnects once an hour begin anew each time.
 */
const RESUMABLE_S = 604_800;
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
  let arrive: ((arrival: Arrival) => void) | undefined;
  /** Came before anybody wanted them. */
  const early: Arrival[] = [];
  let closed = false;
  const begin = beginnerOf(protocol, options);
  const server = createTcpServer({ noDelay: true, pauseOnConnect: true }, (socket) => {
    // Whatever a peer does to its connection is no error of ours, whoever listens.
    socket.on('error', () => undefined);
    const arrival = arrivalOf(socket, bound, begin);
    if (arrive !== undefined) arrive(arrival);
    else if (closed || early.length >= BACKLOG) arrival.refuse();
    else early.push(arrival);
  });
  await listening(server, options.url, hostname.replace(/^\[|\]$/g, ''), Number(port || defaultPort(protocol)));
  const at = server.address();
  const url = `${protocol}//${hostname}:${typeof at === 'object' && at !== null ? at.port : port}${protocol === 'ws:' ? '/mqtt' : ''}`;
  return {
    url,
    onArrival: (handler) => {
      arrive = handler;
      for (const arrival of early.splice(0)) handler(arrival);
    },
    close: () =>
      new Promise((resolve) => {
        closed = true;
        // Nobody else has them, and the server waits until all connections have ended.
        for (const arrival of early.splice(0)) arrival.refuse();
        server.close(() => resolve());
      }),
  };
}

function defaultPort(protocol: string): number {
  return protocol === 'mqtts:' ? 8883 : protocol === 'ws:' ? 8080 : 1883;
}

/** What a connection has become that can be spoken on. */
type Ready = (stream: Duplex, secure: boolean, certified?: string) => void;
/** Makes a raw connection one that can be spoken on. */
type Beginner = (socket: Socket, ready: Ready) => void;

function arrivalOf(socket: Socket, bound: boolean, begin: Beginner): Arrival {
  const address = socket.remoteAddress ?? '';
  const sameMachine = isLoopback(address);
  return {
    address,
    sameMachine,
    open: (ready) => {
      if (socket.destroyed) return;
      begin(socket, (stream, secure, certified) => {
        const connection: Connection = {
          stream: coalesced(stream),
          address,
          loopback: bound && sameMachine,
          secure,
          certified,
        };
        ready(connection);
      });
    },
    refuse: () => socket.destroy(),
    onClosed: (listener) => {
      if (socket.destroyed) listener();
      else socket.once('close', listener);
    },
  };
}

function beginnerOf(protocol: string, options: ListenerOptions): Beginner {
  switch (protocol) {
    case 'mqtt:':
      return (socket, ready) => ready(socket, false);
    case 'mqtts:':
      return secureBeginner(options);
    case 'ws:':
      return webSocketBeginner(isLoopback(new URL(options.url).hostname));
    default:
      throw new TypeError(`${options.url}: a listener is mqtt://, mqtts:// or ws://`);
  }
}

/** A server that does not listen itself: it is handed connections, and says by their peer which of them is ready. */
class Openings {
  readonly #ready = new Map<string, Ready>();

  add(socket: Socket, ready: Ready): void {
    const key = peerOf(socket);
    this.#ready.set(key, ready);
    socket.once('close', () => this.#ready.delete(key));
  }

  take(socket: Socket): Ready | undefined {
    const ready = this.#ready.get(peerOf(socket));
    this.#ready.delete(peerOf(socket));
    return ready;
  }
}

function peerOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}

function secureBeginner({ url, certificate, key, clientCa, ticketKeys }: ListenerOptions): Beginner {
  if (certificate === undefined || key === undefined) throw new TypeError(`${url} needs a certificate and its key`);
  const openings = new Openings();
  const server = createTlsServer(
    {
      cert: certificate,
      key,
      handshakeTimeout: HANDSHAKE_MS,
      minVersion: 'TLSv1.2',
      sessionTimeout: RESUMABLE_S,
      // Of another context no session is taken up again: whom other authorities had vouched for shows its certificate anew.
      sessionIdContext: contextOf(clientCa),
      ...(ticketKeys === undefined ? {} : { ticketKeys: Buffer.from(ticketKeys) }),
      // Who shows none, or one of a stranger's, is known by its token.
      ...(clientCa === undefined ? {} : { ca: clientCa, requestCert: true, rejectUnauthorized: false }),
    },
    (socket) => openings.take(socket)?.(socket, true, certifiedName(socket)),
  );
  server.on('tlsClientError', (_error, socket) => socket.destroy());
  return (socket, ready) => {
    openings.add(socket, ready);
    server.emit('connection', socket);
  };
}

/** At most 32 characters, of which the ticket of every client holds a copy. */
function contextOf(clientCa: string | undefined): string {
  return clientCa === undefined ? 'mesquite' : createHash('sha256').update(clientCa).digest('base64url').slice(0, 16);
}

function certifiedName(socket: TLSSocket): string | undefined {
  if (!socket.authorized) return undefined;
  const { subject, valid_to: until } = socket.getPeerCertificate();
  // A session that is taken up again was checked when it began.
  if (socket.isSessionReused() && Date.parse(until) < Date.now()) return undefined;
  const name: unknown = subject?.CN;
  return typeof name === 'string' ? name : undefined;
}

function webSocketBeginner(onLoopback: boolean): Beginner {
  const openings = new Openings();
  const server = webSocketServer(onLoopback, (socket, stream) => openings.take(socket)?.(stream, false));
  return (socket, ready) => {
    openings.add(socket, ready);
    server.emit('connection', socket);
    socket.resume();
  };
}

function webSocketServer(onLoopback: boolean, connected: (socket: Socket, stream: Duplex) => void): HttpServer {
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
    const [path] = (request.url ?? '').split('?');
    if (path !== '/mqtt' || foreign(request, onLoopback)) {
      socket.end('HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n');
      return;
    }
    sockets.handleUpgrade(request, socket, head, (webSocket) =>
      connected(request.socket, createWebSocketStream(webSocket)),
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

function listening(server: Server, url: string, host: string, port: number): Promise<void> {
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
