import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import test, { type ExecutionContext } from 'ava';
import { WebSocket } from 'ws';
import { startBroker } from '../../broker/broker.ts';
import { openBrokerStream, type Resumption } from '../../io/node/broker-stream.ts';
import { parseBrokerUrl } from '../../io/node/broker-url.ts';
import { systemClock } from '../../io/node/clock.ts';
import { isLoopback, listen } from '../../io/node/listener.ts';
import { createLog } from '../../io/node/log.ts';
import { connectMqttBus, type MqttBus } from '../../io/node/mqtt-bus.ts';
import { systemRandom } from '../../io/node/random.ts';
import { selfSigned, vouchedFor } from './self-signed.ts';

const log = createLog({ level: 'error' });

/** A broker behind one listener; it lets in who knows the secret, and notes how each connection came. */
async function serve(
  t: ExecutionContext,
  url: string,
  tls: { certificate?: string; key?: string; ticketKeys?: Uint8Array } = {},
) {
  const came: { loopback: boolean; secure: boolean }[] = [];
  const listener = await listen({ url, ...tls });
  const broker = await startBroker({
    listeners: [listener],
    rights: [{ filter: '#', publish: ['any'], subscribe: ['any'] }],
    authenticate: ({ loopback, secure, password, clientId }) => {
      came.push({ loopback, secure });
      return password === 'secret' ? { role: 'any', name: clientId } : undefined;
    },
    version: '0.0.0',
    clock: systemClock,
    log,
  });
  broker.open();
  t.teardown(() => broker.close());
  return { broker, url: listener.url, port: Number(new URL(listener.url).port), came };
}

function client(t: ExecutionContext, url: string, over: { ca?: string; password?: string } = {}): MqttBus {
  const bus = connectMqttBus({
    clientId: 'c',
    username: 'c',
    password: 'secret',
    urls: [url],
    clock: systemClock,
    random: systemRandom,
    log,
    ...over,
  });
  t.teardown(() => bus.close());
  return bus;
}

test('mqtts with certificate files: a real client checks it, and its token counts', async (t) => {
  const made = selfSigned();
  if (made === undefined) {
    t.log('openssl is not installed: TLS was not checked');
    t.not(process.env['CI'], 'true');
    return;
  }
  const served = await serve(t, 'mqtts://127.0.0.1:0', { certificate: made.cert, key: made.key });
  const url = `mqtts://localhost:${served.port}`;
  const bus = client(t, url, { ca: made.cert });
  await bus.ready(60_000);
  await bus.publish('a', new Uint8Array(60_000), { qos: 1 });
  t.deepEqual(served.came, [{ loopback: true, secure: true }]);
  await t.throwsAsync(client(t, url).ready(60_000), { code: 'UNREACHABLE' });
  await t.throwsAsync(client(t, url, { ca: made.cert, password: 'guess' }).ready(60_000), { code: 'BAD_CREDENTIALS' });
  t.is(served.broker.stats().rejected['bad credentials'], 1);
  const plain = connect(served.port, '127.0.0.1');
  plain.on('error', () => undefined);
  plain.write('GET / HTTP/1.1\r\n\r\n');
  await once(plain, 'close');
  await bus.publish('a', new Uint8Array(1), { qos: 1 });
  await t.throwsAsync(listen({ url: 'mqtts://127.0.0.1:0' }), { instanceOf: TypeError });
});

