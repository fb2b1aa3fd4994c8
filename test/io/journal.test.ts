import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { type OpenedJournal, openJournal } from '../../io/journal.ts';
import { FRAME_BYTES, HEADER_BYTES, RECORD_BYTES } from '../../io/journal-format.ts';
import type { JournalRefusal } from '../../io/journal-refusal.ts';
import { fileStorage } from '../../io/node/storage.ts';
import { type Storage, StorageError } from '../../io/storage.ts';
import { SeededRandom } from '../sim/random.ts';
import { SimulatedDisk } from '../sim/storage.ts';

const FOLDER = 'log';
const FIRST = `${FOLDER}/0000000000000000.segment`;
const OPTIONS = { segmentBytes: 1_024 };

async function open(storage: Storage, segmentBytes = OPTIONS.segmentBytes): Promise<OpenedJournal> {
  const opened = await openJournal(storage, FOLDER, { segmentBytes });
  if ('refused' in opened) throw new Error(opened.message);
  return opened;
}

async function refusal(disk: SimulatedDisk): Promise<JournalRefusal> {
  const before = contents(disk);
  const opened = await openJournal(disk.storage(), FOLDER, OPTIONS);
  if (!('refused' in opened)) throw new Error('it opened');
  if (JSON.stringify(contents(disk)) !== JSON.stringify(before)) throw new Error('a refusal changed the disk');
  return opened;
}

const contents = (disk: SimulatedDisk) => disk.paths().map((path) => [path, String(disk.peek(path))]);
const bytes = (content: string): Uint8Array => new TextEncoder().encode(content);
const text = (content: Uint8Array): string => new TextDecoder().decode(content);
const texts = ({ recovered }: OpenedJournal): string[] => recovered.records.map((record) => text(record.bytes));
/** A record of `length` bytes that tells which it is. */
const record = (number: number, length: number): Uint8Array => bytes(`${number};`.padEnd(length, String(number)));

/** A journal of `count` records of 100 bytes, each a write of its own. */
async function filled(count: number): Promise<SimulatedDisk> {
  const disk = new SimulatedDisk();
  const { journal } = await open(disk.storage());
  for (let number = 0; number < count; number++) await journal.append(record(number, 100)).durable;
  await journal.close();
  return disk;
}

function flip(disk: SimulatedDisk, path: string, position: number): void {
  const content = disk.peek(path) ?? new Uint8Array();
  content[position] = (content[position] ?? 0) ^ 0x10;
  disk.poke(path, content);
}

test('records come back in order, with their ordinals, across segments', async (t) => {
  const disk = new SimulatedDisk();
  const first = await open(disk.storage());
  t.deepEqual(first.recovered, { snapshot: undefined, snapshotOrdinal: 0, records: [], tornBytes: 0 });
  t.is(first.journal.append(record(0, 500)).ordinal, 0);
  const pair = first.journal.append([record(1, 700), record(2, 3)]);
  t.is(pair.ordinal, 1);
  await pair.durable;
  await first.journal.close();

  const second = await open(disk.storage());
  t.deepEqual(second.recovered.records, [
    { ordinal: 0, bytes: record(0, 500) },
    { ordinal: 1, bytes: record(1, 700) },
    { ordinal: 2, bytes: record(2, 3) },
  ]);
  t.is(second.journal.next, 3);
  t.is(second.journal.bytes, 1_203 + 3 * FRAME_BYTES);
  await second.journal.append(record(3, 10)).durable;
  await second.journal.close();
  t.is(texts(await open(disk.storage())).length, 4);
});

test('what is appended while a sync is under way shares the next write and sync', async (t) => {
  const disk = new SimulatedDisk();
  const { journal } = await open(disk.storage(), 65_536);
  await journal.append(bytes('begin')).durable;
  const before = disk.steps;
  const first = journal.append(bytes('alone'));
  await Promise.resolve();
  await Promise.resolve();
  const others = Array.from({ length: 100 }, (_, index) => journal.append(record(index, 20)).durable);
  await first.durable;
  await Promise.all(others);
  t.is(disk.steps - before, 4, 'two writes, two syncs');
});

test('an open journal that nobody appends to writes nothing', async (t) => {
  const disk = await filled(20);
  const before = contents(disk);
  const { journal } = await open(disk.storage());
  await journal.append([]).durable;
  await journal.close();
  t.deepEqual(contents(disk), before);
  const fresh = new SimulatedDisk();
  await (await open(fresh.storage())).journal.close();
  t.deepEqual(fresh.paths(), []);
});

