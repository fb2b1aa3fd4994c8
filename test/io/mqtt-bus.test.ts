import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import type { AddressInfo, Server } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import test, { type ExecutionContext } from 'ava';
import { createWebSocketStream, WebSocketServer } from 'ws';
import { BusError, MAX_PAYLOAD_BYTES } from '../../io/bus.ts';
import type { Clock } from '../../io/clock.ts';
import type { LogFields } from '../../io/log.ts';
import { parseBrokerUrl } from '../../io/node/broker-url.ts';
import { systemClock } from '../../io/node/clock.ts';
import { connectMqttBus, type MqttBus, type MqttBusOptions } from '../../io/node/mqtt-bus.ts';
import { systemRandom } from '../../io/node/random.ts';
import { LIMITS } from '../../protocol/limits.ts';
import { ours } from '../broker/world.ts';
import { filtersOf, PACKET, ScriptedBroker } from './scripted-broker.ts';
import { selfSigned } from './self-signed.ts';

const LONG_MS = 60_000;

interface Line extends LogFields {
  readonly event: string;
}

/** A bus with a log that can be read, closed at the end. */
function open(
  t: ExecutionContext,
  options: Partial<MqttBusOptions> & Pick<MqttBusOptions, 'urls'>,
): { bus: MqttBus; lines: Line[] } {
  const lines: Line[] = [];
  const write = (event: string, fields: LogFields = {}) => void lines.push({ event, ...fields });
  const bus = connectMqttBus({
    clientId: 'c',
    clock: systemClock,
    random: systemRandom,
    log: { debug: write, info: write, warn: write, error: write },
    connectTimeoutMs: LONG_MS,
    ...options,
  });
  t.teardown(() => bus.close());
  return { bus, lines };
}

async function broker(t: ExecutionContext): Promise<{ broker: ScriptedBroker; url: string }> {
  const scripted = new ScriptedBroker();
  t.teardown(() => scripted.close());
  return { broker: scripted, url: `mqtt://127.0.0.1:${await scripted.listen()}` };
}

let dead = 0;
/** A URL at which nothing listens, and nothing can begin to: a port that was free a moment ago is soon another test's. */
function deadUrl(): string {
  return `mqtt://127.0.0.1:${++dead}`;
}

const connected = (bus: MqttBus) => new Promise<void>((resolve) => bus.onConnected(resolve));
const disconnected = (bus: MqttBus) => new Promise<string>((resolve) => bus.onDisconnected(resolve));

test('the limit is that of the protocol', (t) => {
  t.is(MAX_PAYLOAD_BYTES, LIMITS.payloadBytes);
});

test('it connects with a clean session, its credentials and its will', async (t) => {
  const { broker: scripted, url } = await broker(t);
  const will = () => ({ topic: 'gone', payload: Buffer.from('bye'), qos: 1 as const, retain: true });
  const { bus } = open(t, { urls: [url], clientId: 'me', username: 'user', password: 'secret', keepAliveS: 300, will });
  await bus.ready(LONG_MS);
  const { body } = await scripted.got(PACKET.CONNECT);
  // Protocol level 4; user name, password, will retained at QoS 1, clean session; 300 s ([MQTT-3.1.2]).
  t.deepEqual([...body.subarray(0, 10)], [0, 4, 77, 81, 84, 84, 4, 0b1110_1110, 1, 44]);
  t.is(body.toString('latin1', 10), '\0\x02me\0\x04gone\0\x03bye\0\x04user\0\x06secret');
  t.is(bus.bytesSent, 2 + body.length);
  t.is(bus.bytesReceived, 4);
});