test('what was agreed with one listener shortens the handshake with any that has the same ticket keys', async (t) => {
  const made = selfSigned();
  if (made === undefined) {
    t.log('openssl is not installed: TLS was not checked');
    t.not(process.env['CI'], 'true');
    return;
  }
  const tls = { certificate: made.cert, key: made.key };
  const ticketKeys = new Uint8Array(48).fill(7);
  const first = await serve(t, 'mqtts://127.0.0.1:0', { ...tls, ticketKeys });
  const second = await serve(t, 'mqtts://127.0.0.1:0', { ...tls, ticketKeys });
  const stranger = await serve(t, 'mqtts://127.0.0.1:0', { ...tls, ticketKeys: new Uint8Array(48).fill(8) });
  const agreed: Resumption = { session: undefined };
  const dial = async (port: number, resumption: Resumption): Promise<TLSSocket> => {
    const url = parseBrokerUrl(`mqtts://localhost:${port}`);
    const { stream } = await openBrokerStream(url, { ca: made.cert }, resumption);
    t.teardown(() => stream.destroy());
    stream.resume();
    await once(stream, 'secureConnect');
    return stream as TLSSocket;
  };
  const before = await dial(first.port, agreed);
  t.false(before.isSessionReused());
  while (agreed.session === undefined) await once(before, 'session');
  t.false((await dial(stranger.port, { ...agreed })).isSessionReused());
  t.true((await dial(second.port, { ...agreed })).isSessionReused());
  // Whoever reconnects once an hour has it still: RFC 8446 §4.6.1 allows seven days, Node would give five minutes.
  const shown = spawnSync('openssl', ['sess_id', '-inform', 'DER', '-noout', '-text'], { input: agreed.session });
  t.regex(shown.stdout.toString(), /ticket lifetime hint: 604800 /);
});

test.serial('who a client is, is taken up with its session, until its certificate ends or others vouch', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'mesq-tls-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  if (!vouchedFor(folder, ['server', 'pi-1'])) {
    t.log('openssl is not installed: TLS was not checked');
    t.not(process.env['CI'], 'true');
    return;
  }
  const file = (name: string): string => readFileSync(join(folder, name), 'utf8');
  const tls = { certificate: file('server.pem'), key: file('server.key'), ticketKeys: new Uint8Array(48).fill(7) };
  const serving = async (clientCa: string) => {
    const listener = await listen({ url: 'mqtts://127.0.0.1:0', ...tls, clientCa });
    t.teardown(() => listener.close());
    return { port: Number(new URL(listener.url).port), listener };
  };
  const first = await serving(file('ca.pem'));
  const elsewhere = await serving(`${file('ca.pem')}\n${file('ca.pem')}`);
  const shown = { ca: file('ca.pem'), certificate: file('pi-1.pem'), key: file('pi-1.key') };
  const agreed: Resumption = { session: undefined };
  const dial = async ({ port, listener }: Awaited<ReturnType<typeof serving>>, resumption: Resumption) => {
    const came = new Promise<string | undefined>((resolve) => {
      listener.onArrival((arrival) => arrival.open(({ certified }) => resolve(certified)));
    });
    const { stream } = await openBrokerStream(parseBrokerUrl(`mqtts://localhost:${port}`), shown, resumption);
    t.teardown(() => stream.destroy());
    stream.resume();
    await once(stream, 'secureConnect');
    return { socket: stream as TLSSocket, reused: (stream as TLSSocket).isSessionReused(), certified: await came };
  };
  const before = await dial(first, agreed);
  t.is(before.certified, 'pi-1');
  while (agreed.session === undefined) await once(before.socket, 'session');
  const { reused, certified } = await dial(first, { ...agreed });
  t.deepEqual({ reused, certified }, { reused: true, certified: 'pi-1' });
  t.false((await dial(elsewhere, { ...agreed })).reused);
  const now = Date.now;
  Date.now = () => now() + 3 * 86_400_000;
  t.teardown(() => {
    Date.now = now;
  });
  const late = await dial(first, { ...agreed });
  t.deepEqual({ reused: late.reused, certified: late.certified }, { reused: true, certified: undefined });
});