test('segments are zero-filled ahead, and appending does not grow them', async (t) => {
  const disk = new SimulatedDisk();
  const { journal } = await open(disk.storage());
  await journal.append(record(0, 100)).durable;
  t.is(disk.peek(FIRST)?.length, OPTIONS.segmentBytes);
  t.deepEqual(disk.paths(), [FIRST], 'no spare before it is half full');
  await journal.append(record(1, 500)).durable;
  await journal.close();
  t.deepEqual(disk.paths(), [FIRST, `${FOLDER}/spare-segment`]);
  t.deepEqual(disk.peek(`${FOLDER}/spare-segment`), new Uint8Array(OPTIONS.segmentBytes));
});

test('a record larger than a segment gets one of its own; over 1 MiB or empty it is our bug', async (t) => {
  const disk = new SimulatedDisk();
  const { journal } = await open(disk.storage());
  const large = new Uint8Array(RECORD_BYTES).fill(1);
  await journal.append([record(0, 10), large, record(2, 10)]).durable;
  t.throws(() => journal.append(new Uint8Array(RECORD_BYTES + 1)), { instanceOf: RangeError });
  t.throws(() => journal.append(new Uint8Array()), { instanceOf: RangeError });
  await journal.close();
  const { recovered } = await open(disk.storage());
  t.deepEqual(recovered.records[1]?.bytes, large);
  t.is(recovered.records.length, 3);
});

test('a snapshot takes the place of the records below it', async (t) => {
  const disk = await filled(30);
  const first = await open(disk.storage());
  t.true(disk.paths().length > 4);
  await first.journal.compact([bytes('slice 1'), bytes('slice 2')], 20);
  t.is(first.journal.bytes, 0);
  await first.journal.append(record(30, 100)).durable;
  await first.journal.close();

  const second = await open(disk.storage());
  t.deepEqual(second.recovered.snapshot?.map(text), ['slice 1', 'slice 2']);
  t.is(second.recovered.snapshotOrdinal, 20);
  t.deepEqual(
    second.recovered.records.map(({ ordinal }) => ordinal),
    Array.from({ length: 11 }, (_, index) => 20 + index),
  );
  await second.journal.compact(
    (async function* () {
      yield* [bytes('next')];
    })(),
    31,
  );
  await second.journal.compact([], 31);
  await second.journal.close();
  const third = await open(disk.storage());
  t.deepEqual(third.recovered.snapshot, []);
  t.deepEqual(third.recovered.records, []);
  t.is(third.journal.next, 31);
  t.is(disk.paths().filter((path) => path.endsWith('.snapshot')).length, 1);
  t.is(disk.paths().filter((path) => path.endsWith('.segment')).length, 1);
});

test('a compaction that fails leaves the journal as it was, and working', async (t) => {
  const disk = await filled(10);
  const { journal } = await open(disk.storage());
  await t.throwsAsync(
    journal.compact(
      (function* () {
        yield bytes('half');
        throw new Error('cannot go on');
      })(),
      10,
    ),
    { message: 'cannot go on' },
  );
  disk.capacity = 0;
  await t.throwsAsync(journal.compact([new Uint8Array(1_000)], 10), { instanceOf: StorageError, code: 'ENOSPC' });
  disk.capacity = Number.POSITIVE_INFINITY;
  await t.throwsAsync(journal.compact([], 11), { message: /broken invariant/ });
  await journal.append(record(10, 100)).durable;
  await journal.close();
  t.is(texts(await open(disk.storage())).length, 11);
  t.deepEqual(
    disk.paths().filter((path) => path.includes('snapshot')),
    [],
  );
});

test('appending goes on while a snapshot is written', async (t) => {
  const disk = await filled(10);
  const { journal } = await open(disk.storage());
  async function* slices() {
    for (let slice = 0; slice < 5; slice++) {
      await journal.append(record(10 + slice, 100)).durable;
      yield bytes(`slice ${slice}`);
    }
  }
  await journal.compact(slices(), 10);
  t.is(journal.bytes, 5 * (100 + FRAME_BYTES));
  await journal.close();
  const { recovered } = await open(disk.storage());
  t.is(recovered.snapshot?.length, 5);
  t.is(recovered.records.length, 5);
});

test('a failed write or sync ends the journal with one error for all', async (t) => {
  for (const fault of ['EIO', 'ENOSPC']) {
    const disk = new SimulatedDisk();
    const { journal } = await open(disk.storage());
    await journal.append(record(0, 400)).durable;
    if (fault === 'EIO') disk.failingSyncs = 1;
    else disk.capacity = 1_500;
    const first = journal.append(record(1, 600)).durable;
    const second = journal.append(record(2, 600)).durable;
    const error = await t.throwsAsync(first, { instanceOf: StorageError, code: fault });
    t.is(await second.catch((reason: unknown) => reason), error);
    t.is(await journal.append(record(3, 10)).durable.catch((reason: unknown) => reason), error);
    t.is(await journal.compact([], 1).catch((reason: unknown) => reason), error);
    await journal.close();
  }
});