test('an opening goes out with CONNECT and the subscriptions, before the broker has answered any of it', async (t) => {
  const { broker: scripted, url } = await broker(t);
  scripted.answer = 'silent';
  const will = () => ({ topic: 'gone', payload: Buffer.from('bye') });
  const opening = (at: string) =>
    at === url ? { topic: 'up', payload: Buffer.from('here'), without: ['left'] } : undefined;
  const { bus, lines } = open(t, { urls: [url], will, opening });
  for (const filter of ['a', 'denied', 'left']) void bus.subscribe(filter, 1, () => undefined);
  const said = await scripted.got(PACKET.PUBLISH);
  t.deepEqual(
    scripted.packets.map(({ type }) => type),
    [PACKET.CONNECT, PACKET.SUBSCRIBE, PACKET.PUBLISH],
  );
  t.is(said.flags, 0);
  t.is(said.body.toString('latin1'), '\0\x02uphere');
  t.is((scripted.all(PACKET.CONNECT)[0]?.body.readUInt8(7) ?? 0) & 0b100, 0, 'no will');
  t.deepEqual(filtersOf((await scripted.got(PACKET.SUBSCRIBE)).body), ['a', 'denied']);
  t.false(bus.connected);
  for (const stream of scripted.streams) stream.write(Buffer.from([0x20, 2, 0, 0]));
  await connected(bus);
  t.deepEqual(
    lines.filter(({ event }) => event === 'subscription_refused').map(({ filter }) => filter),
    ['denied'],
  );
  t.is(scripted.all(PACKET.SUBSCRIBE).length, 1);
  await bus.subscribe('left', 1, () => undefined);
  t.deepEqual(filtersOf((await scripted.got(PACKET.SUBSCRIBE, 2)).body), ['left']);
});

test('where the broker refuses who opens, or goes, the next connection asks for everything', async (t) => {
  const { broker: scripted, url } = await broker(t);
  scripted.answer = 5;
  let openings = 0;
  const opening = () =>
    openings++ === 0 ? { topic: 'up', payload: Buffer.from('here'), without: ['left'] } : undefined;
  const { bus } = open(t, { urls: [url], opening });
  void bus.subscribe('left', 1, () => undefined);
  await scripted.got(PACKET.PUBLISH);
  scripted.answer = 0;
  await connected(bus);
  t.deepEqual(filtersOf(scripted.all(PACKET.SUBSCRIBE).at(-1)?.body ?? Buffer.alloc(0)), ['left']);
  t.is(scripted.all(PACKET.PUBLISH).length, 1);
});

test('what was heard on a connection that never stood is told to be over with it', async (t) => {
  const { broker: scripted, url } = await broker(t);
  scripted.breaks = true;
  const { bus } = open(t, { urls: [url] });
  const events: string[] = [];
  const over = new Promise<void>((resolve) =>
    bus.onDisconnected(() => {
      events.push('over');
      resolve();
    }),
  );
  bus.onConnected(() => events.push('connected'));
  void bus.subscribe('a', 0, ({ payload }) => events.push(new TextDecoder().decode(payload)));
  await over;
  t.deepEqual(events, ['news', 'over']);
});

test('refused credentials are told at once, and it tries on', async (t) => {
  const { broker: scripted, url } = await broker(t);
  scripted.answer = 4;
  const refusals: BusError[] = [];
  const { bus } = open(t, { urls: [url], onRefused: (error) => refusals.push(error) });
  const error = await t.throwsAsync(bus.ready(LONG_MS), { instanceOf: BusError, code: 'BAD_CREDENTIALS' });
  t.true(error?.message.includes(url));
  t.is(refusals[0]?.code, 'BAD_CREDENTIALS');
  scripted.answer = 0;
  await connected(bus);
  t.true(bus.connected);
});

test('where it is refused it may try on more seldom than where nobody is there', async (t) => {
  const { broker: scripted, url } = await broker(t);
  scripted.answer = 5;
  for (const [urls, longest] of [
    [[url], 300_000],
    [[deadUrl()], 30_000],
  ] as const) {
    const waits: number[] = [];
    await new Promise<void>((done) => {
      // Time between tries passes at once, and to each of them the longest.
      const after: Clock['after'] = (ms, callback) => {
        if (ms === LONG_MS) return systemClock.after(ms, callback);
        waits.push(ms);
        if (waits.length === 16) done();
        return systemClock.after(0, callback);
      };
      const random = { ...systemRandom, next: () => 1 };
      open(t, { urls, refusedCapMs: 300_000, clock: { ...systemClock, after }, random });
    });
    t.is(Math.max(...waits), longest);
    t.true(waits.every((ms, at) => at === 0 || ms >= (waits[at - 1] ?? 0)));
  }
});

