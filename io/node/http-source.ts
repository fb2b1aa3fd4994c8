import type { ClientRequest, IncomingMessage } from 'node:http';
import type { RequestOptions } from 'node:https';
import { ArtifactError, type ArtifactReading, type ArtifactSource } from '../artifact-source.ts';
import { asArtifactError, statusError } from './http-failures.ts';

export interface HttpSourceOptions {
  /** A server that says nothing for this long is given up; default 30 s. A slow one may take as long as it likes. */
  readonly silenceMs?: number;
  /** PEM of authorities to trust instead of the system's. */
  readonly ca?: string;
}

const SILENCE_MS = 30_000;
const REDIRECTS = 5;

/** What is asked of one server. */
interface Asked {
  readonly url: URL;
  /** The origin whose credentials the URI holds: no other is shown them. */
  readonly origin: string;
  readonly authorization: string | undefined;
  readonly range: { readonly from: number; readonly version: string } | undefined;
}

interface Protocol {
  request(url: URL, options: RequestOptions, callback: (response: IncomingMessage) => void): ClientRequest;
}

/**
 * Artifacts of web servers, over HTTP/1.1. A reading goes on where an earlier one ended if the server has told its content
 * apart by a strong ETag, or by the time of its last change (RFC 9110 §13.1.5); the version is that header's value.
 *
 * Up to 5 redirects, never from https to http. Certificates are checked. User and password in the URI go to its own origin
 * alone. Compression is not asked for, and bytes are passed on as they come. Proxies are not known.
 */
export function httpSource(options: HttpSourceOptions = {}): ArtifactSource {
  const silenceMs = options.silenceMs ?? SILENCE_MS;
  return {
    takes: (uri) => /^https?:\/\//.test(uri),
    read: async (uri, from, version, signal) => {
      const range = from > 0 && version !== undefined ? { from, version } : undefined;
      try {
        const asked = askedOf(uri, range);
        return (await read(asked, options, silenceMs, signal)) ?? (await readAnew(asked, options, silenceMs, signal));
      } catch (error) {
        throw asArtifactError(error);
      }
    },
  };
}

function askedOf(uri: string, range: Asked['range']): Asked {
  const url = new URL(uri);
  const { username, password } = url;
  url.username = '';
  url.password = '';
  const pair = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  const authorization = pair === ':' ? undefined : `Basic ${Buffer.from(pair).toString('base64')}`;
  return { url, origin: url.origin, authorization, range };
}

async function readAnew(
  asked: Asked,
  options: HttpSourceOptions,
  silenceMs: number,
  signal: AbortSignal,
): Promise<ArtifactReading> {
  const reading = await read({ ...asked, range: undefined }, options, silenceMs, signal);
  if (reading === undefined) throw new ArtifactError('the server answers with a part that nobody asked for', false);
  return reading;
}

/** Undefined where the server has no such part: it has to be asked for the whole. */
async function read(
  asked: Asked,
  options: HttpSourceOptions,
  silenceMs: number,
  signal: AbortSignal,
): Promise<ArtifactReading | undefined> {
  const response = await follow(asked, options, silenceMs, signal);
  const { statusCode = 0, headers } = response;
  const version = versionOf(headers.etag, headers['last-modified']);
  const length = lengthOf(headers['content-length']);
  if (statusCode === 200) return { from: 0, size: length, version, bytes: bytesOf(response, length, silenceMs) };
  const { range } = asked;
  if (statusCode === 206 && range !== undefined) {
    const part = partOf(headers['content-range']);
    // A server that leaves If-Range out of account says here what it sends a part of.
    if (part?.from === range.from && (version === undefined || version === range.version)) {
      const promised = length ?? part.bytes;
      return {
        from: part.from,
        size: part.size,
        version: range.version,
        bytes: bytesOf(response, promised, silenceMs),
      };
    }
  }
  response.destroy();
  if (statusCode === 206 || statusCode === 416) return undefined;
  throw statusError(statusCode, response.statusMessage);
}

