import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import fc from 'fast-check';
import type { Log } from '../../io/log.ts';
import { systemClock } from '../../io/node/clock.ts';
import { fileStorage } from '../../io/node/storage.ts';
import { type Storage, StorageError } from '../../io/storage.ts';
import { openLog } from '../../master/open-log.ts';
import { createRaft, type Raft, type Ready } from '../../master/raft/raft.ts';
import {
  decodeRecord,
  decodeSnapshotMeta,
  type Entry,
  encodeEntry,
  encodeHardState,
  encodeSnapshotMeta,
} from '../../master/raft/records.ts';
import { type Remembered, recover } from '../../master/raft/recover.ts';
import type { OpenedLog, ReplicatedLog } from '../../master/replicated-log.ts';
import { Fault } from '../../protocol/faults.ts';
import { LIMITS } from '../../protocol/limits.ts';
import type { Membership } from '../../protocol/raft.ts';
import { SeededRandom } from '../sim/random.ts';
import { SimulatedDisk } from '../sim/storage.ts';

const bytes = (content: string): Uint8Array => new TextEncoder().encode(content);
const text = (content: Uint8Array): string => new TextDecoder().decode(content);
const THREE: Membership = {
  voters: ['a', 'b', 'c'].map((id) => ({ id, urls: [`mqtt://${id}`] })),
  learners: [],
};
/** What a log of one master never asks for. */
const ALONE = {
  clock: systemClock,
  random: new SeededRandom(1),
  send: () => {},
  onObjection: () => {},
  onMembership: () => {},
  onRestored: () => {},
  slices: () => undefined,
  onInformed: () => {},
};
const FRESH: Remembered = {
  hardState: { term: 0, vote: undefined },
  start: { index: 0, term: 0 },
  membership: undefined,
  entries: [],
  ordinals: [],
};
const entry = (term: number, index: number, kind: Entry['kind'] = 'command'): Entry => ({
  kind,
  term,
  index,
  payload: bytes(kind === 'noop' ? '' : `${term}/${index}`),
});

/** Does what a shell does with a disk that is never in the way, until there is nothing left to do. */
function run(raft: Raft): Ready[] {
  const done: Ready[] = [];
  for (let ready = raft.ready(); ready !== undefined; ready = raft.ready()) {
    done.push(ready);
    if (ready.write !== undefined) raft.persisted(ready.write);
  }
  return done;
}

function take(raft: Raft): Ready {
  const ready = raft.ready();
  if (ready === undefined) throw new Error('there is nothing to do');
  return ready;
}

// The core

test('§5.2 a server starts as a follower, and does nothing before its election timer', (t) => {
  const raft = createRaft({ id: 'a', remembered: FRESH });
  t.like(raft, { role: 'follower', term: 0, leader: undefined });
  t.is(raft.ready(), undefined);
  t.is(raft.propose(bytes('x')), undefined, 'a follower takes no proposals');
});

test('§5.2 to begin an election it increments its term and votes for itself; the vote counts once it is durable', (t) => {
  const raft = createRaft({ id: 'a', remembered: { ...FRESH, hardState: { term: 6, vote: 'b' } } });
  raft.tick();
  t.is(raft.role, 'candidate');
  const ready = take(raft);
  t.like(ready, { role: 'candidate', term: 7, hardState: { term: 7, vote: 'a' }, entries: [], leader: undefined });
  t.is(raft.propose(bytes('x')), undefined);
  raft.tick();
  t.is(raft.term, 7, 'its vote is on the way: no second election');
  t.is(raft.ready(), undefined, 'no leader before the disk has term and vote');
  raft.persisted(ready.write ?? 0);
  t.like(raft, { role: 'leader', leader: 'a', term: 7 });
});

test('§8 a leader begins its term with a no-op, before any command', (t) => {
  const raft = createRaft({ id: 'a', remembered: FRESH });
  raft.tick();
  raft.persisted(take(raft).write ?? 0);
  t.deepEqual(raft.propose(bytes('x')), { term: 1, index: 2 });
  t.deepEqual(
    take(raft).entries.map(({ kind, term, index }) => [kind, term, index]),
    [
      ['noop', 1, 1],
      ['command', 1, 2],
    ],
  );
});