test('a broker that does not answer is given up, and tried again', async (t) => {
  const { broker: scripted, url } = await broker(t);
  scripted.answer = 'silent';
  const { bus } = open(t, { urls: [url], connectTimeoutMs: 50 });
  const error = await t.throwsAsync(bus.ready(LONG_MS), { instanceOf: BusError, code: 'UNREACHABLE' });
  t.is(error?.message, `${url}: no answer within 50 ms`);
  await scripted.got(PACKET.CONNECT, 3);
  t.false(bus.connected);
});

test('ready names every URL with the error of the system', async (t) => {
  const urls = [deadUrl(), deadUrl()];
  const { bus } = open(t, { urls });
  const error = await t.throwsAsync(bus.ready(LONG_MS), { instanceOf: BusError, code: 'UNREACHABLE' });
  for (const url of urls) t.true(error?.message.includes(`${url}: nothing listens there (ECONNREFUSED)`));
});

test('ready ends with its time, and with the bus', async (t) => {
  const { broker: scripted, url } = await broker(t);
  scripted.answer = 'silent';
  const { bus } = open(t, { urls: [url] });
  await t.throwsAsync(bus.ready(20), { code: 'UNREACHABLE' });
  const waiting = t.throwsAsync(bus.ready(LONG_MS), { code: 'CLOSED' });
  await bus.close();
  await waiting;
  await t.throwsAsync(bus.ready(LONG_MS), { code: 'CLOSED' });
});

test('a master that is not available (CONNACK 3) sends it to the next', async (t) => {
  const [one, two] = [await broker(t), await broker(t)];
  one.broker.answer = 3;
  const { bus } = open(t, { urls: [one.url, two.url], random: { ...systemRandom, next: () => 0 } });
  await connected(bus);
  t.is(bus.url, two.url);
  t.is(one.broker.all(PACKET.CONNECT).length, 1);
});

test('brokers are tried in an order of chance, so that not everybody who loses one goes to the same next', async (t) => {
  const orders = new Set<string>();
  for (let seed = 0; seed < 6; seed++) {
    const urls = [deadUrl(), deadUrl(), deadUrl()];
    const chances = [seed & 1, seed & 2, seed & 4].map((bit) => bit / 8);
    let at = 0;
    const { bus, lines } = open(t, { urls, random: { ...systemRandom, next: () => chances[at++] ?? 0 } });
    await t.throwsAsync(bus.ready(LONG_MS));
    const tried = lines.filter(({ event }) => event === 'bus_unreachable').map(({ url }) => urls.indexOf(String(url)));
    t.deepEqual(tried.slice(0, 3).toSorted(), [0, 1, 2], 'each once in a round');
    orders.add(tried.slice(0, 3).join());
  }
  t.true(orders.size >= 3, [...orders].join(' '));
});

test('waits double up to 30 s while nothing answers', async (t) => {
  const waits: number[] = [];
  const url = deadUrl();
  await new Promise<void>((resolve) => {
    const { lines } = open(t, {
      urls: [url],
      random: { ...systemRandom, next: () => 0.9999 },
      clock: {
        ...systemClock,
        after: (ms, callback) => {
          if (ms === LONG_MS) return systemClock.after(ms, callback);
          waits.push(ms);
          if (waits.length === 11) resolve();
          return systemClock.after(0, callback);
        },
      },
    });
    t.deepEqual(lines, []);
  });
  t.deepEqual(waits.slice(0, 11), [99, 199, 399, 799, 1599, 3199, 6399, 12798, 25597, 29997, 29997]);
});

test('it waits no longer than it was told to', async (t) => {
  const { lines } = open(t, {
    urls: [deadUrl()],
    backOffCapMs: 300,
    random: { ...systemRandom, next: () => 0.9999 },
    clock: { ...systemClock, after: (ms, callback) => systemClock.after(ms === LONG_MS ? ms : 0, callback) },
  });
  while (lines.length < 7) await new Promise((resolve) => setImmediate(resolve));
  t.deepEqual(
    lines.slice(0, 7).map(({ retryMs }) => retryMs),
    [99, 199, 299, 299, 299, 299, 299],
  );
});

