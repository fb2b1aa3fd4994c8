import test from 'ava';
import fc from 'fast-check';
import { ImageKeeper } from '../../agent/image-keeper.ts';
import { type FetchedImage, imagesToRemove, registryOf } from '../../agent/images/images-to-remove.ts';
import { SimulatedDisk } from '../sim/storage.ts';

const SILENT = { debug: ignore, info: ignore, warn: ignore, error: ignore };
const LOCAL = 'registry.local:5000';

test('the least recently fetched go first, as many as it takes, and none that a task needs', (t) => {
  const images = ['a', 'b', 'c', 'd'].map((name) => ({ image: `${LOCAL}/${name}:1`, bytes: 10 }));
  const go = (mostBytes: number, ...needed: string[]): string[] =>
    imagesToRemove(images, `${LOCAL}/d:1`, new Set(needed), mostBytes);
  t.deepEqual(go(40), []);
  t.deepEqual(go(39), [`${LOCAL}/a:1`]);
  t.deepEqual(go(25, `${LOCAL}/a:1`), [`${LOCAL}/b:1`, `${LOCAL}/c:1`]);
  t.deepEqual(go(0), [`${LOCAL}/a:1`, `${LOCAL}/b:1`, `${LOCAL}/c:1`], 'and not the one that came');
});

test('an image of a registry that may be out of reach stays', (t) => {
  const images = ['busybox', 'docker.io/library/redis', 'ghcr.io/x/y', 'localhost/z', `${LOCAL}/a`].map((image) => ({
    image,
    bytes: 10,
  }));
  t.deepEqual(imagesToRemove([...images, { image: 'nginx:1', bytes: 10 }], 'nginx:1', new Set(), 0), [
    'busybox',
    'docker.io/library/redis',
  ]);
  t.is(registryOf('library/redis'), 'docker.io');
});

test('whatever was fetched: what goes was fetched, is not needed, is of the same registry, and no more goes than must', (t) => {
  const name = fc.constantFrom('a', 'b', 'ghcr.io/c', 'ghcr.io/d', 'localhost/e', 'x/f');
  fc.assert(
    fc.property(
      fc.array(fc.record({ image: name, bytes: fc.nat(100) })),
      name,
      fc.array(name),
      fc.nat(300),
      (many, fetched, needs, most) => {
        const images: FetchedImage[] = [
          ...new Map([...many, { image: fetched, bytes: 7 }].map((each) => [each.image, each])).values(),
        ];
        const needed = new Set<string>(needs);
        const gone = imagesToRemove(images, fetched, needed, most);
        for (const image of gone)
          if (image === fetched || needed.has(image) || registryOf(image) !== registryOf(fetched)) return false;
        const left = (but: readonly string[]): number =>
          images.filter(({ image }) => !but.includes(image)).reduce((sum, { bytes }) => sum + bytes, 0);
        return gone.length === 0 || left(gone.slice(0, -1)) > most;
      },
    ),
  );
  t.pass();
});

test('an image stays under whatever name a run needs it', (t) => {
  const held = ['alpine', 'docker.io/library/alpine', 'ghcr.io:443/a/b', 'redis:7'];
  const images = ['alpine:latest', 'ghcr.io:443/a/b:latest', 'docker.io/redis:7', 'old'].map((image) => ({
    image,
    bytes: 1,
  }));
  t.deepEqual(imagesToRemove([...images, { image: 'new', bytes: 1 }], 'new', new Set(held), 0), ['old']);
  t.deepEqual(imagesToRemove([...images, { image: 'ghcr.io:443/x', bytes: 1 }], 'ghcr.io:443/x', new Set(), 0), [
    'ghcr.io:443/a/b:latest',
  ]);
  t.deepEqual(imagesToRemove(images.slice(0, 1), 'alpine', new Set(), 0), []);
});

test('what was fetched is remembered, what a container holds on to is asked about again, and what was here before is left alone', async (t) => {
  const disk = new SimulatedDisk();
  const there = new Map([['here:1', 50]]);
  const held = new Set<string>();
  let pulled: (image: string) => void = ignore;
  const keep = (needed: readonly string[] = []): ImageKeeper =>
    new ImageKeeper({
      engine: {
        image: (image) => Promise.resolve(there.has(image) ? { id: image, bytes: there.get(image) ?? 0 } : undefined),
        removeImage: (image) => Promise.resolve(!held.has(image) && there.delete(image)),
      },
      mostBytes: 100,
      launcher: { onPulled: (listener) => (pulled = listener) },
      storage: disk.storage(),
      log: SILENT,
      needed: () => new Set(needed),
    });
  const pull = async (keeper: ImageKeeper, image: string): Promise<void> => {
    there.set(image, 50);
    pulled(image);
    await keeper.idle();
  };
  const first = keep();
  for (const image of ['one:1', 'two:1']) await pull(first, image);
  held.add('one:1');
  await pull(first, 'three:1');
  t.deepEqual([...there.keys()], ['here:1', 'one:1', 'three:1']);
  held.clear();
  const second = keep(['three:1']);
  await pull(second, 'four:1');
  t.deepEqual([...there.keys()], ['here:1', 'three:1', 'four:1']);
  disk.poke('images.json', new Uint8Array([0xff, 1, 2]));
  await pull(keep(), 'five:1');
  t.deepEqual([...there.keys()], ['here:1', 'three:1', 'four:1', 'five:1'], 'of a damaged list nothing goes');
});

function ignore(): void {}
