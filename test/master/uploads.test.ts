import test from 'ava';
import { openBlobStore } from '../../io/blob-store.ts';
import { systemDigest } from '../../io/node/digest.ts';
import { BlobKeeper, type Keeping } from '../../master/blob-keeper.ts';
import type { Blobs } from '../../master/blobs.ts';
import type { BlockExchange } from '../../master/block-exchange.ts';
import type { Asker, ClientSessions } from '../../master/client-sessions.ts';
import type { Leader } from '../../master/leader.ts';
import { UploadRoom, withLists } from '../../master/upload-room.ts';
import { Uploads } from '../../master/uploads.ts';
import { type Block, blobUri, manifestOf } from '../../protocol/blob.ts';
import { AGENT_BLOCKS, CLIENT_BULK, UPLOADS } from '../../protocol/blob-link.ts';
import { type MessageOf, read, write } from '../../protocol/envelope.ts';
import { LIMITS } from '../../protocol/limits.ts';
import { topicOf } from '../../protocol/topics.ts';
import { type Client, createClient, Fault, type UploadProgress, type UploadSource } from '../../sdk/index.ts';
import { VirtualClock } from '../sim/clock.ts';
import { SimulatedDisk } from '../sim/storage.ts';
import { greeting, MasterWorld, ScriptedAgent, ScriptedClient, ScriptedFramework, task } from './world.ts';

const DAY_MS = 24 * 3_600_000;

/** So many blocks of content; those of different salts have nothing in common. */
function sourceOf(count: number, salt: number, changed: readonly number[] = []): UploadSource {
  const content = Array.from({ length: count }, (_, at) =>
    new Uint8Array(LIMITS.chunkBytes)
      .fill(1)
      .map((_one, i) => (i * 7 + at + salt * 31 + (changed.includes(at) ? 13 : 0)) & 255),
  );
  for (const [at, bytes] of content.entries())
    bytes.set(Uint8Array.of(at, at >> 8, salt, changed.includes(at) ? 1 : 0));
  const blocks = content.map((bytes): Block => ({ hash: systemDigest.sha256(bytes), size: bytes.length }));
  const manifest = manifestOf(blocks, systemDigest.sha256);
  if (manifest instanceof Fault) throw new Error(manifest.message);
  return { manifest, blocks, read: (at) => Promise.resolve(content[at] ?? new Uint8Array()) };
}

function clientOf(world: MasterWorld, name: string): Client {
  const { clock, random } = world;
  return createClient({ bus: world.bus(`client:${name}`), name, session: 's', clock, random });
}

async function settled<Value>(world: MasterWorld, promise: Promise<Value>): Promise<Value> {
  let ended = false;
  promise.then(
    () => {
      ended = true;
    },
    () => {
      ended = true;
    },
  );
  await world.until(() => ended, 600_000);
  return promise;
}

async function uploaded(world: MasterWorld, client: Client, source: UploadSource): Promise<UploadProgress> {
  const answer = await settled(world, client.upload(source));
  if (answer instanceof Fault) throw new Error(`${answer.code}: ${answer.message}`);
  return answer;
}

function hashesOn(world: MasterWorld): Set<string> {
  return new Set(world.disk.paths().flatMap((path) => /^blobs\/[0-9a-f]\/([0-9a-f]{64})-/.exec(path)?.[1] ?? []));
}

test('what was uploaded is on the disk before it counts, and is not sent twice', async (t) => {
  const world = new MasterWorld();
  await world.start();
  const ann = clientOf(world, 'ann');
  const source = sourceOf(50, 1);
  const first = await uploaded(world, ann, source);
  t.true(first.sent > 50 * LIMITS.chunkBytes && first.sent < 51 * LIMITS.chunkBytes);
  world.cutPower();
  const left = hashesOn(world);
  t.true(
    source.blocks.every(({ hash }) => left.has(hash)),
    'all of it survives the power cut',
  );
  await world.start();
  t.is((await uploaded(world, clientOf(world, 'bob'), source)).sent, 0);
  const second = await uploaded(world, ann, sourceOf(50, 1, [7]));
  t.true(second.sent >= LIMITS.chunkBytes && second.sent < 2 * LIMITS.chunkBytes, `${second.sent} bytes for one block`);
});