test('being thrown out again and again counts as failing', async (t) => {
  const { broker: scripted, url } = await broker(t);
  scripted.answer = 'drop';
  const { lines } = open(t, { urls: [url], random: { ...systemRandom, next: () => 0.1 } });
  await scripted.got(PACKET.CONNECT, 5);
  const waits = lines.map(({ retryMs }) => Number(retryMs)).filter((ms) => ms > 0);
  t.deepEqual(waits.slice(0, 4), [10, 20, 40, 80]);
});

test('being thrown out of connections that had worked is waited for little, however often it happens', async (t) => {
  const { broker: scripted, url } = await broker(t);
  scripted.answer = 'drop';
  const { bus, lines } = open(t, { urls: [url], random: { ...systemRandom, next: () => 0.1 } });
  bus.onConnected(() => bus.worked());
  bus.onDisconnected(() => bus.worked());
  await scripted.got(PACKET.CONNECT, 7);
  const waits = lines.map(({ retryMs }) => Number(retryMs)).filter((ms) => ms > 0);
  t.deepEqual(waits.slice(0, 6), [10, 20, 40, 40, 40, 40]);
});

test('it moves to another broker politely, with all subscriptions', async (t) => {
  const [one, two] = [await broker(t), await broker(t)];
  const { bus } = open(t, { urls: [one.url] });
  const got: string[] = [];
  await bus.subscribe('a', 0, ({ topic }) => got.push(topic));
  await bus.ready(LONG_MS);
  bus.moveTo(one.url);
  t.true(bus.connected);
  const reason = disconnected(bus);
  bus.moveTo(two.url);
  t.false(bus.connected);
  t.is(await reason, `moving to ${two.url}`);
  await bus.ready(LONG_MS);
  t.is(bus.url, two.url);
  await one.broker.got(PACKET.DISCONNECT);
  t.deepEqual(filtersOf((await two.broker.got(PACKET.SUBSCRIBE)).body), ['a']);
  t.deepEqual(got, []);
  // Where it cannot go, it comes back.
  bus.moveTo(deadUrl());
  await connected(bus);
  t.is(bus.url, one.url);
});

test('new URLs keep a connection that is among them, and end any other', async (t) => {
  const [one, two] = [await broker(t), await broker(t)];
  const { bus } = open(t, { urls: [one.url] });
  await bus.ready(LONG_MS);
  bus.setUrls([two.url, one.url]);
  t.true(bus.connected);
  bus.setUrls([two.url]);
  t.false(bus.connected);
  await bus.ready(LONG_MS);
  t.is(bus.url, two.url);
  await one.broker.got(PACKET.DISCONNECT);
});

test('a password never leaves this machine in the clear', async (t) => {
  const { url } = await broker(t);
  for (const bad of ['mqtt://10.0.0.1', 'ws://broker.example/mqtt', 'mqtt://127.0.0.1.example', 'mqtt://[::2]']) {
    t.throws(
      () => open(t, { urls: [bad], username: 'c', password: 'secret' }),
      { instanceOf: BusError, code: 'INSECURE' },
      bad,
    );
  }
  for (const good of ['mqtt://localhost:1', 'mqtt://[::1]:1', 'mqtts://10.0.0.1:1', 'wss://127.0.0.1:1']) {
    await open(t, { urls: [good], username: 'c', password: 'secret' }).bus.close();
  }
  const { bus } = open(t, { urls: [url], username: 'c', password: 'secret' });
  await bus.ready(LONG_MS);
  t.throws(() => bus.moveTo('mqtt://10.0.0.1'), { code: 'INSECURE' });
  t.throws(() => bus.setUrls([url, 'mqtt://10.0.0.1']), { code: 'INSECURE' });
  t.true(bus.connected);
  t.is(bus.url, url);
});