test('§5.3 an entry is committed only when it is durable, its own leader’s disk included', (t) => {
  const raft = createRaft({ id: 'a', remembered: FRESH });
  raft.tick();
  run(raft);
  t.is(raft.commitIndex, 1);
  raft.propose(bytes('x'));
  const first = take(raft);
  raft.propose(bytes('y'));
  const second = take(raft);
  t.deepEqual([first.committed, second.committed], [[], []]);
  t.is(raft.ready(), undefined);
  raft.persisted(first.write ?? 0);
  t.deepEqual(
    take(raft).committed.map(({ index }) => index),
    [2],
  );
  t.is(raft.ready(), undefined);
  raft.persisted(second.write ?? 0);
  t.deepEqual(
    take(raft).committed.map(({ index }) => index),
    [3],
  );
});

test('a write counts for those before it; one that is not under way is a bug', (t) => {
  const raft = createRaft({ id: 'a', remembered: FRESH });
  raft.tick();
  run(raft);
  const writes = ['x', 'y', 'z'].map((command) => {
    raft.propose(bytes(command));
    return take(raft).write ?? 0;
  });
  raft.persisted(writes[1] ?? 0);
  t.deepEqual(
    take(raft).committed.map(({ index }) => index),
    [2, 3],
  );
  t.throws(() => raft.persisted(writes[1] ?? 0), { message: /broken invariant/ });
  t.throws(() => raft.persisted((writes[2] ?? 0) + 1), { message: /broken invariant/ });
});

test('§5.4.2 entries of earlier terms are committed only with one of the leader’s own', (t) => {
  const old = [entry(1, 1, 'noop'), entry(1, 2), entry(3, 3)];
  const raft = createRaft({
    id: 'a',
    remembered: { ...FRESH, hardState: { term: 3, vote: 'a' }, entries: old, ordinals: [] },
  });
  raft.tick();
  const election = take(raft);
  t.deepEqual(election.committed, []);
  raft.persisted(election.write ?? 0);
  const leading = take(raft);
  t.deepEqual(leading.entries, [entry(4, 4, 'noop')]);
  t.deepEqual([leading.role, leading.committed], ['leader', []], 'durable, but of an earlier term');
  raft.persisted(leading.write ?? 0);
  t.deepEqual(take(raft).committed, [...old, entry(4, 4, 'noop')], 'one batch');
});

test('§5.3 indexes go on without gaps after the snapshot, which is not committed again', (t) => {
  const raft = createRaft({
    id: 'a',
    remembered: {
      hardState: { term: 5, vote: 'a' },
      start: { index: 40, term: 5 },
      membership: undefined,
      entries: [entry(5, 41)],
      ordinals: [],
    },
  });
  t.is(raft.commitIndex, 40);
  raft.tick();
  const committed = run(raft).flatMap((ready) => ready.committed);
  t.deepEqual(committed, [entry(5, 41), entry(6, 42, 'noop')]);
  t.is(raft.lastIndex, 42);
});

test('the same inputs give the same outputs', (t) => {
  const play = () => {
    const raft = createRaft({ id: 'a', remembered: FRESH });
    raft.tick();
    const seen = run(raft);
    raft.propose(bytes('x'));
    return [...seen, ...run(raft)];
  };
  t.deepEqual(play(), play());
});

// Records