test('after close an append rejects', async (t) => {
  const { journal } = await open(new SimulatedDisk().storage());
  const pending = journal.append(bytes('pending')).durable;
  await journal.close();
  await pending;
  await t.throwsAsync(journal.append(bytes('late')).durable, { message: 'the journal is closed' });
});

test('a torn last write is cut and wiped, even where later sectors of it arrived', async (t) => {
  const disk = await filled(3);
  const { journal } = await open(disk.storage());
  await journal.append([record(3, 50), record(4, 50), record(5, 50)]).durable;
  await journal.close();
  const second = HEADER_BYTES + 3 * (100 + FRAME_BYTES) + 50 + FRAME_BYTES;
  flip(disk, FIRST, second + 30);

  const opened = await open(disk.storage());
  t.is(opened.recovered.records.length, 4, 'record 4 is broken; 5 is whole but of the same write');
  t.is(opened.recovered.tornBytes, 2 * (50 + FRAME_BYTES));
  t.true(
    disk
      .peek(FIRST)
      ?.subarray(second)
      .every((byte) => byte === 0),
  );
  await opened.journal.append(record(104, 7)).durable;
  await opened.journal.close();
  t.deepEqual(texts(await open(disk.storage())).slice(4), [text(record(104, 7))]);
});

test('a damaged record with later writes after it is refused, with file and position', async (t) => {
  const frame = 100 + FRAME_BYTES;
  for (let position = 0; position < HEADER_BYTES + 4 * frame; position++) {
    const disk = await filled(5);
    flip(disk, FIRST, position);
    const { refused, path, position: told, message } = await refusal(disk);
    const begin = position < HEADER_BYTES ? 0 : HEADER_BYTES + Math.floor((position - HEADER_BYTES) / frame) * frame;
    t.deepEqual({ refused, path, told }, { refused: 'corrupt', path: FIRST, told: begin }, message);
  }
});

test('a lost sector that reads as zeros is damage, too', async (t) => {
  const disk = await filled(8);
  const content = disk.peek(FIRST) ?? new Uint8Array();
  disk.poke(FIRST, content.fill(0, 0, 512));
  t.is((await refusal(disk)).position, 0);
});

test('a damaged, missing, shortened or foreign segment before the last is refused', async (t) => {
  const segments = (await filled(30)).paths().filter((path) => path.endsWith('.segment'));
  const [first = '', second = '', third = ''] = segments;

  for (const path of [first, second, third]) {
    const missing = await filled(30);
    missing.lose(path);
    t.is((await refusal(missing)).refused, 'corrupt', `${path} is missing`);
  }
  const shortened = await filled(30);
  shortened.poke(second, (shortened.peek(second) ?? new Uint8Array()).subarray(0, 200));
  t.like(await refusal(shortened), { refused: 'corrupt', path: second });
  const header = await filled(30);
  flip(header, second, 3);
  t.like(await refusal(header), { refused: 'corrupt', path: second, position: 0 });
  const damagedTail = await filled(30);
  flip(damagedTail, first, 900);
  t.like(await refusal(damagedTail), { refused: 'corrupt', path: first });
  const foreign = await filled(30);
  foreign.poke(second, foreign.peek(third) ?? new Uint8Array());
  t.like(await refusal(foreign), { refused: 'corrupt', path: second });
  const overlapping = await filled(30);
  overlapping.poke(`${FOLDER}/0000000000000004.segment`, overlapping.peek(second) ?? new Uint8Array());
  t.is((await refusal(overlapping)).refused, 'corrupt');
});

test('a damaged snapshot is refused wherever the damage is', async (t) => {
  const disk = await filled(10);
  const { journal } = await open(disk.storage());
  await journal.compact([bytes('slice 1'), bytes('slice 2')], 10);
  await journal.close();
  const path = `${FOLDER}/0000000000000010.snapshot`;
  const whole = disk.peek(path) ?? new Uint8Array();
  for (let position = 0; position < whole.length; position++) {
    flip(disk, path, position);
    t.like(await refusal(disk), { refused: 'corrupt', path }, `byte ${position}`);
    disk.poke(path, whole.subarray(0, position));
    t.like(await refusal(disk), { refused: 'corrupt', path }, `cut at ${position}`);
    disk.poke(path, whole);
  }
  disk.lose(path);
  t.is((await refusal(disk)).message.includes('missing'), true, 'the records it stood for are gone');
});

