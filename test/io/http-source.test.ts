import { getEventListeners } from 'node:events';
import { setImmediate } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { ArtifactError, type ArtifactReading } from '../../io/artifact-source.ts';
import { httpSource } from '../../io/node/http-source.ts';
import { ARTIFACT_SOURCE_CHECKS, sampleBytes } from '../conformance/artifact-source.ts';
import { selfSigned } from './self-signed.ts';
import { WebServer } from './web-server.ts';

const CONTENT = sampleBytes(200_000);
/** One of its own for each reading: dozens go on at once here. */
const never = (): AbortSignal => new AbortController().signal;

async function serverOf(t: ExecutionContext, tls?: { key: string; cert: string }): Promise<WebServer> {
  const server = await WebServer.start(tls);
  t.teardown(() => server.stop());
  return server;
}

/** A certificate, or undefined, aloud, without openssl. */
function certificate(t: ExecutionContext): { key: string; cert: string } | undefined {
  const tls = selfSigned();
  if (tls === undefined) t.pass('there is no openssl here');
  return tls;
}

async function bytesOf(reading: ArtifactReading): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of reading.bytes) parts.push(part);
  return Buffer.concat(parts);
}

async function failureOf(reading: Promise<ArtifactReading>): Promise<ArtifactError> {
  try {
    await bytesOf(await reading);
  } catch (error) {
    if (error instanceof ArtifactError) return error;
    throw error;
  }
  throw new Error('it did not fail');
}

for (const [name, check] of Object.entries(ARTIFACT_SOURCE_CHECKS)) {
  for (const kind of ['with ETag', 'with Last-Modified', 'with neither'] as const) {
    test(`web server ${kind}: ${name}`, async (t) => {
      const server = await serverOf(t);
      let changes = 0;
      let breakAfter: number | undefined;
      const marks = () => {
        const lastModified = new Date(1_000_000_000_000 + changes++ * 1_000).toUTCString();
        return kind === 'with ETag' ? {} : { etag: null, ...(kind === 'with neither' ? {} : { lastModified }) };
      };
      await check(t, {
        source: httpSource(),
        put: (bytes) => Promise.resolve(server.put(bytes, { ...marks(), breakAfter })),
        missing: () => Promise.resolve(server.url('/nothing')),
        breakAfter: (bytes) => {
          for (const page of server.pages.values()) page.breakAfter = bytes;
          breakAfter = undefined;
          return Promise.resolve();
        },
        replace: (uri, bytes) => {
          Object.assign(server.page(uri), { content: bytes, ...marks() });
          return Promise.resolve();
        },
        idle: () => server.idle(),
      });
    });
  }
}

test('a reading that is over, in whatever way, has left nothing on its signal', async (t) => {
  const server = await serverOf(t);
  const signal = never();
  const left = (): number => getEventListeners(signal, 'abort').length;
  await bytesOf(await httpSource().read(server.put(CONTENT), 0, undefined, signal));
  await failureOf(httpSource().read(server.url('/nothing'), 0, undefined, signal));
  server.pages.set('/moved', { content: CONTENT, status: { code: 302, location: server.put(CONTENT) } });
  await bytesOf(await httpSource().read(server.url('/moved'), 0, undefined, signal));
  await server.idle();
  // The server has seen the last connection end, and this side may see it a few turns of the loop later.
  for (let turn = 0; turn < 1_000 && left() > 0; turn++) await setImmediate();
  t.is(left(), 0);
});

test('a server that knows no ranges sends all of it again', async (t) => {
  const server = await serverOf(t);
  const uri = server.put(CONTENT, { noRanges: true });
  const { version } = await httpSource().read(uri, 0, undefined, never());
  const again = await httpSource().read(uri, 1_000, version, never());
  t.is(again.from, 0);
  t.true((await bytesOf(again)).equals(CONTENT));
});

test('a part of other content, of another place, or that nobody asked for, is not taken', async (t) => {
  const server = await serverOf(t);
  const uri = server.put(CONTENT);
  const { version } = await httpSource().read(uri, 0, undefined, never());
  Object.assign(server.page(uri), { content: sampleBytes(200_000, 9), blindRanges: true });
  const other = await httpSource().read(uri, 1_000, version, never());
  t.is(other.from, 0);
  t.true((await bytesOf(other)).equals(sampleBytes(200_000, 9)));
  server.page(uri).contentRange = 'bytes 7-199999/200000';
  const failure = await failureOf(httpSource().read(uri, 0, undefined, never()));
  t.false(failure.transient);
});

test('a weak ETag tells nothing apart', async (t) => {
  const server = await serverOf(t);
  t.is((await httpSource().read(server.put(CONTENT, { etag: 'W/"1"' }), 0, undefined, never())).version, undefined);
});