test('records come back as they were', (t) => {
  fc.assert(
    fc.property(
      fc.maxSafeNat(),
      fc.maxSafeNat(),
      fc.string({ minLength: 1 }),
      fc.uint8Array(),
      (term, index, id, payload) => {
        for (const vote of [undefined, id]) {
          const hardState = { term, vote };
          t.deepEqual(decodeRecord(encodeHardState(hardState)), { hardState });
          for (const membership of [undefined, THREE]) {
            const meta = { index, term, hardState, membership };
            t.deepEqual(decodeSnapshotMeta(encodeSnapshotMeta(meta)), meta);
          }
          const rejoining = { ...hardState, rejoining: true };
          t.deepEqual(decodeRecord(encodeHardState(rejoining)), { hardState: rejoining });
        }
        for (const kind of ['noop', 'command'] as const) {
          t.deepEqual(decodeRecord(encodeEntry({ kind, term, index, payload })), {
            entry: { kind, term, index, payload },
          });
        }
      },
    ),
  );
});

test('the bytes of a record are what they were when the format was fixed', (t) => {
  t.is(Buffer.from(encodeHardState({ term: 258, vote: 'm-1' })).toString('hex'), '010100000000000001026d2d31');
  t.is(
    Buffer.from(encodeEntry({ kind: 'command', term: 1, index: 2, payload: bytes('x') })).toString('hex'),
    '01030000000000000001000000000000000278',
  );
});

test('bytes that are no record, or of a later version, are faults', (t) => {
  const whole = encodeEntry(entry(1, 1));
  const later = Uint8Array.from(whole);
  later[0] = 2;
  for (const [wrong, code] of [
    [whole.subarray(0, 17), 'CORRUPT'],
    [encodeHardState({ term: 1, vote: 'a' }).subarray(0, 9), 'CORRUPT'],
    [Uint8Array.of(1, 9), 'CORRUPT'],
    [Uint8Array.of(1), 'CORRUPT'],
    [later, 'UNSUPPORTED'],
  ] as const) {
    const fault = decodeRecord(wrong);
    t.true(fault instanceof Fault && fault.code === code);
    t.true(decodeSnapshotMeta(wrong) instanceof Fault);
  }
});

test('a log with a gap, a falling term, or a term beyond the hard state’s is refused', (t) => {
  const stream = (...records: Uint8Array[]) => records.map((record, ordinal) => ({ ordinal, bytes: record }));
  const state = encodeHardState({ term: 2, vote: 'a' });
  const refused = [
    stream(state, encodeEntry(entry(1, 2))),
    stream(state, encodeEntry(entry(1, 1)), encodeEntry(entry(1, 3))),
    stream(state, encodeEntry(entry(2, 1)), encodeEntry(entry(1, 2))),
    stream(state, encodeEntry(entry(3, 1))),
    stream(state, encodeEntry(entry(1, 0))),
  ];
  for (const records of refused) {
    const result = recover(undefined, records);
    t.true(result instanceof Fault && result.code === 'CORRUPT');
  }
  const meta = encodeSnapshotMeta({ index: 9, term: 2, hardState: { term: 2, vote: 'a' }, membership: undefined });
  t.true(recover(meta, stream(encodeEntry(entry(1, 10)))) instanceof Fault);
  t.like(recover(meta, stream(encodeEntry(entry(2, 10)))), { start: { index: 9, term: 2 }, entries: [entry(2, 10)] });
});

test('§5.3 an entry in the place of another replaces it and all after it', (t) => {
  const records = [
    encodeHardState({ term: 1, vote: 'b' }),
    ...[entry(1, 1), entry(1, 2), entry(1, 3)].map(encodeEntry),
    encodeHardState({ term: 2, vote: undefined }),
    encodeEntry(entry(2, 2)),
  ].map((record, ordinal) => ({ ordinal, bytes: record }));
  t.deepEqual(recover(undefined, records), {
    hardState: { term: 2, vote: undefined },
    start: { index: 0, term: 0 },
    membership: undefined,
    entries: [entry(1, 1), entry(2, 2)],
    ordinals: [1, 5],
  });
});

// The shell

const SILENT: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

/** A master that does nothing but collect what is committed; its state is the list of all commands. */
class Collector {
  readonly storage: Storage;
  log: ReplicatedLog | undefined;
  commands: string[] = [];
  batches: (readonly Entry[])[] = [];
  terms: number[] = [];
  fatal: unknown[] = [];
  #changed: () => void = () => {};