test('a snapshot that reaches beyond the records is refused', async (t) => {
  const disk = await filled(10);
  const { journal } = await open(disk.storage());
  await journal.compact([], 10);
  await journal.close();
  const last =
    disk
      .paths()
      .filter((path) => path.endsWith('.segment'))
      .at(-1) ?? '';
  disk.poke(last, new Uint8Array(OPTIONS.segmentBytes));
  t.regex((await refusal(disk)).message, /the records end at \d, the snapshot reaches to 10/);
});

test('a format of a later version is refused in words', async (t) => {
  const disk = await filled(2);
  const content = disk.peek(FIRST) ?? new Uint8Array();
  const view = new DataView(content.buffer);
  view.setUint32(8, 2);
  const { crc32 } = disk.storage();
  view.setUint32(12, crc32(content.subarray(16, HEADER_BYTES), crc32(content.subarray(0, 12))));
  disk.poke(FIRST, content);
  t.like(await refusal(disk), {
    refused: 'newer-format',
    message: `${FIRST} has format 2; this version reads up to 1`,
  });
});

test('a record that holds the bytes of a journal does not confuse its recovery', async (t) => {
  const inner = (await filled(5)).peek(FIRST)?.subarray(0, 700) ?? new Uint8Array();
  const disk = new SimulatedDisk();
  const first = await open(disk.storage(), 4_096);
  await first.journal.append(inner).durable;
  await first.journal.close();
  const second = await open(disk.storage(), 4_096);
  t.deepEqual(second.recovered.records[0]?.bytes, inner);
  t.is(second.recovered.tornBytes, 0);
});

test('real disk: append, compact, reopen', async (t) => {
  const root = await mkdtemp(join(tmpdir(), 'mesquite-journal-'));
  t.teardown(() => rm(root, { recursive: true, force: true }));
  const first = await open(fileStorage(root), 65_536);
  const durable = Array.from({ length: 2_000 }, (_, index) => first.journal.append(record(index, 100)).durable);
  await Promise.all(durable);
  await first.journal.compact([bytes('state')], 1_500);
  await first.journal.close();
  const second = await open(fileStorage(root), 65_536);
  t.is(second.recovered.records.length, 500);
  t.deepEqual(second.recovered.records[499]?.bytes, record(1_999, 100));
  t.deepEqual(second.recovered.snapshot?.map(text), ['state']);
  await second.journal.close();
});

/** What a test knows of a journal that lives through power cuts. */
class Expectation {
  /** Every record that may be there; index = ordinal. */
  written: Uint8Array[] = [];
  acknowledged = 0;
  /** The newest snapshot that was acknowledged. */
  compacted = 0;
  #made = 0;

  next(length: number): Uint8Array {
    return record(this.#made++, length);
  }

  /** Recovery gives a prefix with all that was acknowledged; what it does not give has never been. */
  check(t: ExecutionContext, { recovered, journal }: OpenedJournal): void {
    const { snapshotOrdinal, records } = recovered;
    t.true(snapshotOrdinal >= this.compacted);
    t.deepEqual(recovered.snapshot?.map(text), snapshotOrdinal === 0 ? undefined : slicesOf(snapshotOrdinal).map(text));
    const end = snapshotOrdinal + records.length;
    t.is(journal.next, end);
    t.true(
      end >= this.acknowledged && end <= this.written.length,
      `${this.acknowledged} ≤ ${end} ≤ ${this.written.length}`,
    );
    for (const [index, found] of records.entries()) {
      t.is(found.ordinal, snapshotOrdinal + index);
      if (text(found.bytes) !== text(this.written[found.ordinal] ?? bytes('')))
        t.fail(`record ${found.ordinal} is another`);
    }
    this.written.length = end;
    this.acknowledged = end;
    this.compacted = snapshotOrdinal;
  }
}

const slicesOf = (upTo: number): Uint8Array[] => [bytes(`state at ${upTo}`), new Uint8Array(700).fill(upTo)];

type Step = { readonly append: readonly number[]; readonly wait: boolean } | 'compact';

/** Runs `steps` until done or until the power is cut. */
async function run(opened: OpenedJournal, steps: readonly Step[], expected: Expectation): Promise<void> {
  for (const step of steps) {
    if (step === 'compact') {
      const upTo = expected.acknowledged;
      if (upTo === 0) continue;
      await opened.journal.compact(slicesOf(upTo), upTo);
      expected.compacted = upTo;
      continue;
    }
    const records = step.append.map((length) => expected.next(length));
    const { ordinal, durable } = opened.journal.append(records);
    expected.written.splice(ordinal, records.length, ...records);
    const acknowledged = durable.then(() => {
      expected.acknowledged = Math.max(expected.acknowledged, ordinal + records.length);
    });
    if (step.wait) await acknowledged;
  }
  await opened.journal.close();
}

function untilPowerCut(disk: SimulatedDisk, after: number, work: () => Promise<void>): Promise<'done' | 'cut'> {
  const cut = new Promise<'cut'>((resolve) => {
    disk.crashAt = disk.steps + after;
    disk.onPowerCut = () => resolve('cut');
  });
  return Promise.race([cut, work().then(() => 'done' as const)]);
}

const steps = fc.array(
  fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({
        append: fc.array(fc.integer({ min: 1, max: 900 }), { maxLength: 6 }),
        wait: fc.boolean(),
      }),
    },
    { weight: 1, arbitrary: fc.constant('compact' as const) },
  ),
  { maxLength: 25 },
);

