import { createHash } from 'node:crypto';
import test from 'ava';
import { ArtifactError } from '../../io/artifact-source.ts';
import { TIMES } from '../../protocol/limits.ts';
import { sampleBytes } from '../conformance/artifact-source.ts';
import { AgentWorld, program } from './world.ts';

const BYTES = sampleBytes(100_000);
const URI = 'http://h/model';
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const artifact = (uri: string, rest = {}) => ({ uri, extract: false, executable: false, ...rest });

async function worldOf(seed: number): Promise<AgentWorld> {
  const world = new AgentWorld(seed);
  world.source.put(URI, BYTES);
  await world.up();
  return world;
}

function stays(world: AgentWorld, task: string, rest = {}): void {
  world.master.place(task, { argv: program({ stays: true }), artifacts: [artifact(URI)], ...rest });
}

/** Whole files that are kept. */
async function files(world: AgentWorld): Promise<string[]> {
  const names = await world.fetched.storage().list('');
  return names.filter((name) => /^[0-9a-f]{64}$/.test(name));
}

test('nothing starts before all that it asks for is in its sandbox', async (t) => {
  const world = await worldOf(1);
  world.source.put('http://h/slow', BYTES, { silent: true });
  world.master.place('t', { argv: program({ stays: true }), artifacts: [artifact(URI), artifact('http://h/slow')] });
  await world.until(() => world.source.readings.length === 2);
  await world.clock.advance(TIMES.startMs * 3);
  t.is(world.started.length, 0);
  // A fetch may take longer than any start: nobody takes it back, and it is told how far it is.
  t.like(world.master.last('t'), { state: 'TASK_STARTING', message: 'fetching http://h/slow: 0 of 1 MB, 0 %' });
  t.is(world.source.readings.length, 2);
  world.master.kill('t', 0);
  await world.until(() => world.master.ended('t'));
  t.like(world.master.last('t'), { state: 'TASK_KILLED' });
  await world.until(() => world.source.open === 0);
  t.is(world.started.length, 0);
});

test('killed while it waits for its next try, it ends, and nothing is tried any more', async (t) => {
  const world = await worldOf(2);
  const failure = new ArtifactError('nobody listens there', true);
  world.source.put(URI, BYTES, { failure });
  stays(world, 't');
  await world.until(() => world.source.readings.length === 3);
  world.master.kill('t', 60_000);
  await world.until(() => world.master.ended('t'));
  t.like(world.master.last('t'), { state: 'TASK_KILLED' });
  await world.clock.advance(TIMES.artifactPatienceMs);
  t.is(world.source.readings.length, 3);
});

test('a server that is away is given up in time, and that is not the task’s fault', async (t) => {
  const world = await worldOf(3);
  world.source.put(URI, BYTES, { failure: new ArtifactError('nobody listens there', true) });
  stays(world, 't');
  await world.until(() => world.master.ended('t'), TIMES.artifactPatienceMs * 2);
  t.like(world.master.last('t'), { state: 'TASK_DROPPED', reason: 'ARTIFACT_UNREACHABLE' });
  t.regex(world.master.last('t')?.message ?? '', /^nobody listens there; given up after \d+ tries/);
});

test('without a master in reach it tries for hours, and goes on where it was', async (t) => {
  const world = await worldOf(4);
  const content = world.source.contents.get(world.source.put('http://h/far', BYTES, { breaks: [60_000] }));
  world.master.place('t', { argv: program({ stays: true }), artifacts: [artifact('http://h/far')] });
  await world.until(() => world.source.bytesRead === 60_000);
  if (content !== undefined) content.failure = new ArtifactError('its host name is not found', true);
  world.network.broker(world.urls[0] ?? '').stop();
  await world.clock.advance(TIMES.artifactPatienceMs * 10);
  if (content !== undefined) content.failure = undefined;
  await world.until(() => world.started.length === 1, 3_600_000);
  t.is(world.source.bytesRead, BYTES.length);
});

test('of other content than was asked for nothing stays, and another try is the task’s own', async (t) => {
  const world = await worldOf(5);
  stays(world, 't', { artifacts: [artifact(URI, { sha256: '0'.repeat(64) })] });
  await world.until(() => world.master.ended('t'));
  t.like(world.master.last('t'), { state: 'TASK_FAILED', reason: 'ARTIFACT_FETCH_FAILED' });
  t.is(world.started.length, 0);
  t.deepEqual(await files(world), []);
});

test('a part that does not fit to its other half is fetched once more, from the beginning', async (t) => {
  const world = await worldOf(6);
  const other = sampleBytes(100_000, 7);
  // A server that lies: other content under the same version.
  const content = { bytes: other as Uint8Array, version: 'v', breaks: [50_000] };
  world.source.contents.set(URI, content);
  stays(world, 't', { artifacts: [artifact(URI, { sha256: sha256(BYTES) })] });
  await world.until(() => world.source.bytesRead === 50_000);
  content.bytes = BYTES;
  await world.until(() => world.started.length === 1);
  t.deepEqual(
    world.source.readings.map(({ from }) => from),
    [0, 50_000, 0],
  );
  t.deepEqual([...(world.filled.contents.get(world.started[0] ?? '') ?? [])], [['model', sha256(BYTES)]]);
});