  constructor(storage: Storage) {
    this.storage = storage;
  }

  async open(segmentBytes = 2_048): Promise<ReplicatedLog> {
    const opened: OpenedLog | Fault = await openLog({
      storage: this.storage,
      folder: 'log',
      id: 'a',
      log: SILENT,
      segmentBytes,
      ...ALONE,
      onCommitted: (entries) => {
        this.batches.push(entries);
        for (const { kind, payload } of entries) if (kind === 'command') this.commands.push(text(payload));
        this.#changed();
      },
      onLeading: (term) => {
        this.terms.push(term);
        this.#changed();
      },
      onFollowing: () => {
        throw new Error('a sole voter follows nobody');
      },
      onFatal: (error) => {
        this.fatal.push(error);
        this.#changed();
      },
    });
    if (opened instanceof Fault) throw new Error(`${opened.code}: ${opened.message}`);
    this.log = opened.log;
    for (const slice of opened.snapshot?.slices ?? []) this.commands.push(text(slice));
    return opened.log;
  }

  /** Opens, starts, and waits until it leads. */
  async lead(segmentBytes?: number): Promise<ReplicatedLog> {
    const log = await this.open(segmentBytes);
    log.start();
    await this.until(() => this.terms.length > 0);
    return log;
  }

  async until(done: () => boolean): Promise<void> {
    while (!done()) {
      await new Promise<void>((resolve) => {
        this.#changed = resolve;
      });
    }
  }

  get entries(): Entry[] {
    return this.batches.flat();
  }

  takeSnapshot(): Promise<void> | undefined {
    const state = [...this.commands];
    return this.log?.snapshot(() => state.map(bytes));
  }
}

test('it leads by itself, and refuses proposals before', async (t) => {
  const master = new Collector(new SimulatedDisk().storage());
  const log = await master.open();
  t.like(log.propose(bytes('early')), { code: 'NO_LEADER' });
  log.start();
  t.like(log.propose(bytes('early')), { code: 'NO_LEADER' });
  await master.until(() => master.terms.length > 0);
  t.deepEqual(master.terms, [1]);
  t.deepEqual(master.entries, [entry(1, 1, 'noop')]);
  t.deepEqual(log.propose(bytes('one')), { term: 1, index: 2 });
  t.like(log.propose(new Uint8Array(LIMITS.commandBytes + 1)), { code: 'TOO_LARGE' });
  await master.until(() => master.commands.length > 0);
  t.is(log.appliedIndex, 2);
  await log.close();
  t.like(log.propose(bytes('late')), { code: 'NO_LEADER' });
});

test('what is proposed in one turn is one write, and is delivered as one batch', async (t) => {
  const disk = new SimulatedDisk();
  const master = new Collector(disk.storage());
  const log = await master.lead(65_536);
  const before = disk.steps;
  for (let index = 0; index < 100; index++) log.propose(bytes(`command ${index}`));
  await master.until(() => master.commands.length > 0);
  t.is(master.commands.length, 100);
  t.is(master.batches.length, 2);
  t.is(disk.steps - before, 2, 'one write, one sync');
  await log.close();
});

test('proposing from within the callback is in order, too', async (t) => {
  const master = new Collector(new SimulatedDisk().storage());
  const log = await master.lead();
  log.propose(bytes('0'));
  for (let next = 1; next <= 5; next++) {
    await master.until(() => master.commands.length === next);
    log.propose(bytes(String(next)));
  }
  await master.until(() => master.commands.length === 6);
  t.deepEqual(master.commands, ['0', '1', '2', '3', '4', '5']);
});