test('URLs are read with their defaults, and bad ones refused', (t) => {
  const { text, ...read } = parseBrokerUrl('mqtt://board.local');
  t.is(text, 'mqtt://board.local');
  t.deepEqual(read, { scheme: 'mqtt', host: 'board.local', port: 1883, path: '', secure: false });
  t.is(parseBrokerUrl('mqtts://board').port, 8883);
  t.like(parseBrokerUrl('ws://[::1]'), { host: '::1', port: 80, path: '/mqtt', secure: false });
  t.like(parseBrokerUrl('wss://board:8443/x?y=1'), { port: 8443, path: '/x?y=1', secure: true });
  for (const bad of ['', 'board:1883', 'http://board', 'mqtt://', 'mqtt://board:99999', 'mqtt://me:secret@board']) {
    const error = t.throws(() => parseBrokerUrl(bad), { instanceOf: BusError, code: 'BAD_URL' }, bad);
    t.false(error?.message.includes('secret'));
  }
  t.throws(() => open(t, { urls: [] }), { code: 'BAD_URL' });
});

test('a refused subscription rejects, and takes nothing else with it', async (t) => {
  const { broker: scripted, url } = await broker(t);
  const { bus, lines } = open(t, { urls: [url] });
  const got: string[] = [];
  await bus.subscribe('denied/early', 0, () => {});
  await bus.subscribe('fine', 0, ({ topic }) => got.push(topic));
  await bus.ready(LONG_MS);
  t.deepEqual(
    lines.filter((line) => line.event === 'subscription_refused').map(({ filter }) => filter),
    ['denied/early'],
  );
  await t.throwsAsync(
    bus.subscribe('denied/late', 0, () => {}),
    { instanceOf: BusError, code: 'NOT_ALLOWED' },
  );
  scripted.send('fine', 'x');
  await bus.publish('pace', new Uint8Array(), { qos: 1 });
  t.deepEqual(got, ['fine']);
  await t.throwsAsync(
    bus.subscribe('a/#/b', 0, () => {}),
    { instanceOf: TypeError },
  );
  await t.throwsAsync(bus.publish('a/+', new Uint8Array()), { instanceOf: TypeError });
});

test('handlers of one filter share its subscription, at the highest QoS, and each asks for what is retained', async (t) => {
  const { broker: scripted, url } = await broker(t);
  const { bus } = open(t, { urls: [url] });
  await bus.subscribe('a', 0, () => {});
  await bus.subscribe('a', 0, () => {});
  await scripted.got(PACKET.SUBSCRIBE);
  t.false(bus.connected);
  // The answer is on its way: what was retained may have been delivered already.
  await bus.subscribe('a', 0, () => {});
  await bus.ready(LONG_MS);
  await bus.subscribe('a', 1, () => {});
  await bus.subscribe('a', 0, () => {});
  const asked = scripted.all(PACKET.SUBSCRIBE).map(({ body }) => [...filtersOf(body), body.at(-1)]);
  t.deepEqual(asked, [
    ['a', 0],
    ['a', 0],
    ['a', 1],
    ['a', 1],
  ]);
});

test('a handler that throws is logged, and harms nobody', async (t) => {
  const { broker: scripted, url } = await broker(t);
  const { bus, lines } = open(t, { urls: [url] });
  let heard = 0;
  bus.onConnected(() => {
    throw new Error('listener');
  });
  await bus.subscribe('a', 0, () => {
    throw new Error('handler');
  });
  await bus.subscribe('a', 0, () => heard++);
  await bus.ready(LONG_MS);
  scripted.send('a', '1');
  scripted.send('a', '2');
  await bus.publish('pace', new Uint8Array(), { qos: 1 });
  t.is(heard, 2);
  t.true(bus.connected);
  t.deepEqual(
    lines.filter((line) => line.event === 'handler_failed').map(({ on }) => on),
    ['connected', 'a', 'a'],
  );
});

test('what is too large for us is not handed on', async (t) => {
  const { broker: scripted, url } = await broker(t);
  const { bus } = open(t, { urls: [url] });
  const sizes: number[] = [];
  await bus.subscribe('a', 0, ({ payload }) => sizes.push(payload.length));
  await bus.ready(LONG_MS);
  // 65,537 bytes on topic `a`: three bytes of remaining length.
  const large = Buffer.concat([Buffer.from([0x30, 0x84, 0x80, 0x04, 0, 1, 97]), Buffer.alloc(MAX_PAYLOAD_BYTES + 1)]);
  for (const stream of scripted.streams) stream.write(large);
  scripted.send('a', 'small');
  await bus.publish('pace', new Uint8Array(), { qos: 1 });
  t.deepEqual(sizes, [5]);
});