async function follow(
  asked: Asked,
  options: HttpSourceOptions,
  silenceMs: number,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  let { url } = asked;
  for (let redirects = 0; ; redirects++) {
    const response = await request({ ...asked, url }, options, silenceMs, signal);
    const { statusCode = 0, headers } = response;
    const isRedirect = [301, 302, 303, 307, 308].includes(statusCode);
    if (!isRedirect || headers.location === undefined) return response;
    response.destroy();
    if (redirects === REDIRECTS)
      throw new ArtifactError(`it is redirected more than ${REDIRECTS} times: give the last address`, false);
    const next = nextOf(headers.location, url);
    if (url.protocol === 'https:' && next.protocol === 'http:')
      throw new ArtifactError(`it is redirected from https to http, at ${next.host}: that is not followed`, false);
    url = next;
  }
}

function nextOf(location: string, base: URL): URL {
  const next = URL.canParse(location, base.href) ? new URL(location, base) : undefined;
  if (next?.protocol !== 'http:' && next?.protocol !== 'https:')
    throw new ArtifactError('it is redirected to what is neither http nor https', false);
  next.username = '';
  next.password = '';
  return next;
}

async function request(
  { url, origin, authorization, range }: Asked,
  { ca }: HttpSourceOptions,
  silenceMs: number,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  const options: RequestOptions = {
    // A connection of its own, closed behind it: an agent that waits for its next task holds none.
    agent: false,
    signal,
    headers: {
      'accept-encoding': 'identity',
      'user-agent': 'mesq',
      ...(authorization !== undefined && url.origin === origin ? { authorization } : {}),
      ...(range === undefined ? {} : { range: `bytes=${range.from}-`, 'if-range': range.version }),
    },
    ...(ca === undefined ? {} : { ca }),
  };
  // Loaded where an artifact is fetched: most agents' tasks need none.
  const protocol: Protocol = url.protocol === 'https:' ? await import('node:https') : await import('node:http');
  return await new Promise((resolve, reject) => {
    const sent = protocol.request(url, options, (response) => {
      clearTimeout(silence);
      resolve(response);
    });
    const silence = setTimeout(() => sent.destroy(silent(silenceMs)), silenceMs);
    sent.once('error', (error) => {
      clearTimeout(silence);
      reject(error);
    });
    sent.end();
  });
}

/** Waits for the server as long as it says something now and then, and for the reader for ever. */
async function* bytesOf(
  response: IncomingMessage,
  promised: number | undefined,
  silenceMs: number,
): AsyncGenerator<Uint8Array> {
  const chunks: AsyncIterator<Buffer> = response[Symbol.asyncIterator]();
  let got = 0;
  try {
    for (;;) {
      const silence = setTimeout(() => response.destroy(silent(silenceMs)), silenceMs);
      const next = await chunks.next().finally(() => clearTimeout(silence));
      if (next.done === true) break;
      got += next.value.length;
      yield next.value;
    }
  } catch (error) {
    throw asArtifactError(error, promised === undefined ? `after ${got} bytes` : `after ${got} of ${promised} bytes`);
  } finally {
    response.destroy();
  }
  if (promised !== undefined && got !== promised)
    throw new ArtifactError(`the server ended after ${got} of ${promised} bytes`, true);
}

function silent(silenceMs: number): ArtifactError {
  return new ArtifactError(`the server said nothing for ${Math.round(silenceMs / 1_000)} s`, true);
}

/** What If-Range may be given: never a weak ETag, which two contents may share. */
function versionOf(etag: string | undefined, lastModified: string | undefined): string | undefined {
  const version = etag?.startsWith('"') === true ? etag : lastModified;
  return version !== undefined && version.length <= 256 ? version : undefined;
}

function lengthOf(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

/** `bytes 7-99/100`; the whole may be `*`. */
function partOf(text = ''): { from: number; bytes: number; size: number | undefined } | undefined {
  const [, from, to, size] = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)$/.exec(text) ?? [];
  if (from === undefined || to === undefined || size === undefined) return undefined;
  return { from: Number(from), bytes: Number(to) - Number(from) + 1, size: size === '*' ? undefined : Number(size) };
}