test('§5.1 every start is a new term and a no-op; indexes go on; what was committed comes again before it leads', async (t) => {
  const disk = new SimulatedDisk();
  for (let life = 1; life <= 4; life++) {
    const master = new Collector(disk.storage());
    const log = await master.lead();
    t.deepEqual(master.terms, [life]);
    t.deepEqual(
      master.entries.map(({ index }) => index),
      Array.from({ length: 2 * life - 1 }, (_, index) => index + 1),
    );
    t.is(master.batches.length, 1, 'in one batch');
    t.deepEqual(log.propose(bytes(`life ${life}`)), { term: life, index: 2 * life });
    await master.until(() => master.commands.length === life);
    await log.close();
    disk.crash(new SeededRandom(life));
  }
});

test('a snapshot stands for the entries before it, with index, term, and the hard state', async (t) => {
  const disk = new SimulatedDisk();
  const first = new Collector(disk.storage());
  const log = await first.lead(1_024);
  for (let index = 0; index < 100; index++) log.propose(bytes(`command ${index}`));
  await first.until(() => first.commands.length === 100);
  t.true(log.bytes > 3_000);
  await first.takeSnapshot();
  t.is(log.bytes, 0);
  await first.takeSnapshot();
  log.propose(bytes('after'));
  await first.until(() => first.commands.length === 101);
  await log.close();
  t.true(disk.paths().filter((path) => path.endsWith('.segment')).length <= 2);

  const second = new Collector(disk.storage());
  const again = await second.open(1_024);
  t.is(again.appliedIndex, 101);
  t.is(second.commands.length, 100);
  again.start();
  await second.until(() => second.terms.length > 0);
  t.deepEqual(second.terms, [2], 'the term is not forgotten with the records');
  t.deepEqual(second.commands, first.commands);
  t.deepEqual(
    second.entries.map(({ term, index }) => [term, index]),
    [
      [1, 102],
      [2, 103],
    ],
  );
  await again.close();
});

test('commands go on while a snapshot is taken, and the next one stands for them', async (t) => {
  const disk = new SimulatedDisk();
  const master = new Collector(disk.storage());
  const log = await master.lead();
  log.propose(bytes('before'));
  await master.until(() => master.commands.length === 1);
  await log.snapshot(async function* () {
    log.propose(bytes('meanwhile'));
    await master.until(() => master.commands.length === 2);
    yield bytes('before');
  });
  t.is(log.appliedIndex, 3);
  await master.takeSnapshot();
  await log.close();
  const next = new Collector(disk.storage());
  t.is((await next.open()).appliedIndex, 3);
  t.deepEqual(next.commands, ['before', 'meanwhile']);
});

test('a snapshot that the disk refuses costs nothing', async (t) => {
  const disk = new SimulatedDisk();
  const master = new Collector(disk.storage());
  const log = await master.lead();
  log.propose(bytes('x'));
  await master.until(() => master.commands.length === 1);
  disk.capacity = 0;
  await t.throwsAsync(async () => master.takeSnapshot(), { instanceOf: StorageError, code: 'ENOSPC' });
  disk.capacity = Number.POSITIVE_INFINITY;
  log.propose(bytes('y'));
  await master.until(() => master.commands.length === 2);
  await master.takeSnapshot();
  await log.close();
  t.deepEqual(master.fatal, []);
});

test('a failed sync is fatal, once: nothing is committed after it', async (t) => {
  const disk = new SimulatedDisk();
  const master = new Collector(disk.storage());
  const log = await master.lead();
  disk.failingSyncs = 1;
  log.propose(bytes('x'));
  await Promise.resolve();
  log.propose(bytes('y'));
  await master.until(() => master.fatal.length > 0);
  t.like(log.propose(bytes('z')), { code: 'DISK' });
  await log.close();
  t.is(master.fatal.length, 1);
  t.like(master.fatal[0], { name: 'StorageError', code: 'EIO' });
  t.deepEqual(master.commands, []);
});

test('a callback that throws is fatal', async (t) => {
  const failure = new Error('apply failed');
  const fatal = await new Promise<unknown>((resolve, reject) => {
    openLog({
      storage: new SimulatedDisk().storage(),
      folder: 'log',
      id: 'a',
      log: SILENT,
      ...ALONE,
      onCommitted: () => {
        throw failure;
      },
      onLeading: () => reject(new Error('it leads')),
      onFollowing: () => {},
      onFatal: resolve,
    }).then((opened) => (opened instanceof Fault ? reject(new Error(opened.message)) : opened.log.start()), reject);
  });
  t.is(fatal, failure);
});

