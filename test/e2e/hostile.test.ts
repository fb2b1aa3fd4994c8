import { connect } from 'node:net';
import test, { type ExecutionContext } from 'ava';
import { connectAsync, type MqttClient } from 'mqtt';
import mqttPacket, { type Packet } from 'mqtt-packet';
import { encode } from '../../protocol/envelope.ts';
import { ROLES } from '../../protocol/operator.ts';
import { TOPICS } from '../../protocol/topics.ts';
import { Cluster, eventually, type Running } from './cluster.ts';

const text = (value: unknown): Buffer => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value));

/** What no schema has ever asked for, by what is wrong with it. */
function payloads(type: string): Record<string, Buffer> {
  const nested = (depth: number): Buffer => Buffer.concat([Buffer.alloc(depth, 0x81), Buffer.from([0x00])]);
  const good = Buffer.from(encode({ v: 1, type, request: 'r1', op: 'agents' }, 'cbor'));
  const noise = Buffer.from(Array.from({ length: 4_000 }, (_, index) => (index * 7919 + 13) % 256));
  return {
    empty: Buffer.alloc(0),
    noise,
    'a lone break': Buffer.from([0xff]),
    'truncated CBOR': good.subarray(0, good.length - 3),
    'CBOR nested 60,000 deep': nested(60_000),
    'an array of 2^32 things': Buffer.from([0x9b, 0, 0, 0, 1, 0, 0, 0, 0]),
    'text of 2^32 bytes': Buffer.from([0x7b, 0, 0, 0, 1, 0, 0, 0, 0]),
    'a map of 2^31 entries': Buffer.from([0xba, 0x80, 0, 0, 0]),
    'a bignum of 30 kB': Buffer.concat([Buffer.from([0xc2, 0x59, 0x75, 0x30]), Buffer.alloc(30_000, 0xff)]),
    'JSON nested 30,000 deep': text(`{"v":1,"type":${'['.repeat(30_000)}${']'.repeat(30_000)}}`),
    'half of a JSON': text('{"v":1,"type":"'),
    'JSON that is no map': text('[1,2,3]'),
    'bad UTF-8 in JSON': Buffer.concat([Buffer.from('{"v":1,"type":"'), Buffer.from([0xc3, 0x28]), Buffer.from('"}')]),
    'no version': text({ type }),
    'a version of the far future': text({ v: 1e9, type }),
    'an unknown type': text({ v: 1, type: 'toString' }),
    'a type that is no text': text({ v: 1, type: { __proto__: null } }),
    'wrong fields': text({
      v: 1,
      type,
      agent: 5,
      tasks: 'x',
      request: [],
      roles: {},
      epoch: 'soon',
      offers: 7,
      updates: null,
    }),
    'a prototype': text('{"v":1,"type":"SUBSCRIBE","__proto__":{"roles":["*"]},"constructor":{"prototype":1}}'),
    'numbers without end': text('{"v":1,"type":"REPORT","epoch":1e400,"resources":"cpus:1e400"}'),
    'a payload over the limit': Buffer.alloc(100_000, 0x20),
  };
}

/** One type of each topic that a peer may publish on, with the name it speaks under. */
const SPOKEN = [
  { topic: 'agents/NAME/up', id: 'evil~1', type: 'REGISTER', speakers: ['agent'] },
  { topic: 'agents/NAME/presence', id: 'evil~1', type: 'PRESENCE', speakers: ['agent'] },
  { topic: 'agents/NAME/bulk', id: 'evil~1', type: 'CHUNK', speakers: ['agent'] },
  { topic: 'frameworks/NAME/call', id: 'evil', type: 'SUBSCRIBE', speakers: ['framework'] },
  {
    topic: 'clients/NAME/s1/request',
    id: 'evil/s1',
    type: 'REQUEST',
    speakers: ['user', 'operator', 'viewer', 'join'],
  },
  { topic: 'clients/NAME/s1/upload', id: 'evil/s1', type: 'PUT', speakers: ['user', 'operator'] },
] as readonly { topic: string; id: string; type: string; speakers: readonly string[] }[];