test('a master that is killed again and again is sent nothing twice that it had said was stored', async (t) => {
  const world = new MasterWorld({ seed: 3 });
  await world.start();
  const source = sourceOf(200, 2);
  const reads = new Map<number, number>();
  const counting: UploadSource = {
    ...source,
    read: (at) => {
      reads.set(at, (reads.get(at) ?? 0) + 1);
      return source.read(at);
    },
  };
  let sent = 0;
  let answer: UploadProgress | Fault | undefined;
  const ann = clientOf(world, 'ann');
  const onProgress = (progress: UploadProgress): void => {
    sent = progress.sent;
  };
  void ann.upload(counting, { onProgress }).then((end) => {
    answer = end;
  });
  for (const share of [0.2, 0.5, 0.8]) {
    await world.until(() => sent > share * source.manifest.size);
    world.killMaster();
    await world.start();
  }
  await world.until(() => answer !== undefined, 600_000);
  if (answer === undefined || answer instanceof Fault) return t.fail(answer?.message);
  const twice = [...reads.values()].filter((times) => times > 1).length;
  t.true(twice <= 3 * LIMITS.uploadWindow, `${twice} of 200 blocks were sent again after three deaths`);
  t.is((await uploaded(world, ann, source)).sent, 0);
});

test('who only watches may not upload, and nobody brings in what was not asked for', async (t) => {
  const world = new MasterWorld();
  await world.start();
  const operator = new ScriptedClient(world, 'op');
  await operator.ask('r1', 'token-create', { role: 'viewer', name: 'eve' });
  const source = sourceOf(3, 3);
  const refused = await settled(world, clientOf(world, 'eve').upload(source));
  t.true(refused instanceof Fault && refused.code === 'NOT_ALLOWED');
  const heard: MessageOf<typeof CLIENT_BULK>[] = [];
  for (const name of ['eve', 'ann']) {
    const bus = world.bus(`client:${name}2`);
    await bus.subscribe(topicOf('mesq', { kind: 'clientBulk', name, session: 's' }), 1, ({ payload }) => {
      const message = read(CLIENT_BULK, payload);
      if (!(message instanceof Fault)) heard.push(message.message);
    });
    await world.until(() => bus.connected);
    const put = write(UPLOADS, { type: 'PUT', data: Uint8Array.of(1, 2, 3) });
    bus.publish(topicOf('mesq', { kind: 'upload', name, session: 's' }), put, { qos: 1 }).catch(() => undefined);
    await world.clock.advance(1_000);
  }
  t.deepEqual(
    heard.map((message) => message.type === 'STORED' && message.fault?.code),
    ['NOT_ALLOWED', 'NOT_FOUND'],
  );
  t.is(hashesOn(world).size, 0);
});

test('too much is refused before anything of it is taken', async (t) => {
  const world = new MasterWorld({ blobBytes: 40 * LIMITS.chunkBytes });
  await world.start();
  const ann = clientOf(world, 'ann');
  const refusal = async (source: UploadSource): Promise<string> => {
    const answer = await settled(world, ann.upload(source));
    return answer instanceof Fault ? `${answer.code} ${answer.message}` : 'taken';
  };
  const small = sourceOf(1, 4);
  const huge = { ...small, manifest: { ...small.manifest, size: LIMITS.uploadBytes + 1 } };
  t.regex(await refusal(huge), /^TOO_LARGE .* an upload may have 512 MB/);
  t.regex(await refusal(sourceOf(21, 5)), /^LIMIT live jobs of ann hold 0\.0 MB of uploads, and may hold 0\.6 MB/);
  t.is(hashesOn(world).size, 0);
  t.is(await refusal(sourceOf(19, 6)), 'taken');
  const more = sourceOf(15, 7);
  const lying = { ...more, manifest: { ...more.manifest, size: LIMITS.chunkBytes } };
  const before = hashesOn(world).size;
  t.regex(await refusal(lying), /^TOO_LARGE this upload was said to have 32768 bytes, and has more/);
  t.true(hashesOn(world).size - before <= 5);
});