test('property: through power cuts all that was acknowledged stays, in order, and what stays is a prefix', async (t) => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ steps, cutAfter: fc.integer({ min: 1, max: 120 }), seed: fc.nat() }), {
        minLength: 1,
        maxLength: 6,
      }),
      async (lives) => {
        const disk = new SimulatedDisk();
        const expected = new Expectation();
        for (const life of lives) {
          await untilPowerCut(disk, life.cutAfter, async () => {
            const opened = await open(disk.storage());
            expected.check(t, opened);
            await run(opened, life.steps, expected);
          });
          disk.crash(new SeededRandom(life.seed));
        }
        expected.check(t, await open(disk.storage()));
      },
    ),
    { numRuns: 300 },
  );
});

test('every step of a run may be the last', async (t) => {
  const script: Step[] = [
    { append: [100, 200, 50], wait: true },
    { append: [400, 300], wait: false },
    { append: [600], wait: true },
    'compact',
    { append: [10, 10, 10, 900], wait: true },
    { append: [1_200], wait: false },
    'compact',
    { append: [5], wait: true },
  ];
  let cuts = 0;
  for (let after = 1; ; after++) {
    let outcome: 'done' | 'cut' = 'cut';
    for (let seed = 1; seed <= 20; seed++) {
      const disk = new SimulatedDisk();
      const expected = new Expectation();
      outcome = await untilPowerCut(disk, after, async () => run(await open(disk.storage()), script, expected));
      disk.crash(new SeededRandom(seed));
      // Power may go again while recovering, at any step.
      await untilPowerCut(disk, seed, async () => expected.check(t, await open(disk.storage())));
      disk.crash(new SeededRandom(seed + 1_000));
      const opened = await open(disk.storage());
      expected.check(t, opened);
      await run(opened, [{ append: [3, 300], wait: true }, 'compact'], expected);
      expected.check(t, await open(disk.storage()));
    }
    if (outcome === 'done') break;
    cuts++;
  }
  t.true(cuts > 50);
});

test('property: one flipped bit is either refused or costs the last write alone', async (t) => {
  const disk = await filled(30);
  const paths = disk.paths().filter((path) => path.endsWith('.segment'));
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...paths), fc.nat(OPTIONS.segmentBytes - 1), fc.nat(7), async (path, at, bit) => {
      const whole = disk.peek(path) ?? new Uint8Array();
      const damaged = whole.slice();
      damaged[at] = (damaged[at] ?? 0) ^ (1 << bit);
      disk.poke(path, damaged);
      const opened = await openJournal(disk.storage(), FOLDER, OPTIONS);
      if (!('refused' in opened)) {
        t.true(opened.recovered.records.length >= 29);
        for (const { ordinal, bytes } of opened.recovered.records) t.deepEqual(bytes, record(ordinal, 100));
      }
      disk.poke(path, whole);
    }),
    { numRuns: 300 },
  );
});

test('what a failed sync left to be seen is written again before anything follows it', async (t) => {
  for (let seed = 1; seed <= 20; seed++) {
    const disk = await filled(2);
    const first = await open(disk.storage());
    disk.failingSyncs = 1;
    await t.throwsAsync(first.journal.append([record(2, 100), record(3, 100)]).durable, { instanceOf: StorageError });
    disk.kill();
    const second = await open(disk.storage());
    t.is(texts(second).length, 4, 'a process that starts sees it, saved or not');
    await second.journal.append(record(4, 100)).durable;
    disk.crash(new SeededRandom(seed));
    t.is(texts(await open(disk.storage())).length, 5);
  }
});
