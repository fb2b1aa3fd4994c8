import test, { type ExecutionContext } from 'ava';
import { ArtifactDownloads } from '../../agent/artifact-downloads.ts';
import { ArtifactFiles } from '../../agent/artifact-files.ts';
import { systemDigest } from '../../io/node/digest.ts';
import type { Storage } from '../../io/storage.ts';
import { sampleBytes } from '../conformance/artifact-source.ts';
import { ScriptedSource } from '../sim/artifact-source.ts';
import { VirtualClock } from '../sim/clock.ts';
import { runningDigest, SimulatedSandboxes } from '../sim/sandbox-filler.ts';
import { SimulatedDisk } from '../sim/storage.ts';

const LOG = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
const BYTES = sampleBytes(50_000);
const artifact = (uri: string, rest = {}) => ({ uri, extract: false, executable: false, ...rest });
const never = new AbortController().signal;

const TURNS = 50;

/** `onIndex`: whenever the index is about to be written; `onRemove`: before a file goes. */
async function downloads(
  t: ExecutionContext,
  capBytes: number,
  onIndex: (files: ArtifactFiles) => Promise<void>,
  onRemove: (path: string) => Promise<void> = () => Promise.resolve(),
) {
  const disk = new SimulatedDisk();
  const storage = disk.storage();
  const watched: Storage = {
    ...storage,
    list: (path) => storage.list(path),
    read: (path) => storage.read(path),
    open: (path) => storage.open(path),
    rename: (from, to) => storage.rename(from, to),
    remove: async (path) => {
      await onRemove(path);
      await storage.remove(path);
    },
    replace: async (path, bytes) => {
      await storage.replace(path, bytes);
      if (path === 'index.json') await onIndex(files);
    },
  };
  const files: ArtifactFiles = await ArtifactFiles.open(
    {
      ...{ storage: watched, filler: new SimulatedSandboxes().filler(), digest: runningDigest, log: LOG, boot: 'b' },
      ...{ sha256: (text: string) => systemDigest.sha256(new TextEncoder().encode(text)), capBytes },
    },
    new Set(),
    new Set(),
  );
  const source = new ScriptedSource();
  source.put('http://h/one', BYTES);
  const clock = new VirtualClock();
  const budget = { fetchWaitMs: () => 0, spent: () => undefined };
  const all = new ArtifactDownloads({
    ...{ clock, log: LOG, sources: [source], files, budget },
    alone: () => false,
    needed: () => new Set(),
  });
  t.teardown(() => all.stop());
  return { all, files, storage, source };
}

test('what was fetched is not removed before whoever asked for it has it', async (t) => {
  let busy = false;
  const { all, files, storage } = await downloads(t, 60_000, async (there) => {
    // Another fetch wants the room just then.
    if (busy) return;
    busy = true;
    await there.makeRoom(40_000, new Set()).catch(() => undefined);
  });
  const [one, other] = await Promise.all([
    all.get(artifact('http://h/one'), never),
    all.get(artifact('http://h/one'), never),
  ]);
  t.is(one, other);
  t.true(files.index.has(one));
  t.is((await storage.read(one))?.length, BYTES.length);
  // Both have it in use; once neither has, it makes room.
  files.unuse(one);
  await files.makeRoom(40_000, new Set());
  t.true(files.index.has(one));
  files.unuse(one);
  await files.makeRoom(40_000, new Set());
  t.false(files.index.has(one));
});

test('nor what is there already, while its source is asked whether it is still the same', async (t) => {
  const { all, files, source } = await downloads(t, 60_000, () => Promise.resolve());
  const kept = artifact('http://h/one', { cache: true });
  const name = await all.get(kept, never);
  files.unuse(name);
  const again = all.get(kept, never);
  t.is(await again, name);
  t.is(source.readings.length, 2);
  await files.makeRoom(40_000, new Set());
  t.true(files.index.has(name));
});

test('where nobody waits any more it is in nobody’s use', async (t) => {
  const leaving = new AbortController();
  const { all, files } = await downloads(t, 60_000, () => {
    leaving.abort();
    return Promise.resolve();
  });
  await t.throwsAsync(all.get(artifact('http://h/one'), leaving.signal));
  for (let turns = 0; turns < TURNS; turns++) await new Promise(setImmediate);
  await files.makeRoom(40_000, new Set());
  t.deepEqual(files.index.files, []);
});

test('what somebody has come to use while others made room before it stays', async (t) => {
  const kept = (uri: string) => artifact(uri, { cache: true });
  let [first, got] = ['', ''];
  const { all, files, storage, source } = await downloads(
    t,
    120_000,
    () => Promise.resolve(),
    async (path) => {
      if (path === first) got = await all.get(kept('http://h/two'), never);
    },
  );
  source.put('http://h/two', sampleBytes(50_001));
  first = await all.get(kept('http://h/one'), never);
  const second = await all.get(kept('http://h/two'), never);
  for (const name of [first, second]) files.unuse(name);
  await files.makeRoom(110_000, new Set()).catch(() => undefined);
  t.is(got, second);
  t.deepEqual([files.index.has(first), files.index.has(second)], [false, true]);
  t.is((await storage.read(second))?.length, 50_001);
});

test('what is fetched again while it is being removed is there afterwards', async (t) => {
  let first = '';
  let again: Promise<string> | undefined;
  const { all, files, storage } = await downloads(
    t,
    60_000,
    () => Promise.resolve(),
    async (path) => {
      if (path !== first) return;
      again = all.get(artifact('http://h/one'), never);
      for (let turns = 0; turns < TURNS; turns++) await new Promise(setImmediate);
    },
  );
  first = await all.get(artifact('http://h/one'), never);
  files.index.take('run', 0, first, false);
  files.unuse(first);
  await files.release('run');
  t.is(await again, first);
  t.true(files.index.has(first));
  t.is((await storage.read(first))?.length, BYTES.length);
});
