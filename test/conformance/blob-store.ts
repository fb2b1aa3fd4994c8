import type { ExecutionContext } from 'ava';
import type { BlobStore } from '../../io/blob-store.ts';
import { systemDigest } from '../../io/node/digest.ts';

/** One empty store. */
export interface BlobStoreHarness {
  /** As one run of a process sees it; each call is the next run, the one before having died. */
  open(): Promise<BlobStore>;
  /** Spoils what is on the disk, all blocks of it, by one bit each. */
  spoil(): Promise<void>;
  /** Hashes of which the store has said that they are damaged. */
  readonly damaged: readonly string[];
}

type Check = (t: ExecutionContext, harness: BlobStoreHarness) => Promise<void>;

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (content: Uint8Array | undefined): string | undefined =>
  content === undefined ? undefined : new TextDecoder().decode(content);

/** What every {@link BlobStore} promises. */
export const BLOB_STORE_CHECKS: Readonly<Record<string, Check>> = {
  'a block is found under its hash, also by the next run': async (t, { open }) => {
    const store = await open();
    const hash = await store.write(bytes('some bytes'));
    t.is(hash, systemDigest.sha256(bytes('some bytes')));
    t.is(text(await store.read(hash)), 'some bytes');
    t.is(store.blocks.get(hash)?.size, 10);
    const next = await open();
    t.is(text(await next.read(hash)), 'some bytes');
    t.is(next.bytes, 10);
    t.deepEqual([...next.blocks.keys()], [hash]);
  },

  'what was never written is undefined': async (t, { open, damaged }) => {
    const store = await open();
    t.is(await store.read('0'.repeat(64)), undefined);
    await store.remove('0'.repeat(64));
    t.is(store.bytes, 0);
    t.deepEqual(damaged, []);
  },

  'the same block is there once, whoever writes it, and however often at once': async (t, { open }) => {
    const store = await open();
    const hashes = await Promise.all(Array.from({ length: 20 }, (_, at) => store.write(bytes(`block ${at % 4}`))));
    t.is(new Set(hashes).size, 4);
    t.is(store.bytes, 28);
    t.is((await open()).blocks.size, 4);
  },

  'removed is removed, for the next run too': async (t, { open }) => {
    const store = await open();
    const [one, two] = [await store.write(bytes('one')), await store.write(bytes('twoo'))];
    await store.remove(one);
    t.is(await store.read(one), undefined);
    t.is(store.bytes, 4);
    const next = await open();
    t.deepEqual([...next.blocks.keys()], [two]);
    t.is(await next.write(bytes('one')), one);
    t.is(text(await next.read(one)), 'one');
  },

  'a damaged block is as if it had never been there, is told of once, and can be written again': async (t, harness) => {
    const store = await harness.open();
    const hash = await store.write(bytes('precious'));
    await harness.spoil();
    t.is(await store.read(hash), undefined);
    t.false(store.blocks.has(hash));
    t.is(store.bytes, 0);
    t.is(await store.read(hash), undefined);
    t.deepEqual(harness.damaged, [hash]);
    await store.write(bytes('precious'));
    t.is(text(await store.read(hash)), 'precious');
    t.is(text(await (await harness.open()).read(hash)), 'precious');
  },

  'damage that happened while nobody ran is seen as well': async (t, harness) => {
    const hash = await (await harness.open()).write(bytes('precious'));
    await harness.spoil();
    const next = await harness.open();
    t.is(await next.read(hash), undefined);
    t.deepEqual(harness.damaged, [hash]);
    const last = await harness.open();
    t.is(last.blocks.size, 0);
  },

  'notes of blobs are kept, replaced and forgotten': async (t, { open }) => {
    const store = await open();
    const blob = 'ab'.repeat(32);
    await store.keep(blob, { owner: 'ann', size: 5, room: 5, usedMs: 1 });
    await store.keep(blob, { owner: 'ann', size: 5, room: 5, usedMs: 2 });
    t.deepEqual([...(await open()).kept], [[blob, { owner: 'ann', size: 5, room: 5, usedMs: 2 }]]);
    const next = await open();
    await next.forget(blob);
    t.is(next.kept.size, 0);
    t.is((await open()).kept.size, 0);
  },
};