test('redirects are followed, five of them, and end where they lead in a circle', async (t) => {
  const server = await serverOf(t);
  const last = server.put(CONTENT);
  for (let at = 0; at < 6; at++) {
    const location = at === 5 ? last : `/hop/${at + 1}`;
    server.pages.set(`/hop/${at}`, { content: CONTENT, status: { code: at % 2 === 0 ? 302 : 308, location } });
  }
  t.true((await bytesOf(await httpSource().read(server.url('/hop/1'), 0, undefined, never()))).equals(CONTENT));
  const failure = await failureOf(httpSource().read(server.url('/hop/0'), 0, undefined, never()));
  t.regex(failure.message, /more than 5 times/);
  t.false(failure.transient);
});

test('never from https to http', async (t) => {
  const tls = certificate(t);
  if (tls === undefined) return;
  const [plain, secure] = [await serverOf(t), await serverOf(t, tls)];
  secure.pages.set('/moved', { content: CONTENT, status: { code: 301, location: plain.put(CONTENT) } });
  const failure = await failureOf(httpSource({ ca: tls.cert }).read(secure.url('/moved'), 0, undefined, never()));
  t.regex(failure.message, /from https to http/);
  t.false(failure.transient);
  t.is(plain.requests.length, 0);
});

test('a certificate that nobody vouches for is refused for good', async (t) => {
  const tls = certificate(t);
  if (tls === undefined) return;
  const server = await serverOf(t, tls);
  const uri = server.put(CONTENT);
  const failure = await failureOf(httpSource().read(uri, 0, undefined, never()));
  t.regex(failure.message, /certificate/);
  t.false(failure.transient);
  t.is(server.requests.length, 0);
  t.true((await bytesOf(await httpSource({ ca: tls.cert }).read(uri, 0, undefined, never()))).equals(CONTENT));
});

test('credentials go to the server they were written for, to no other, and into no message', async (t) => {
  const [own, other] = [await serverOf(t), await serverOf(t)];
  own.pages.set('/moved', { content: CONTENT, status: { code: 302, location: other.url('/nothing') } });
  const uri = own.url('/moved').replace('//', '//me:s%3Acret@');
  const failure = await failureOf(httpSource().read(uri, 0, undefined, never()));
  t.notRegex(failure.message, /cret/);
  t.is(own.requests[0]?.authorization, `Basic ${Buffer.from('me:s:cret').toString('base64')}`);
  t.is(other.requests[0]?.authorization, undefined);
  t.is(own.requests[0]?.acceptEncoding, 'identity');
});

test('what may be otherwise in a while, and what will not', async (t) => {
  const server = await serverOf(t);
  const found: Record<number, boolean> = {};
  for (const code of [400, 401, 403, 404, 410, 429, 500, 503]) {
    const uri = server.put(CONTENT, { status: { code } });
    found[code] = (await failureOf(httpSource().read(uri, 0, undefined, never()))).transient;
  }
  t.deepEqual(found, { 400: false, 401: false, 403: false, 404: false, 410: false, 429: true, 500: true, 503: true });
  const gone = await WebServer.start();
  const uri = gone.url('/x');
  await gone.stop();
  t.true((await failureOf(httpSource().read(uri, 0, undefined, never()))).transient);
});

test('a silent server is given up, before its answer and in the middle of it', async (t) => {
  const server = await serverOf(t);
  const source = httpSource({ silenceMs: 3_000 });
  const stalled = await source.read(server.put(CONTENT, { stallAfter: 70_000 }), 0, undefined, never());
  const failure = await failureOf(Promise.resolve(stalled));
  t.regex(failure.message, /said nothing/);
  t.true(failure.transient);
  const forever = server.put(CONTENT, { pace: () => new Promise(() => undefined) });
  t.true((await failureOf(source.read(forever, 0, undefined, never()))).transient);
  await server.idle();
});

test('a reader may take its time', async (t) => {
  const server = await serverOf(t);
  const content = sampleBytes(8_000_000);
  const reading = await httpSource({ silenceMs: 2_000 }).read(server.put(content), 0, undefined, never());
  const parts: Uint8Array[] = [];
  for await (const part of reading.bytes) {
    parts.push(part);
    if (parts.length === 3) await new Promise((resolve) => setTimeout(resolve, 4_100));
  }
  t.true(Buffer.concat(parts).equals(content));
});

test('less than was promised is a broken connection', async (t) => {
  const server = await serverOf(t);
  for (const chunked of [false, true]) {
    const uri = server.put(CONTENT, { breakAfter: 100_000, chunked });
    const failure = await failureOf(httpSource().read(uri, 0, undefined, never()));
    t.true(failure.transient);
    t.regex(failure.message, chunked ? /after \d+ bytes/ : /of 200000 bytes/);
  }
});
