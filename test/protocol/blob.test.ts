import test from 'ava';
import fc from 'fast-check';
import { systemDigest } from '../../io/node/digest.ts';
import { type Block, blobOf, blobUri, manifestOf, readList, readRoot } from '../../protocol/blob.ts';
import { encode } from '../../protocol/envelope.ts';
import { Fault } from '../../protocol/faults.ts';
import { LIMITS } from '../../protocol/limits.ts';

const { sha256 } = systemDigest;
const hash = fc.nat(5_000).map((seed) => sha256(Uint8Array.of(seed & 255, seed >> 8)));
const blocks = fc.array(fc.record({ hash, size: fc.integer({ min: 1, max: LIMITS.chunkBytes }) }), {
  maxLength: 1_000,
});

function listed(manifest: { root: Uint8Array; lists: readonly Uint8Array[] }): Block[] | Fault {
  const root = readRoot(manifest.root);
  if (root instanceof Fault) return root;
  const all: Block[] = [];
  for (const [at, bytes] of manifest.lists.entries()) {
    const known = root.lists[at];
    if (known === undefined || sha256(bytes) !== known.hash)
      return new Fault('BAD_SHAPE', 'the root names other lists');
    const list = readList(bytes, known.size);
    if (list instanceof Fault) return list;
    all.push(...list);
  }
  return all;
}

test('what is listed is read back, every list verified by the root, and each piece fits into a block', (t) => {
  fc.assert(
    fc.property(blocks, (content) => {
      const manifest = manifestOf(content, sha256);
      if (manifest instanceof Fault) return false;
      t.deepEqual(listed(manifest), content);
      t.is(
        manifest.size,
        content.reduce((all, { size }) => all + size, 0),
      );
      t.is(manifest.blob, sha256(manifest.root));
      return [manifest.root, ...manifest.lists].every(({ length }) => length > 0 && length <= LIMITS.chunkBytes);
    }),
    { numRuns: 50 },
  );
});

test('the largest upload in the smallest of its usual pieces fits, one byte more does not', (t) => {
  const full = Array.from({ length: LIMITS.uploadBytes / LIMITS.chunkBytes }, () => ({
    hash: 'f'.repeat(64),
    size: LIMITS.chunkBytes,
  }));
  const manifest = manifestOf(full, sha256);
  if (manifest instanceof Fault) return t.fail(manifest.message);
  t.true(manifest.root.length <= LIMITS.chunkBytes);
  t.deepEqual(readRoot(manifest.root), {
    size: LIMITS.uploadBytes,
    lists: manifest.lists
      .map((list) => ({ hash: sha256(list), size: LIMITS.blocksPerList * LIMITS.chunkBytes }))
      .map((entry, at) =>
        at === manifest.lists.length - 1
          ? { ...entry, size: (full.length % LIMITS.blocksPerList) * LIMITS.chunkBytes }
          : entry,
      ),
  });
  const more = manifestOf([...full, { hash: 'f'.repeat(64), size: 1 }], sha256);
  t.true(more instanceof Fault && more.code === 'TOO_LARGE');
});

test('what does not add up, or is something else, is refused', (t) => {
  const h = 'a'.repeat(64);
  for (const root of [
    { size: 2, lists: [[h, 1]] },
    { size: 0, lists: [[h, 1]] },
    { size: 0 },
    [],
    { size: -1, lists: [] },
  ])
    t.true(readRoot(encode(root, 'cbor')) instanceof Fault, JSON.stringify(root));
  for (const list of [
    [[h, 1]],
    [
      [h, 0],
      [h, 2],
    ],
    [[h, 40_000]],
    [['x', 2]],
    {},
  ])
    t.true(readList(encode(list, 'cbor'), 2) instanceof Fault, JSON.stringify(list));
  fc.assert(fc.property(fc.uint8Array(), (bytes) => readRoot(bytes) instanceof Fault || bytes.length > 6));
});

test('a blob has one URI', (t) => {
  const blob = 'ab'.repeat(32);
  t.is(blobOf(blobUri(blob)), blob);
  t.is(blobOf('https://host/blob:x'), undefined);
});
