import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';

/** How one path of a {@link WebServer} behaves. */
export interface Page {
  content: Uint8Array;
  /** Sent as it is; default a strong one of the content's first bytes and length. Null: none. */
  etag?: string | null;
  lastModified?: string;
  /** Answers 200 with all of it, whatever part is asked for. */
  noRanges?: boolean;
  /** Answers 206 though If-Range does not match. */
  blindRanges?: boolean;
  /** Without Content-Length. */
  chunked?: boolean;
  /** Answers this instead of the content, as often as `times` says (default for ever). */
  status?: { code: number; times?: number; location?: string };
  /** The connection is cut once so many bytes of an answer were sent; once. */
  breakAfter?: number | undefined;
  /** Sends so many bytes of each answer, then nothing, and keeps the connection. */
  stallAfter?: number | undefined;
  /** `Content-Range` as it is sent, whatever is asked. */
  contentRange?: string;
  /** Waits for this between pieces of 64 kB. */
  pace?: () => Promise<void>;
}

export interface Served {
  readonly path: string;
  readonly range: string | undefined;
  readonly authorization: string | undefined;
  readonly acceptEncoding: string | undefined;
}

/** A real web server on this machine that does as it is told. */
export class WebServer {
  readonly pages = new Map<string, Page>();
  readonly requests: Served[] = [];
  /** Bytes of content that were written to connections. */
  bytesServed = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #waiting: { done: () => boolean; settle: () => void }[] = [];
  #scheme = 'http';
  #count = 0;

  private constructor(tls: { key: string; cert: string } | undefined) {
    const answer = (request: IncomingMessage, response: ServerResponse): void => void this.#answer(request, response);
    this.#server = tls === undefined ? createServer(answer) : createTlsServer(tls, answer);
    if (tls !== undefined) this.#scheme = 'https';
    this.#server.on(tls === undefined ? 'connection' : 'secureConnection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on('error', () => undefined);
      socket.once('close', () => {
        this.#sockets.delete(socket);
        this.#changed();
      });
    });
  }

  static async start(tls?: { key: string; cert: string }, port = 0): Promise<WebServer> {
    const server = new WebServer(tls);
    await new Promise<void>((resolve) => server.#server.listen(port, '127.0.0.1', resolve));
    return server;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  url(path: string): string {
    return `${this.#scheme}://${this.#scheme === 'https' ? 'localhost' : '127.0.0.1'}:${this.port}${path}`;
  }

  put(content: Uint8Array, page: Partial<Page> = {}): string {
    const path = `/files/${this.#count++}.bin`;
    this.pages.set(path, { content, ...page });
    return this.url(path);
  }

  page(uri: string): Page {
    const page = this.pages.get(new URL(uri).pathname);
    if (page === undefined) throw new Error(`no page ${uri}`);
    return page;
  }

  /** Resolves once it is so, looked at after every request, piece and end of a connection. */
  until(done: () => boolean): Promise<void> {
    if (done()) return Promise.resolve();
    return new Promise((settle) => this.#waiting.push({ done, settle }));
  }

  idle(): Promise<void> {
    return this.until(() => this.#sockets.size === 0);
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    if (!this.#server.listening) return;
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #changed(): void {
    for (const one of this.#waiting.splice(0)) {
      if (one.done()) one.settle();
      else this.#waiting.push(one);
    }
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = new URL(request.url ?? '/', 'http://host').pathname;
    const { range, authorization } = request.headers;
    this.requests.push({ path, range, authorization, acceptEncoding: String(request.headers['accept-encoding']) });
    const page = this.pages.get(path);
    if (page === undefined) response.writeHead(404).end('<h1>nothing</h1>');
    else if (page.status !== undefined && (page.status.times ?? 1) > 0) {
      if (page.status.times !== undefined) page.status.times--;
      const { code, location } = page.status;
      response.writeHead(code, location === undefined ? {} : { location }).end();
    } else await this.#send(page, request, response);
    this.#changed();
  }

  async #send(page: Page, { headers }: IncomingMessage, response: ServerResponse): Promise<void> {
    const { content, lastModified } = page;
    const etag = page.etag === undefined ? etagOf(content) : page.etag;
    const [, from] = /^bytes=(\d+)-$/.exec(headers.range ?? '') ?? [];
    const matches = headers['if-range'] === (etag ?? lastModified) || page.blindRanges === true;
    const begin = from === undefined || !matches || page.noRanges === true ? 0 : Number(from);
    const partial = begin > 0;
    const common = {
      ...(etag === null ? {} : { etag }),
      ...(lastModified === undefined ? {} : { 'last-modified': lastModified }),
    };
    if (partial && begin >= content.length) {
      response.writeHead(416, { ...common, 'content-range': `bytes */${content.length}` }).end();
      return;
    }
    response.writeHead(partial || page.contentRange !== undefined ? 206 : 200, {
      ...common,
      ...(page.chunked === true ? {} : { 'content-length': content.length - begin }),
      ...(partial ? { 'content-range': `bytes ${begin}-${content.length - 1}/${content.length}` } : {}),
      ...(page.contentRange === undefined ? {} : { 'content-range': page.contentRange }),
    });
    const most = page.breakAfter ?? page.stallAfter ?? Infinity;
    const breaks = page.breakAfter !== undefined;
    page.breakAfter = undefined;
    const end = Math.min(content.length, begin + most);
    for (let at = begin; at < end && !response.destroyed; ) {
      await page.pace?.();
      const piece = content.subarray(at, Math.min(end, at + 65_536));
      await new Promise<void>((resolve) => {
        response.once('close', resolve);
        response.write(piece, () => {
          response.off('close', resolve);
          resolve();
        });
      });
      at += piece.length;
      this.bytesServed += piece.length;
      this.#changed();
    }
    if (end === content.length) response.end();
    else if (breaks) response.destroy();
  }
}

function etagOf(content: Uint8Array): string {
  return `"${content.length}-${Buffer.from(content.subarray(0, 16)).toString('hex')}"`;
}