test('what is not used goes where room is needed, or after a week; what a framework has written down stays', async (t) => {
  const world = new MasterWorld({ blobBytes: 30 * LIMITS.chunkBytes });
  await world.start();
  const framework = new ScriptedFramework(world, 'fw');
  await framework.subscribe();
  const ann = clientOf(world, 'ann');
  const [bob, cid] = [clientOf(world, 'bob'), clientOf(world, 'cid')];
  const [needed, idle, next] = [sourceOf(10, 1), sourceOf(10, 2), sourceOf(14, 3)];
  await uploaded(world, ann, needed);
  const value = JSON.stringify({ artifacts: [{ uri: blobUri(needed.manifest.blob) }] });
  await framework.call({ type: 'STORE', request: 's1', key: 'job', value, version: 0 });
  await world.clock.advance(3_600_000);
  await uploaded(world, bob, idle);
  await world.clock.advance(3_600_000);
  const has = ({ blocks }: UploadSource): boolean => blocks.every(({ hash }) => hashesOn(world).has(hash));
  t.deepEqual([has(needed), has(idle)], [true, true]);
  await uploaded(world, cid, next);
  t.deepEqual([has(needed), has(idle), has(next)], [true, false, true]);
  await world.clock.advance(8 * DAY_MS);
  t.deepEqual([has(needed), has(next)], [true, false]);
});

test('what is uploaded again is used again: it stays until its job is there', async (t) => {
  const world = new MasterWorld({ blobBytes: 30 * LIMITS.chunkBytes });
  await world.start();
  const [ann, cid] = [clientOf(world, 'ann'), clientOf(world, 'cid')];
  const [again, next] = [sourceOf(10, 1), sourceOf(14, 2)];
  await uploaded(world, ann, again);
  await world.clock.advance(1_800_000);
  t.is((await uploaded(world, ann, again)).sent, 0);
  const other = await settled(world, cid.upload(next));
  t.true(other instanceof Fault || again.blocks.every(({ hash }) => hashesOn(world).has(hash)));
  t.true(again.blocks.every(({ hash }) => hashesOn(world).has(hash)));
});

/** The leader of three masters that has all of whatever is uploaded; the other two are played. */
function leaderOfThree(keeping: Keeping = 'kept') {
  const clock = new VirtualClock();
  const asked: string[] = [];
  const replies: unknown[] = [];
  const blob = 'a'.repeat(64);
  const heard = { kept: (_from: string, _blob: string) => {}, full: (_from: string, _blob: string) => {} };
  const blobs = {
    exchange: { expecting: () => false },
    keeper: { keep: () => Promise.resolve(keeping) },
    store: { kept: new Map([[blob, {}]]) },
    set onKept(listener: typeof heard.kept) {
      heard.kept = listener;
    },
    set onFull(listener: typeof heard.full) {
      heard.full = listener;
    },
    send: (to: string) => void asked.push(to),
  };
  const voters = ['m1', 'm2', 'm3'].map((id) => ({ id }));
  const quorum = { standing: () => ({ membership: { voters, learners: [] } }) };
  const leader = { world: { id: 'm1', clock, blobs, quorum } } as unknown as Leader;
  const clients = {
    reply: (_name: string, _session: string, { body, fault }: { body?: unknown; fault?: unknown }) =>
      replies.push(fault ?? body),
  } as unknown as ClientSessions;
  const uploads = new Uploads(leader, clients);
  const asker = { principal: { name: 'ann', role: 'user' }, session: 's', request: 'r' } as unknown as Asker;
  return { clock, asked, replies, blob, heard, uploads, complete: () => uploads.complete({ blob, size: 1 }, asker) };
}