test('where every byte costs, a handshake is much shorter, and ends the same way', async (t) => {
  const made = selfSigned();
  if (made === undefined) {
    t.log('openssl is not installed: TLS was not checked');
    t.not(process.env['CI'], 'true');
    return;
  }
  const served = await serve(t, 'mqtts://127.0.0.1:0', { certificate: made.cert, key: made.key });
  let bytes = 0;
  const way = createServer((near) => {
    const far = connect(served.port, '127.0.0.1');
    near.on('data', (piece) => {
      bytes += piece.length;
    });
    for (const socket of [near, far]) socket.on('error', () => undefined);
    near.pipe(far).pipe(near);
  });
  t.teardown(() => way.close());
  await once(way.listen(0, '127.0.0.1'), 'listening');
  const { port } = way.address() as AddressInfo;
  /** What the client says in its first handshake, and when it takes that up again. */
  const said = async (fewBytes: boolean): Promise<number[]> => {
    const resumption: Resumption = { session: undefined };
    const dial = async () => {
      bytes = 0;
      const { stream } = await openBrokerStream(
        parseBrokerUrl(`mqtts://localhost:${port}`),
        { ca: made.cert, fewBytes },
        resumption,
      );
      const socket = stream as TLSSocket;
      socket.resume();
      await once(socket, resumption.session === undefined ? 'session' : 'secureConnect');
      t.is(socket.getProtocol(), 'TLSv1.3');
      socket.destroy();
      return bytes;
    };
    return [await dial(), await dial()];
  };
  const plain = await said(false);
  const few = await said(true);
  t.true(
    few.every((count, at) => count > 0 && count + 150 < (plain[at] ?? 0)),
    JSON.stringify({ plain, few }),
  );
});

test('a WebSocket of a foreign page is refused, and one of a page whose name was bent to this machine too', async (t) => {
  const { port } = await serve(t, 'ws://127.0.0.1:0');
  const open = (headers: Record<string, string>, path = '/mqtt'): Promise<number | 'open'> => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`, 'mqtt', { headers });
    return new Promise((resolve) => {
      socket.on('open', () => {
        socket.terminate();
        resolve('open');
      });
      socket.on('unexpected-response', (_request, response) => {
        socket.terminate();
        resolve(response.statusCode ?? 0);
      });
      socket.on('error', () => undefined);
    });
  };
  t.is(await open({}), 'open', 'no page at all');
  t.is(await open({ origin: `http://127.0.0.1:${port}` }), 'open');
  t.is(await open({ origin: `http://localhost:${port}`, host: `localhost:${port}` }), 'open');
  t.is(await open({ origin: 'https://example.org' }), 403);
  t.is(await open({ origin: 'null' }), 403);
  t.is(await open({ origin: `http://127.0.0.1:${port + 1}` }), 403, 'another port is another site');
  t.is(await open({ origin: `http://example.org:${port}`, host: `example.org:${port}` }), 403, 'DNS rebinding');
  t.is(await open({}, '/elsewhere'), 403);
});

test('a WebSocket listener outlives what is not a WebSocket', async (t) => {
  const { port, url } = await serve(t, 'ws://127.0.0.1:0');
  const upgrade =
    'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n';
  const hostile = [
    `GET // HTTP/1.1\r\nHost: x\r\n${upgrade}\r\n`,
    `GET http://[ HTTP/1.1\r\nHost: x\r\n${upgrade}\r\n`,
    `GET /mqtt HTTP/1.1\r\nHost: x\r\nOrigin: http://[\r\n${upgrade}\r\n`,
    `GET /mqtt HTTP/1.1\r\nHost: x\r\n${upgrade}\r\n\u0081\u0081\u0081`,
    'nonsense\r\n\r\n',
  ];
  for (const text of hostile) {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write(Buffer.from(text, 'latin1'));
    socket.once('data', () => socket.resetAndDestroy());
    await once(socket, 'close');
  }
  const bus = client(t, url);
  await bus.ready(60_000);
  t.pass();
});

test('what is loopback, and what only looks like it', (t) => {
  for (const host of ['localhost', '127.0.0.1', '127.8.9.1', '[::1]', '::1', '::ffff:127.0.0.1'])
    t.true(isLoopback(host), host);
  for (const host of [
    '0.0.0.0',
    '[::]',
    '10.0.0.1',
    '127.0.0.1.example.org',
    'localhost.example.org',
    '128.0.0.1',
    '',
  ]) {
    t.false(isLoopback(host), host);
  }
});

test('a connection that nobody has taken yet does not keep a listener from closing', async (t) => {
  const listener = await listen({ url: 'mqtt://127.0.0.1:0' });
  const socket = connect(Number(new URL(listener.url).port), '127.0.0.1');
  const ended = new Promise((resolve) => socket.on('error', () => undefined).on('close', resolve));
  await once(socket, 'connect');
  await listener.close();
  await ended;
  t.pass();
});