test('random bytes, nested, truncated, huge and wrong messages on every topic: counted, explained, and nobody is worse for it', async (t) => {
  const published = Object.values(TOPICS).filter(({ publish }) =>
    publish.some((role) => role !== 'master' && role !== 'peer'),
  );
  t.is(published.length, SPOKEN.length, 'a topic is missing here');
  const cluster = await Cluster.start(t);
  const busy = await cluster.submit('--', 'sleep', '600');
  await cluster.task(busy, 'TASK_RUNNING');
  for (const { topic, id, type } of SPOKEN) {
    const client = await connectAsync(cluster.url, { clientId: id, username: 'evil', reconnectPeriod: 0 });
    client.on('error', () => undefined);
    for (const payload of Object.values(payloads(type))) {
      if (client.connected) await publish(client, `mesq/${topic.replace('NAME', 'evil')}`, payload);
    }
    // And under another's name: dropped, since the topic says who speaks.
    await publish(client, `mesq/${topic.replace('NAME', 'a1')}`, Buffer.from(encode({ v: 1, type }, 'cbor')));
    await client.endAsync(true);
  }
  t.is((await cluster.mesq('run', '--', 'echo', 'well')).stdout, 'well\n');
  t.is((await cluster.task(busy, 'TASK_RUNNING')).attempt, 0);
  unharmed(t, cluster);

  const rejected = await eventually(async () => {
    const state = await retained(cluster.url, 'mesq/state/cluster');
    const counts = (JSON.parse(state) as { rejected: Record<string, number> }).rejected;
    return Object.keys(counts).length > 8 ? counts : undefined;
  });
  for (const kind of ['up', 'presence', 'agentBulk', 'call', 'request', 'upload'])
    for (const code of ['BAD_ENCODING', 'BAD_SHAPE', 'VERSION', 'UNKNOWN_TYPE', 'TOO_LARGE'])
      t.true((rejected[`${kind}: ${code}`] ?? 0) > 0, `${kind}: ${code} in ${JSON.stringify(rejected)}`);
  t.is(rejected['publish not allowed'], SPOKEN.length);
  t.regex(cluster.master?.stderr() ?? '', /message refused/);
});

test('whoever has a token, of whatever role, does no more harm: each is held to its own topics, and what it says there is looked at', async (t) => {
  const cluster = await Cluster.start(t);
  const busy = await cluster.submit('--', 'sleep', '600');
  await cluster.task(busy, 'TASK_RUNNING');
  const before = await rejections(cluster, 'publish not allowed');
  let foreign = 0;
  for (const role of ROLES) {
    const name = `evil-${role}`;
    const { token } = await cluster.json<{ token: string }>('token', 'create', '--role', role, '--name', name);
    const password = token.slice(token.indexOf(':') + 1);
    for (const { topic, type, speakers } of SPOKEN) {
      const id = topic.startsWith('agents/') ? `${name}~1` : topic.startsWith('clients/') ? `${name}/s1` : name;
      const client = await connectAsync(cluster.url, { clientId: id, username: name, password, reconnectPeriod: 0 });
      client.on('error', () => undefined);
      const own = `mesq/${topic.replace('NAME', name)}`;
      if (speakers.includes(role))
        for (const payload of Object.values(payloads(type))) if (client.connected) await publish(client, own, payload);
      if (client.connected) {
        const elsewhere = speakers.includes(role) ? `mesq/${topic.replace('NAME', 'a1')}` : own;
        await publish(client, elsewhere, Buffer.from(encode({ v: 1, type }, 'cbor')));
        foreign++;
      }
      await client.endAsync(true);
    }
  }
  t.true(foreign >= ROLES.length);
  await eventually(async () => (await rejections(cluster, 'publish not allowed')) === before + foreign || undefined);
  const well = await cluster.mesq('run', '--', 'echo', 'well');
  t.is(well.stdout, 'well\n', well.stderr);
  t.is((await cluster.task(busy, 'TASK_RUNNING')).attempt, 0);
  unharmed(t, cluster);
});