test('an idle connection says nothing but pings, and a dead one is noticed', async (t) => {
  const { broker: scripted, url } = await broker(t);
  const { bus } = open(t, { urls: [url], keepAliveS: 3 });
  await bus.ready(LONG_MS);
  const { bytesSent } = bus;
  await scripted.got(PACKET.PINGREQ, 2);
  t.is(bus.bytesSent, bytesSent + 4);
  const reason = disconnected(bus);
  scripted.alive = false;
  t.regex(await reason, /keepalive/i);
});

test('a broker that owes an acknowledgement and says nothing is left; what it then owes is told', async (t) => {
  const { broker: scripted, url } = await broker(t);
  const { bus } = open(t, { urls: [url], silenceMs: 1_000 });
  await bus.ready(LONG_MS);
  await bus.publish('a', new Uint8Array(1), { qos: 1 });
  scripted.alive = false;
  const reason = disconnected(bus);
  const again = scripted.got(PACKET.CONNECT, 2);
  await t.throwsAsync(bus.publish('b', new Uint8Array(1), { qos: 1 }), {
    instanceOf: BusError,
    code: 'DISCONNECTED',
    message: /no acknowledgement within/,
  });
  t.regex(await reason, /no acknowledgement within/);
  await again;
});

test('a broker that says anything at all while it owes an acknowledgement is not left', async (t) => {
  const { broker: scripted, url } = await broker(t);
  const { bus } = open(t, { urls: [url], silenceMs: 1_000 });
  await bus.ready(LONG_MS);
  let heard = 0;
  const enough = new Promise<void>((resolve) => {
    void bus.subscribe('news', 0, () => {
      if (++heard === 40) resolve();
    });
  });
  scripted.alive = false;
  const owed = bus.publish('b', new Uint8Array(1), { qos: 1 }).catch(() => 'lost');
  const news = setInterval(() => scripted.send('news', 'x'), 30);
  await enough;
  clearInterval(news);
  t.true(bus.connected);
  await bus.close();
  t.is(await owed, 'lost');
});

test('a broker that stops reading does not fill the memory', async (t) => {
  const { broker: scripted, url } = await broker(t);
  const { bus } = open(t, { urls: [url] });
  await bus.ready(LONG_MS);
  for (const stream of scripted.streams) stream.pause();
  const payload = new Uint8Array(MAX_PAYLOAD_BYTES);
  const outcomes = await Promise.allSettled(Array.from({ length: 400 }, () => bus.publish('a', payload)));
  const refused = outcomes.filter((outcome) => outcome.status === 'rejected');
  t.true(refused.length > 100);
  t.true(refused.every(({ reason }) => reason instanceof BusError && reason.code === 'BUSY'));
});

test('it leaves with a DISCONNECT, once what is in flight is acknowledged', async (t) => {
  const { broker: scripted, url } = await broker(t);
  const { bus } = open(t, { urls: [url] });
  await bus.ready(LONG_MS);
  const sent = bus.publish('a', new Uint8Array(), { qos: 1 });
  await bus.close();
  await t.notThrowsAsync(sent);
  t.deepEqual(
    scripted.packets.map(({ type }) => type),
    [PACKET.CONNECT, PACKET.PUBLISH, PACKET.DISCONNECT],
  );
});

test('an open bus keeps its process alive, a closed one does not', (t) => {
  const module = (path: string) => JSON.stringify(new URL(`../../io/node/${path}.js`, import.meta.url).href);
  const script = `
    import { systemClock as clock } from ${module('clock')};
    import { systemRandom as random } from ${module('random')};
    import { connectMqttBus } from ${module('mqtt-bus')};
    let failures = 0;
    const failed = () => {
      if (++failures < 3) return;
      console.log('three');
      bus.close();
    };
    const log = { debug: failed, info() {}, warn: failed, error() {} };
    const bus = connectMqttBus({ urls: ['mqtt://127.0.0.1:1'], clientId: 'c', clock, random, log });`;
  const { stdout, status } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
    timeout: LONG_MS,
  });
  t.is(stdout, 'three\n');
  t.is(status, 0);
});