test('a restart has the same files without asking anybody, and they go with the run', async (t) => {
  const world = await worldOf(7);
  world.master.place('t', { argv: program({ code: 1 }), restart: 'on-failure', artifacts: [artifact(URI)] });
  await world.until(() => world.started.length === 2);
  t.is(world.source.readings.length, 1);
  t.is(world.filled.contents.get(world.started[1] ?? '')?.get('model'), sha256(BYTES));
  t.deepEqual([...world.filled.handedOver], world.started);
  t.deepEqual(await files(world), [sha256(BYTES)]);
  world.master.kill('t', 0);
  await world.until(() => world.master.ended('t'));
  await world.clock.advance(1_000);
  t.deepEqual(await files(world), []);
});

test('its power cut, with no server in reach, a service starts again with its files', async (t) => {
  const world = await worldOf(13);
  stays(world, 't', { restart: 'always' });
  await world.until(() => world.started.length === 1);
  world.cutPower();
  world.source.put(URI, BYTES, { failure: new ArtifactError('its host name is not found', true) });
  await world.start();
  await world.until(() => world.started.length === 2);
  t.is(world.source.readings.length, 1);
  t.is(world.filled.contents.get(world.started[1] ?? '')?.get('model'), sha256(BYTES));
});

test('killed at any write of a fetch, by kill -9 or with its power, the task starts once, with whole files', async (t) => {
  let deaths = 0;
  for (let step = 1; step < 40; step++) {
    for (const power of [false, true]) {
      const world = await worldOf(800 + step);
      world.fetched.crashAt = world.fetched.steps + step;
      let died = false;
      world.fetched.onPowerCut = () => {
        died = true;
        if (power) world.cutPower();
        else world.kill();
      };
      stays(world, 't', { restart: 'always' });
      await world.until(() => died || world.started.length === 1);
      world.fetched.crashAt = Number.POSITIVE_INFINITY;
      if (!died) continue;
      deaths++;
      await world.start();
      await world.until(() => world.started.length === 1);
      t.is(world.filled.contents.get(world.started[0] ?? '')?.get('model'), sha256(BYTES), `${step} ${power}`);
      t.true(world.source.bytesRead <= 2 * BYTES.length);
    }
  }
  t.true(deaths >= 20, `${deaths}`);
});

test('what is kept for others stays within its limit, and what a live run may need again stays though the cap is passed', async (t) => {
  const world = new AgentWorld(9);
  world.cacheBytes = 250_000;
  const uris = Array.from({ length: 6 }, (_, at) => world.source.put(`http://h/${at}`, sampleBytes(100_000, at)));
  const hash = (at: number): string => sha256(sampleBytes(100_000, at));
  await world.up();
  const wants = (at: number, rest = {}) => ({ artifacts: [artifact(uris[at] ?? '', { sha256: hash(at) })], ...rest });
  world.master.place('service', { argv: program({ stays: true }), restart: 'always', ...wants(0) });
  await world.until(() => world.started.length === 1);
  for (let at = 1; at < 6; at++) {
    world.master.place(`once-${at}`, { argv: program({ code: 0 }), ...wants(at) });
    await world.until(() => world.master.ended(`once-${at}`));
    const kept = await files(world);
    t.true(kept.length <= 2 && kept.includes(hash(0)) && kept.includes(hash(at)), `${at}`);
  }
  world.master.place('again', { argv: program({ code: 0 }), ...wants(5) });
  await world.until(() => world.master.ended('again'));
  t.is(world.source.readings.length, 6);
});

test('a disk without room says so, and nothing of it stays', async (t) => {
  const world = await worldOf(10);
  world.filled.freeBytes = 67_108_864 + 50_000;
  stays(world, 't');
  await world.until(() => world.master.ended('t'));
  t.like(world.master.last('t'), { state: 'TASK_DROPPED', reason: 'AGENT_DISK_FULL' });
});

test('no byte is fetched that the budget does not allow', async (t) => {
  const world = await worldOf(11);
  world.fetchWaitMs = 7_200_000;
  stays(world, 't');
  await world.clock.advance(3_600_000);
  t.is(world.source.readings.length, 0);
  t.regex(world.master.last('t')?.message ?? '', /has spent the bytes/);
  t.is(world.fetchesAsked, 1, 'it knows when there will be room');
  world.fetchWaitMs = 0;
  await world.until(() => world.started.length === 1, 7_200_000);
  t.is(world.source.bytesRead, BYTES.length);
  world.master.command({ type: 'ASK_STATS', request: 'q1', client: 'ann', session: 's1' });
  await world.until(() => world.master.of('STATS').length > 0);
  t.is(world.master.of('STATS')[0]?.stats.link.fetchedBytes, BYTES.length);
});