test('blocks of a client that asks again while they are being written are its credit until then, and no longer', async (t) => {
  const clock = new VirtualClock();
  const written: (() => void)[] = [];
  const stored: string[] = [];
  const store = {
    ...{ blocks: new Map<string, object>(), kept: new Map(), bytes: 0, roomOf: (size: number) => size },
    write: (bytes: Uint8Array) =>
      new Promise<void>((resolve) => {
        written.push(() => {
          store.blocks.set(systemDigest.sha256(bytes), {});
          resolve();
        });
      }),
  };
  const collector = { ownerBytes: 1e9, makeRoom: () => Promise.resolve() };
  const exchange = { expecting: () => false, stored: () => undefined };
  const blobs = { store, collector, exchange, capBytes: 1e9, named: () => new Set() };
  const quorum = { standing: () => ({ membership: { voters: [], learners: [] } }) };
  const counters = { count: () => undefined };
  const world = { id: 'm1', clock, blobs, quorum, counters, digest: systemDigest };
  const principal = { name: 'ann', role: 'user' };
  const clients = {
    ...{ principal: () => principal, reply: () => undefined, encoding: () => 'json' },
    bulk: (_client: string, _session: string, payload: Uint8Array) => {
      const message = read(CLIENT_BULK, payload);
      if (!(message instanceof Fault) && message.message.type === 'STORED') stored.push(message.message.block);
    },
  };
  const uploads = new Uploads({ world } as unknown as Leader, clients as unknown as ClientSessions);
  const { blocks, manifest, read: content } = sourceOf(2 * LIMITS.uploadWindow, 1);
  const hashes = blocks.map(({ hash }) => hash);
  const asker = { principal, session: 's', request: 'r' } as unknown as Asker;
  const ask = async (): Promise<void> => {
    uploads.missing({ blob: manifest.blob, size: manifest.size, blocks: hashes }, asker);
    await clock.advance(10);
  };
  const put = async (at: number): Promise<void> =>
    uploads.put({ name: 'ann', session: 's' }, (await content(at)) as Uint8Array);
  await ask();
  for (let at = 0; at < LIMITS.uploadWindow; at++) await put(at);
  await ask();
  await put(LIMITS.uploadWindow);
  t.is(written.length, LIMITS.uploadWindow, 'the credit is used up');
  for (const done of written.splice(0)) done();
  await clock.advance(10);
  t.is(stored.length, LIMITS.uploadWindow);
  await put(LIMITS.uploadWindow);
  t.is(written.length, 1, 'and is there again');
  uploads.stop();
});

test("another master's word that it has an upload counts for a while: what it has forgotten since is asked about again", async (t) => {
  const { clock, asked, replies, blob, heard, uploads, complete } = leaderOfThree();
  heard.kept('m2', blob);
  complete();
  await clock.advance(10);
  t.deepEqual([replies.pop(), asked], [{ state: 'complete', masters: ['m1', 'm2'] }, []]);
  await clock.advance(DAY_MS);
  complete();
  await clock.advance(10_000);
  t.deepEqual([replies.pop(), asked], [{ state: 'spreading', masters: ['m1'] }, ['m2', 'm3']]);
  uploads.stop();
});

test('where too many masters have no room for it, its client hears which; and of their room, once there is some', async (t) => {
  const { clock, replies, blob, heard, uploads, complete } = leaderOfThree();
  complete();
  await clock.advance(10);
  heard.full('m2', blob);
  await clock.advance(10);
  t.is(replies.length, 0, 'the third may have it');
  heard.full('m3', blob);
  await clock.advance(10);
  t.like(replies.pop(), { code: 'LIMIT' });
  complete();
  await clock.advance(10);
  heard.kept('m3', blob);
  await clock.advance(10);
  t.deepEqual(replies.pop(), { state: 'complete', masters: ['m1', 'm3'] });
  uploads.stop();
});