test('a damaged log is a fault that names file and byte; one of a later version says so', async (t) => {
  const disk = new SimulatedDisk();
  const master = new Collector(disk.storage());
  await (await master.lead()).close();
  const path = 'log/0000000000000000.segment';
  const whole = disk.peek(path) ?? new Uint8Array();
  const damaged = whole.slice();
  damaged[30] = 0xff;
  disk.poke(path, damaged);
  await t.throwsAsync(new Collector(disk.storage()).open(), {
    message: new RegExp(`^CORRUPT: ${path} is damaged at byte 24`),
  });

  const later = new SimulatedDisk();
  const { crc32 } = later.storage();
  whole[11] = 2;
  new DataView(whole.buffer).setUint32(12, crc32(whole.subarray(16, 24), crc32(whole.subarray(0, 12))));
  later.poke(path, whole);
  await t.throwsAsync(new Collector(later.storage()).open(), { message: /^UNSUPPORTED: .* has format 2/ });
});

test('property: through power cuts no committed command is lost, none comes twice, terms only rise', async (t) => {
  const life = fc.record({
    turns: fc.array(fc.oneof(fc.integer({ min: 1, max: 20 }), fc.constant('snapshot' as const)), { maxLength: 8 }),
    cutAfter: fc.integer({ min: 1, max: 80 }),
    seed: fc.nat(),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(life, { minLength: 1, maxLength: 6 }), async (lives) => {
      const disk = new SimulatedDisk();
      let committed: string[] = [];
      let made = 0;
      let term = 0;
      for (const { turns, cutAfter, seed } of lives) {
        const master = new Collector(disk.storage());
        const cut = new Promise<void>((resolve) => {
          disk.crashAt = disk.steps + cutAfter;
          disk.onPowerCut = resolve;
        });
        const play = async () => {
          const log = await master.lead(1_024);
          t.deepEqual(master.commands.slice(0, committed.length), committed);
          for (const turn of turns) {
            if (turn === 'snapshot') {
              await master.takeSnapshot();
              continue;
            }
            for (let index = 0; index < turn; index++) log.propose(bytes(`command ${made++}`));
            const { length } = master.commands;
            await master.until(() => master.commands.length > length);
          }
          await log.close();
        };
        await Promise.race([cut, play()]);
        if (master.terms.length > 0) {
          committed = [...master.commands];
          t.true((master.terms[0] ?? 0) > term);
          term = master.terms[0] ?? 0;
        }
        const indexes = master.entries.map(({ index }) => index);
        t.deepEqual(
          indexes,
          indexes.map((_, place) => (indexes[0] ?? 0) + place),
        );
        disk.crash(new SeededRandom(seed));
      }
      const last = new Collector(disk.storage());
      await last.lead();
      t.deepEqual(last.commands.slice(0, committed.length), committed);
      t.is(new Set(last.commands).size, last.commands.length);
    }),
    { numRuns: 200 },
  );
});

test('real disk: a thousand commands, a snapshot, a restart', async (t) => {
  const root = await mkdtemp(join(tmpdir(), 'mesquite-raft-'));
  t.teardown(() => rm(root, { recursive: true, force: true }));
  const first = new Collector(fileStorage(root));
  const log = await first.lead(65_536);
  for (let index = 0; index < 1_000; index++) log.propose(bytes(`command ${index}`));
  await first.until(() => first.commands.length === 1_000);
  await first.takeSnapshot();
  log.propose(bytes('after'));
  await first.until(() => first.commands.length === 1_001);
  await log.close();
  const second = new Collector(fileStorage(root));
  const again = await second.lead(65_536);
  t.deepEqual(second.commands, first.commands);
  t.deepEqual(second.terms, [2]);
  await again.close();
});
