import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { openBlobStore } from '../../io/blob-store.ts';
import { systemClock } from '../../io/node/clock.ts';
import { systemDigest } from '../../io/node/digest.ts';
import { fileStorage } from '../../io/node/storage.ts';
import type { Storage } from '../../io/storage.ts';
import { BLOB_STORE_CHECKS } from '../conformance/blob-store.ts';
import { SeededRandom } from '../sim/random.ts';
import { SimulatedDisk } from '../sim/storage.ts';

function openOn(storage: Storage, damaged: string[] = []) {
  const onCorrupt = (hash: string): void => void damaged.push(hash);
  return openBlobStore({ storage, digest: systemDigest, clock: systemClock, folder: 'blobs', onCorrupt });
}

function spoiled(content: Uint8Array): Uint8Array {
  const copy = new Uint8Array(content);
  copy[0] = (copy[0] ?? 0) ^ 1;
  return copy;
}

const BLOCK = /^blobs\/[0-9a-f]\/[0-9a-f]{64}-\d+$/;

for (const [name, check] of Object.entries(BLOB_STORE_CHECKS)) {
  test(`real disk: ${name}`, async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'mesquite-blobs-'));
    t.teardown(() => rm(folder, { recursive: true, force: true }));
    const damaged: string[] = [];
    await check(t, {
      open: () => openOn(fileStorage(folder), damaged),
      damaged,
      spoil: async () => {
        for (const path of await readdir(folder, { recursive: true }))
          if (BLOCK.test(path)) await writeFile(join(folder, path), spoiled(await readFile(join(folder, path))));
      },
    });
  });

  test(`simulated disk, with a power cut at each start: ${name}`, async (t) => {
    const disk = new SimulatedDisk();
    const random = new SeededRandom(7);
    const damaged: string[] = [];
    await check(t, {
      open: () => {
        disk.crash(random);
        return openOn(disk.storage(), damaged);
      },
      damaged,
      spoil: () => {
        for (const path of disk.paths())
          if (BLOCK.test(path)) disk.poke(path, spoiled(disk.peek(path) ?? new Uint8Array()));
        return Promise.resolve();
      },
    });
  });
}

test('a full disk refuses a block, and spoils nothing', async (t) => {
  const disk = new SimulatedDisk();
  const store = await openOn(disk.storage());
  const hash = await store.write(new Uint8Array(1_000));
  disk.capacity = 1_500;
  await t.throwsAsync(store.write(new Uint8Array(1_001)), { message: /ENOSPC/ });
  t.is(store.bytes, 1_000);
  t.is((await store.read(hash))?.length, 1_000);
  disk.capacity = 10_000;
  t.is((await store.read(await store.write(new Uint8Array(1_001))))?.length, 1_001);
});

test('a short block takes the room of a file', async (t) => {
  const disk = new SimulatedDisk();
  const open = () =>
    openBlobStore({
      ...{ storage: disk.storage(), digest: systemDigest, clock: systemClock, folder: 'blobs', leastBytes: 4_096 },
      onCorrupt: () => undefined,
    });
  const store = await open();
  await store.write(new Uint8Array(1));
  const long = await store.write(new Uint8Array(5_000));
  t.is(store.bytes, 4_096 + 5_000);
  t.is((await open()).bytes, 4_096 + 5_000);
  await store.remove(long);
  t.is(store.bytes, 4_096);
});