test('a master takes no more of what others are given than its own room', async (t) => {
  const clock = new VirtualClock();
  const disk = new SimulatedDisk();
  const store = await openBlobStore({
    ...{ storage: disk.storage(), digest: systemDigest, clock, folder: 'blobs', onCorrupt: () => undefined },
  });
  const capBytes = 12 * LIMITS.chunkBytes;
  const source = sourceOf(20, 1);
  const { manifest } = source;
  const there = new Map([manifest.root, ...manifest.lists].map((bytes) => [systemDigest.sha256(bytes), bytes]));
  for (const [at, { hash }] of source.blocks.entries()) {
    const bytes = await source.read(at);
    if (!(bytes instanceof Fault)) there.set(hash, bytes);
  }
  const exchange = {
    obtain: async (hash: string) => {
      const bytes = (await store.read(hash)) ?? there.get(hash);
      if (bytes !== undefined) await store.write(bytes);
      return bytes;
    },
  } as unknown as BlockExchange;
  const log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
  const room = { bytes: capBytes };
  const makeRoom = (bytes: number): Promise<boolean> => Promise.resolve(store.bytes + bytes <= room.bytes);
  const keeper = new BlobKeeper({ store, exchange, clock, log, makeRoom });
  t.is(await keeper.keep(manifest.blob, 'ann', manifest.size, ['m1']), 'full');
  t.true(store.bytes <= capBytes);
  t.is(store.kept.size, 0);
  room.bytes = 100 * LIMITS.chunkBytes;
  t.is(
    await keeper.keep(manifest.blob, 'ann', manifest.size + 1, ['m1']),
    'lacking',
    'it is not what it is said to be',
  );
  t.is(await keeper.keep(manifest.blob, 'ann', manifest.size, ['m1']), 'kept');
});

test('where the leader itself has no room for what is there, its client hears that, and does not send it for ever', async (t) => {
  const { clock, replies, uploads, complete } = leaderOfThree('full');
  complete();
  await clock.advance(10);
  t.like(replies.pop(), {
    code: 'LIMIT',
    message:
      'm1 of the masters have no room for it: live jobs need what is there, or it was used in the last ten minutes',
  });
  uploads.stop();
});

/** So many blocks of one byte, more or less. */
function crumbsOf(count: number): UploadSource {
  const content = Array.from({ length: count }, (_, at) => Uint8Array.of(at & 255, at >> 8));
  const blocks = content.map((bytes): Block => ({ hash: systemDigest.sha256(bytes), size: bytes.length }));
  const manifest = manifestOf(blocks, systemDigest.sha256);
  if (manifest instanceof Fault) throw new Error(manifest.message);
  return { manifest, blocks, read: (at) => Promise.resolve(content[at] ?? new Uint8Array()) };
}

test('blocks are bounded by number too: the shortest takes the room of a file', async (t) => {
  const world = new MasterWorld({ blobBytes: 200 * LIMITS.blockRoomBytes });
  await world.start();
  const answer = await settled(world, clientOf(world, 'ann').upload(crumbsOf(150)));
  t.true(answer instanceof Fault && answer.code === 'LIMIT', 'a few hundred bytes, and more than half of the room');
  t.true(hashesOn(world).size <= 100);
  const pieces = Array.from({ length: LIMITS.uploadBlocks + 1 }, () => ({ hash: '0'.repeat(64), size: 1 }));
  const named = manifestOf(pieces, systemDigest.sha256);
  t.true(named instanceof Fault && named.code === 'TOO_LARGE' && named.message.includes('more than 65536 pieces'));
});

test('what somebody brings in and never completes is a part of their half, and leaves the other to others', async (t) => {
  const world = new MasterWorld({ blobBytes: 40 * LIMITS.chunkBytes });
  await world.start();
  const [ann, bob] = [clientOf(world, 'ann'), clientOf(world, 'bob')];
  /** Its last block is never there. */
  const broken = (salt: number): UploadSource => {
    const source = sourceOf(12, salt);
    const lost = new Fault('CONFLICT', 'it changed');
    return { ...source, read: (at) => (at === 11 ? Promise.resolve(lost) : source.read(at)) };
  };
  const code = async (client: Client, source: UploadSource): Promise<string> => {
    const answer = await settled(world, client.upload(source));
    return answer instanceof Fault ? `${answer.code} ${answer.message}` : 'taken';
  };
  t.regex(await code(ann, broken(1)), /^CONFLICT/);
  t.regex(await code(ann, sourceOf(12, 2)), /^LIMIT uploads that ann did not complete hold 0\.\d MB/);
  t.true(hashesOn(world).size <= 23);
  t.is(await code(bob, sourceOf(15, 3)), 'taken');
  // Ten minutes later what was left in the middle makes room.
  await world.clock.advance(700_000);
  t.is(await code(ann, sourceOf(15, 4)), 'taken');
});

