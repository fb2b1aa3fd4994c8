import test from 'ava';
import fc from 'fast-check';
import { type Bounds, type Collectable, collect, type PlannedBlock } from '../../master/blobs/collect.ts';
import { isHeldByMost } from '../../master/blobs/majority.ts';
import { namedBlobs } from '../../master/blobs/named-blobs.ts';

const name = fc.constantFrom(...'abcdefghij');
const scene = fc
  .record({
    blobs: fc.uniqueArray(
      fc.record({
        blob: name,
        owner: fc.constantFrom('ann', 'bob'),
        room: fc.nat(1_000),
        usedMs: fc.nat(1_000),
        named: fc.boolean(),
        blocks: fc.array(fc.constantFrom(...'0123456789'), { minLength: 1 }),
      }),
      { selector: ({ blob }) => blob },
    ),
    loose: fc.array(fc.tuple(fc.constantFrom(...'xyz'), fc.record({ room: fc.nat(500), agedMs: fc.nat(1_000) }))),
    bounds: fc.record({
      nowMs: fc.constant(1_000),
      ageMs: fc.nat(1_000),
      freshMs: fc.nat(200),
      looseMs: fc.nat(1_000),
      capBytes: fc.nat(2_000),
      ownerBytes: fc.nat(3_000),
      room: fc.nat(500),
      unwanted: fc.constant(new Set<string>()),
    }),
  })
  .map(({ blobs, loose, bounds }): [Collectable[], Map<string, PlannedBlock>, Bounds] => {
    const blocks = new Map<string, PlannedBlock>(loose);
    for (const blob of blobs) for (const hash of blob.blocks) blocks.set(hash, { room: 100, agedMs: 500 });
    return [blobs, blocks, bounds];
  });

test('no blob that stays loses a block, and none that is named or fresh goes', (t) => {
  fc.assert(
    fc.property(scene, ([blobs, blocks, bounds]) => {
      const { forget, remove } = collect(blobs, blocks, bounds);
      const gone = new Set(remove);
      t.is(gone.size, remove.length);
      for (const { blob, blocks: own, named, usedMs } of blobs) {
        const goes = forget.includes(blob);
        if (!goes)
          t.false(
            own.some((hash) => gone.has(hash)),
            `${blob} has holes`,
          );
        if (named || bounds.nowMs - usedMs <= bounds.freshMs) t.false(goes, blob);
        else if (bounds.nowMs - usedMs > bounds.ageMs) t.true(goes, `${blob} is old`);
      }
    }),
  );
});

test('it goes under the caps where anything may go, and takes no more than that', (t) => {
  fc.assert(
    fc.property(scene, ([blobs, blocks, bounds]) => {
      const { forget, remove } = collect(blobs, blocks, bounds);
      const kept = blobs.filter(({ blob }) => !forget.includes(blob));
      const mayGo = kept.filter(({ named, usedMs }) => !named && bounds.nowMs - usedMs > bounds.freshMs);
      let bytes = bounds.room;
      for (const [hash, { room }] of blocks) if (!remove.includes(hash)) bytes += room;
      if (mayGo.length > 0) t.true(bytes <= bounds.capBytes);
      for (const owner of ['ann', 'bob']) {
        const owned = kept.filter((blob) => blob.owner === owner).reduce((all, { room }) => all + room, 0);
        if (mayGo.some((blob) => blob.owner === owner)) t.true(owned <= bounds.ownerBytes);
      }
      const roomy = { ...bounds, capBytes: 1e9, ownerBytes: 1e9, ageMs: 1e9, looseMs: 1e9 };
      t.deepEqual(collect(blobs, blocks, roomy), { forget: [], remove: [] });
    }),
  );
});