test('noise instead of MQTT, over TCP and WebSocket, ends its own connection and nothing else', async (t) => {
  const cluster = await Cluster.start(t);
  const [, webSocket = ''] = await (cluster.master as Running).said(/listening (ws:\S+)/);
  const noise = Buffer.from(Array.from({ length: 20_000 }, (_, index) => (index * 7919 + 13) % 256));
  const connectPacket = mqttPacket.generate({ cmd: 'connect', clientId: 'evil/s1', clean: true, keepalive: 0 });
  const openings: Record<string, Buffer> = {
    noise,
    'a packet of 256 MB': Buffer.concat([Buffer.from([0x30, 0xff, 0xff, 0xff, 0x7f]), Buffer.alloc(200_000)]),
    'a length that never ends': Buffer.alloc(2_000, 0xff),
    'half of a CONNECT': connectPacket.subarray(0, 9),
    'CONNECT, then noise': Buffer.concat([connectPacket, noise]),
    'CONNECT, then a huge SUBSCRIBE': Buffer.concat([
      connectPacket,
      Buffer.from([0x82, 0xff, 0xff, 0x7f]),
      Buffer.alloc(200_000, 0x61),
    ]),
    'CONNECT twice': Buffer.concat([connectPacket, connectPacket]),
    'PUBLISH before CONNECT': mqttPacket.generate({
      cmd: 'publish',
      topic: 'mesq/leader',
      payload: 'x',
      qos: 0,
    } as Packet),
    'HTTP on the wrong port': Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'),
  };
  for (const url of [cluster.url, webSocket])
    for (const [what, bytes] of Object.entries(openings)) {
      const { hostname, port } = new URL(url);
      const socket = connect(Number(port), hostname);
      socket.on('error', () => undefined);
      socket.resume();
      const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
      socket.end(bytes);
      await closed;
      t.is(cluster.master?.process.exitCode, null, what);
    }
  t.is((await cluster.mesq('run', '--', 'echo', 'well')).stdout, 'well\n');
  await eventually(async () => (await rejections(cluster, 'malformed packet')) >= 4 || undefined);
  t.is(await rejections(cluster, 'packet too large'), 2);
  unharmed(t, cluster);
});

/** Nobody has ended, and no handler has thrown. */
function unharmed(t: ExecutionContext, cluster: Cluster): void {
  for (const running of [cluster.master, ...cluster.agents.values()]) {
    t.is(running?.process.exitCode, null);
    t.notRegex(running?.stderr() ?? '', /a handler failed|broken invariant|Unhandled|TypeError|RangeError/);
  }
}

async function rejections(cluster: Cluster, reason: string): Promise<number> {
  const { rejected } = JSON.parse(await retained(cluster.url, 'mesq/state/cluster')) as {
    rejected: Record<string, number>;
  };
  return rejected[reason] ?? 0;
}

test('hostile commands to an agent and hostile answers to a client change nothing, since only a master may send them', async (t) => {
  const cluster = await Cluster.start(t);
  const client = await connectAsync(cluster.url, { clientId: 'evil/s1', username: 'evil', reconnectPeriod: 0 });
  for (const topic of ['agents/a1/down', 'frameworks/batch/event', 'clients/root/x/reply', 'leader', 'state/cluster'])
    await publish(client, `mesq/${topic}`, Buffer.from(encode({ v: 1, type: 'SHUTDOWN', fault: {} }, 'cbor')));
  await client.endAsync(true);
  t.is((await cluster.mesq('run', '--', 'echo', 'well')).stdout, 'well\n');
  t.is(cluster.agents.get('a1')?.process.exitCode, null);
});

test('a request that can be read as far as its id is answered with what is wrong', async (t) => {
  const cluster = await Cluster.start(t, {});
  const client = await connectAsync(cluster.url, { clientId: 'person/s1', username: 'person', reconnectPeriod: 0 });
  await client.subscribeAsync('mesq/clients/person/s1/reply', { qos: 1 });
  const answer = new Promise<string>((resolve) =>
    client.on('message', (_topic, payload) => resolve(payload.toString())),
  );
  await publish(client, 'mesq/clients/person/s1/request', text({ v: 1, type: 'REQUEST', request: 'q1', op: 7 }));
  const { request, fault } = JSON.parse(await answer) as { request: string; fault: { code: string; message: string } };
  t.is(request, 'q1');
  t.is(fault.code, 'BAD_SHAPE');
  t.regex(fault.message, /^op: /);
  await client.endAsync(true);
});

/** Resolves when the broker has it, or has thrown us out for it. */
async function publish(client: MqttClient, topic: string, payload: Buffer): Promise<void> {
  let thrownOut = (): void => undefined;
  const closed = new Promise<void>((resolve) => {
    thrownOut = () => resolve();
    client.once('close', thrownOut);
  });
  await Promise.race([client.publishAsync(topic, payload, { qos: 1 }).catch(() => closed), closed]);
  client.off('close', thrownOut);
}

async function retained(url: string, topic: string): Promise<string> {
  const client = await connectAsync(url, { clientId: 'reader/s1', username: 'reader' });
  const message = new Promise<string>((resolve) =>
    client.on('message', (_topic, payload) => resolve(payload.toString())),
  );
  await client.subscribeAsync(topic);
  try {
    return await message;
  } finally {
    await client.endAsync(true);
  }
}