test('who holds more than their half without a job makes room for others, however often they say that they need it', async (t) => {
  const world = new MasterWorld({ blobBytes: 40 * LIMITS.chunkBytes });
  await world.start();
  const [ann, bob] = [clientOf(world, 'ann'), clientOf(world, 'bob')];
  const code = async (client: Client, source: UploadSource): Promise<string> => {
    const answer = await settled(world, client.upload(source));
    return answer instanceof Fault ? `${answer.code} ${answer.message}` : 'taken';
  };
  const [one, two] = [sourceOf(17, 1), sourceOf(17, 2)];
  t.deepEqual([await code(ann, one), await code(ann, two)], ['taken', 'taken'], 'there is room');
  await world.clock.advance(300_000);
  t.deepEqual([await code(ann, one), await code(ann, two)], ['taken', 'taken']);
  t.is(await code(bob, sourceOf(10, 3)), 'taken');
  t.regex(await code(ann, one), /^LIMIT the masters keep 1\.3 MB of uploads: live jobs need .* last ten minutes/);
});

test('however much an owner asks for, what there is is looked through once at a time, and not at once again', async (t) => {
  const clock = new VirtualClock();
  const rooms: number[] = [];
  const store = { blocks: new Map(), kept: new Map(), bytes: 100, roomOf: (size: number) => size };
  const collect = (room: number): Promise<void> => Promise.resolve(void rooms.push(room));
  const collector = { ownerBytes: 1e9, collect };
  const blobs = { store, collector, capBytes: 100, named: () => new Set() } as unknown as Blobs;
  const room = new UploadRoom(blobs, clock);
  const ask = (owner: string, count: number) =>
    Promise.all(Array.from({ length: count }, (_, at) => room.admit(`b${at}`, at, owner)));
  const faults = await ask('ann', 500);
  t.true(faults.every((fault) => fault?.code === 'LIMIT'));
  t.deepEqual(rooms, [withLists(499)], 'for the largest, and so for all');
  const again = Promise.all([ask('ann', 2), ask('ann', 2)]);
  await ask('bob', 1);
  t.is(rooms.length, 2, 'others wait for nobody');
  await clock.advance(2_000);
  await again;
  t.is(rooms.length, 3);
});

test('blocks that somebody brought in and another completes count for who completed them alone', async (t) => {
  const world = new MasterWorld({ blobBytes: 40 * LIMITS.chunkBytes });
  await world.start();
  const [ann, bob] = [clientOf(world, 'ann'), clientOf(world, 'bob')];
  const source = sourceOf(12, 1);
  const lost = new Fault('CONFLICT', 'it changed');
  const left = await settled(
    world,
    ann.upload({ ...source, read: (at) => (at === 11 ? Promise.resolve(lost) : source.read(at)) }),
  );
  t.true(left instanceof Fault && left.code === 'CONFLICT');
  await uploaded(world, bob, source);
  const next = await settled(world, ann.upload(sourceOf(12, 2)));
  t.is(next instanceof Fault ? next.message : 'taken', 'taken');
});