test('what was used longest ago goes first', (t) => {
  const blob = (id: string, usedMs: number): Collectable => ({
    ...{ blob: id, owner: 'ann', room: 10, usedMs, named: false, blocks: [id, 'shared'] },
  });
  const blocks = new Map(['a', 'b', 'c', 'shared'].map((hash) => [hash, { room: 10, agedMs: 0 }]));
  const times = { nowMs: 1_000, ageMs: 1_000, freshMs: 0, looseMs: 0 };
  const bounds = { ...times, capBytes: 30, ownerBytes: 1_000, room: 5, unwanted: new Set<string>() };
  t.deepEqual(collect([blob('a', 30), blob('b', 10), blob('c', 20)], blocks, bounds), {
    forget: ['b', 'c'],
    remove: ['b', 'c'],
  });
});

test('what is fresh goes for another, where its owner has too much, and no further than their share', (t) => {
  const blob = (id: string, owner: string, usedMs: number, named = false): Collectable => ({
    ...{ blob: id, owner, room: 10, usedMs, named, blocks: [id] },
  });
  const blobs = [blob('a', 'ann', 990), blob('b', 'ann', 980), blob('c', 'ann', 970, true), blob('d', 'eve', 960)];
  const blocks = new Map([...'abcdl'].map((hash) => [hash, { room: 10, agedMs: 0 }]));
  const bounds = {
    nowMs: 1_000,
    ageMs: 9_000,
    freshMs: 100,
    looseMs: 9_000,
    capBytes: 50,
    unwanted: new Set<string>(),
  };
  const forgotten = (owner: string, room: number, ownerBytes: number, loose = 0): readonly string[] => {
    const claim = { owner, loose: new Map([['ann', loose]]) };
    return collect(blobs, blocks, { ...bounds, room, ownerBytes, claim }).forget;
  };
  t.deepEqual(forgotten('bob', 10, 20), ['b'], 'used least lately of what is unnamed, as far as it is needed');
  t.deepEqual(forgotten('bob', 40, 20), ['b'], 'then they are at their share');
  t.deepEqual(forgotten('bob', 10, 30), [], 'not above it');
  t.deepEqual(forgotten('bob', 10, 30, 10), ['b'], 'with what they have not completed, they are');
  t.deepEqual(forgotten('ann', 10, 20), [], 'the job that needs it is on its way');
  t.deepEqual(forgotten('bob', 0, 20), [], 'nobody needs it');
});

test('what an owner has brought in and not completed goes where it is too much, but not what a blob has, nor a moment ago', (t) => {
  const blob: Collectable = { blob: 'a', owner: 'ann', room: 20, usedMs: 900, named: true, blocks: ['a', 'used'] };
  const aged = { a: 500, used: 500, old: 500, young: 50, others: 500 };
  const blocks = new Map(Object.entries(aged).map(([hash, agedMs]) => [hash, { room: 10, agedMs }]));
  const times = { nowMs: 1_000, ageMs: 1_000, freshMs: 100, looseMs: 1_000 };
  const unwanted = new Set(['used', 'old', 'young']);
  const bounds = { ...times, capBytes: 1_000, ownerBytes: 1_000, room: 0, unwanted };
  t.deepEqual(collect([blob], blocks, bounds), { forget: [], remove: ['old'] });
});

test('most of the voters, of whoever else', (t) => {
  const held = (...holders: string[]): boolean => isHeldByMost(['a', 'b', 'c'], new Set(holders));
  t.deepEqual([held('a'), held('a', 'b'), held('a', 'x', 'y'), held('b', 'c', 'x')], [false, true, false, true]);
  t.true(isHeldByMost(['a'], new Set(['a'])));
  t.false(isHeldByMost(['a', 'b'], new Set(['a'])));
});

test('a blob is named by a live task, or by what a framework has written down', (t) => {
  const [one, two, three] = ['1', '2', '3'].map((digit) => digit.repeat(64));
  const tasks = [{ info: { artifacts: [{ uri: `blob:${one}` }, { uri: 'https://host/x' }] } }, { info: {} }];
  const store = [{ value: `{"artifacts":[{"uri":"blob:${two}"},{"uri":"blob:${three}"}]}` }, { value: 'blob:12' }];
  t.deepEqual([...namedBlobs(tasks, store)], [one, two, three]);
});