test('WebSockets carry it, with the subprotocol and path of MQTT', async (t) => {
  const scripted = new ScriptedBroker();
  const server = new WebSocketServer({
    port: 0,
    host: '127.0.0.1',
    path: '/mqtt',
    handleProtocols: (names) => (names.has('mqtt') ? 'mqtt' : false),
  });
  server.on('connection', (socket) => scripted.serve(createWebSocketStream(socket)));
  await once(server, 'listening');
  t.teardown(() => {
    scripted.close();
    server.close();
  });
  const url = `ws://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const { bus } = open(t, { urls: [url] });
  await bus.ready(LONG_MS);
  t.true(bus.bytesSent > 0 && bus.bytesReceived > 0);
  await bus.publish('a', new Uint8Array(MAX_PAYLOAD_BYTES), { qos: 1 });
  await bus.close();
  await scripted.got(PACKET.DISCONNECT);
  const elsewhere = open(t, { urls: [`${url}/elsewhere`] });
  const error = await t.throwsAsync(elsewhere.bus.ready(LONG_MS), { code: 'UNREACHABLE' });
  t.regex(error?.message ?? '', /400/);
});

test('TLS is checked against the authority that was given', async (t) => {
  const certificate = selfSigned();
  if (certificate === undefined) {
    t.log('openssl is not installed: TLS was not checked');
    const { CI } = process.env;
    t.not(CI, 'true');
    return;
  }
  const scripted = new ScriptedBroker();
  const server: Server = createTlsServer(certificate, (socket) => scripted.serve(socket)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    scripted.close();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const { bus } = open(t, {
    urls: [`mqtts://localhost:${port}`],
    ca: certificate.cert,
    username: 'c',
    password: 'secret',
  });
  await bus.ready(LONG_MS);
  await bus.publish('a', new Uint8Array(MAX_PAYLOAD_BYTES), { qos: 1 });
  await bus.close();
  await scripted.got(PACKET.DISCONNECT);
  const distrusted = open(t, { urls: [`mqtts://localhost:${port}`] });
  const unknown = await t.throwsAsync(distrusted.bus.ready(LONG_MS), { code: 'UNREACHABLE' });
  t.regex(unknown?.message ?? '', /SELF_SIGNED/);
  const misnamed = open(t, { urls: [`mqtts://127.0.0.1:${port}`], ca: certificate.cert });
  const wrong = await t.throwsAsync(misnamed.bus.ready(LONG_MS), { code: 'UNREACHABLE' });
  t.regex(wrong?.message ?? '', /ALTNAME/);
  t.is(scripted.all(PACKET.CONNECT).length, 1);
});

test('one that rests is gone from its broker until it wakes, whatever it is told meanwhile', async (t) => {
  const { port, broker: known, close } = await ours();
  t.teardown(close);
  const { bus } = open(t, { urls: [`mqtt://127.0.0.1:${port}`] });
  await bus.ready(LONG_MS);
  const heard: string[] = [];
  await bus.subscribe('news', 1, ({ payload }) => heard.push(Buffer.from(payload).toString()));
  const ended = new Promise<void>((resolve) => known.onEnded(() => resolve()));
  const told = new Promise<string>((resolve) => bus.onDisconnected(resolve));
  bus.rest();
  bus.rest();
  t.is(await told, 'resting');
  await ended;
  t.false(bus.connected);
  await t.throwsAsync(bus.publish('news', new Uint8Array([65])), { code: 'DISCONNECTED' });
  bus.moveTo(`mqtt://localhost:${port}`);
  t.false(bus.connected);
  const back = new Promise<void>((resolve) => {
    let times = 0;
    bus.onConnected(() => times++ === 0 && resolve());
  });
  bus.wake();
  bus.wake();
  await back;
  t.is(bus.url, `mqtt://localhost:${port}`);
  await bus.publish('news', new Uint8Array([66]), { qos: 1 });
  while (heard.length === 0) await new Promise((resolve) => setImmediate(resolve));
  t.deepEqual(heard, ['B']);
});