test('an agent is given what its own live tasks name, verified, and nothing else', async (t) => {
  const world = new MasterWorld();
  await world.start();
  const agents = { pi: new ScriptedAgent(world, 'pi'), spy: new ScriptedAgent(world, 'spy') };
  await agents.pi.say(greeting('pi', { attributes: [{ name: 'artifacts', text: 'yes' }] }));
  const framework = new ScriptedFramework(world, 'fw');
  await framework.subscribe();
  const source = sourceOf(3, 1);
  const other = sourceOf(3, 2);
  const ann = clientOf(world, 'ann');
  await uploaded(world, ann, source);
  await uploaded(world, ann, other);
  const { blob } = source.manifest;
  const artifacts = [{ uri: blobUri(blob), path: 'f', extract: false, executable: false }];
  await framework.launch([{ ...task('t', { stays: true }), artifacts }]);
  await agents.spy.say(greeting('spy'));
  let raw = 0;
  const answers = async (name: 'pi' | 'spy', asked: string, blocks: string[]): Promise<string[]> => {
    const bus = world.bus(`raw ${raw++}`);
    const heard: MessageOf<typeof AGENT_BLOCKS>[] = [];
    await bus.subscribe(topicOf('mesq', { kind: 'agentBlocks', name }), 1, ({ payload }) => {
      const message = read(AGENT_BLOCKS, payload);
      if (!(message instanceof Fault) && message.encoding === 'json') heard.push(message.message);
    });
    await world.until(() => bus.connected);
    await agents[name].say({ type: 'READ_BLOCKS', epoch: agents[name].epoch, blob: asked, blocks }, 10_000);
    bus.close().catch(() => undefined);
    return heard.map(({ data, fault }) => fault?.code ?? systemDigest.sha256(data ?? new Uint8Array()));
  };
  const [first] = source.blocks;
  const [foreign] = other.blocks;
  if (first === undefined || foreign === undefined) return t.fail();
  t.deepEqual(await answers('pi', blob, [blob, first.hash]), [blob, first.hash]);
  t.deepEqual(await answers('pi', blob, [foreign.hash]), ['NOT_FOUND'], 'a block of another upload');
  t.deepEqual(await answers('pi', other.manifest.blob, [foreign.hash]), ['NOT_ALLOWED']);
  t.deepEqual(await answers('spy', blob, [blob]), ['NOT_ALLOWED']);
  for (const path of world.disk.paths()) if (path.includes(first.hash)) world.disk.poke(path, Uint8Array.of(1));
  t.deepEqual(await answers('pi', blob, [first.hash]), ['NOT_FOUND'], 'damaged, and no other master has it');
  t.is((await uploaded(world, ann, source)).sent, LIMITS.chunkBytes, 'whoever has it mends it');
  t.deepEqual(await answers('pi', blob, [first.hash]), [first.hash]);
});

test('a block that takes minutes to come is taken, and whoever has it not yet is told of it again', async (t) => {
  const world = new MasterWorld();
  await world.start();
  const source = sourceOf(2, 1);
  const { manifest } = source;
  const blocks = [manifest.blob, ...source.blocks.map(({ hash }) => hash)];
  const slow = new ScriptedClient(world, 'ann');
  const heard: MessageOf<typeof CLIENT_BULK>[] = [];
  await slow.bus.subscribe(topicOf('mesq', { kind: 'clientBulk', name: 'ann', session: 's1' }), 1, ({ payload }) => {
    const message = read(CLIENT_BULK, payload);
    if (!(message instanceof Fault)) heard.push(message.message);
  });
  const asked = await slow.ask('r1', 'blob-missing', { blob: manifest.blob, size: manifest.size, blocks });
  t.like(asked?.body, { missing: [0, 1, 2] });
  for (const [at] of source.blocks.entries()) {
    await world.clock.advance(240_000);
    const put = write(UPLOADS, { type: 'PUT', data: new Uint8Array((await source.read(at)) as Uint8Array) });
    slow.bus.publish(topicOf('mesq', { kind: 'upload', name: 'ann', session: 's1' }), put, { qos: 1 }).catch(() => {});
    await world.clock.advance(1_000);
  }
  t.deepEqual(
    heard.map((message) => message.type === 'STORED' && (message.fault?.code ?? 'stored')),
    ['stored', 'stored'],
  );
});
