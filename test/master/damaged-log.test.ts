import test from 'ava';
import fc from 'fast-check';
import type { Log, LogFields } from '../../io/log.ts';
import { openLog } from '../../master/open-log.ts';
import type { RaftMessage } from '../../master/raft/state.ts';
import type { ReplicatedLog } from '../../master/replicated-log.ts';
import { Fault } from '../../protocol/faults.ts';
import { SeededRandom } from '../sim/random.ts';
import { SimulatedDisk } from '../sim/storage.ts';
import { VirtualClock } from '../sim/virtual-clock.ts';
import { membersOf } from './raft-cases.ts';

const SEGMENT = 'log/0000000000000000.segment';

/** Master 1 on a disk of its own; what the others would hear is kept. */
class Lone {
  readonly disk: SimulatedDisk;
  readonly said: string[] = [];
  readonly sent: RaftMessage[] = [];
  log: ReplicatedLog | undefined;
  #changed: () => void = () => {};

  constructor(disk: SimulatedDisk) {
    this.disk = disk;
  }

  async open(voters: readonly number[]): Promise<ReplicatedLog | Fault> {
    const say = (event: string, fields?: LogFields) => void this.said.push(`${event} ${JSON.stringify(fields)}`);
    const log: Log = { debug: () => {}, info: () => {}, warn: say, error: say };
    const opened = await openLog({
      storage: this.disk.storage(),
      folder: 'log',
      id: '1',
      log,
      clock: new VirtualClock(),
      random: new SeededRandom(1),
      founders: membersOf(voters),
      segmentBytes: 2_048,
      send: (message) => {
        this.sent.push(message);
        this.#changed();
      },
      onObjection: () => {},
      onMembership: () => {},
      onRestored: () => {},
      slices: () => undefined,
      onInformed: () => {},
      onCommitted: () => {},
      onLeading: () => {},
      onFollowing: () => {},
      onFatal: () => {},
    });
    if (opened instanceof Fault) return opened;
    this.log = opened.log;
    return opened.log;
  }

  /** What it answers to one message. */
  async answer(message: RaftMessage): Promise<RaftMessage> {
    const { length } = this.sent;
    this.log?.receive(message);
    while (this.sent.length === length) {
      await new Promise<void>((resolve) => {
        this.#changed = resolve;
      });
    }
    const answer = this.sent[length];
    if (answer === undefined) throw new Error('it has answered');
    return answer;
  }
}

const VOTE = { from: '2', to: '1', type: 'VOTE', term: 9, index: 99, logTerm: 8, force: true } as const;
const PROBE = { from: '2', to: '1', type: 'PROBE', term: 0 } as const;

/** A follower with a few writes in its log, and a byte turned in one that is not the last. */
async function damaged(): Promise<SimulatedDisk> {
  const disk = new SimulatedDisk();
  const master = new Lone(disk);
  await master.open([1, 2, 3]);
  for (const peer of ['2', '3'])
    master.log?.receive({ from: peer, to: '1', type: 'PROBE_REPLY', term: 0, standing: 'founding' });
  for (let index = 0; index < 4; index++) {
    const entry = { kind: 'command', term: 1, payload: new Uint8Array([index]) } as const;
    const place = { index, logTerm: index === 0 ? 0 : 1 };
    await master.answer({ from: '2', to: '1', type: 'APPEND', term: 1, ...place, commit: 0, entries: [entry] });
  }
  await master.log?.close();
  spoil(disk);
  return disk;
}

function spoil(disk: SimulatedDisk): void {
  const bytes = disk.peek(SEGMENT) ?? new Uint8Array();
  bytes[45] = (bytes[45] ?? 0) ^ 0xff;
  disk.poke(SEGMENT, bytes);
}

test('a damaged log of one of several masters is set aside whole, said aloud, and it neither votes nor is new', async (t) => {
  const disk = await damaged();
  const spoilt = disk.peek(SEGMENT);
  const master = new Lone(disk);
  const log = await master.open([1, 2, 3]);
  t.false(log instanceof Fault);
  t.regex(
    master.said[0] ?? '',
    /the log is damaged: .*log\/0000000000000000.segment is damaged at byte 24: .*log\.corrupt-1/,
  );
  t.deepEqual(disk.peek(`log.corrupt-1/${SEGMENT.slice(4)}`), spoilt);
  t.like(await master.answer(PROBE), { type: 'PROBE_REPLY', standing: 'member' });
  t.like(await master.answer(VOTE), { type: 'VOTE_REPLY', reject: true });
  t.like(master.log?.standing, { term: 9, membership: membersOf([1, 2, 3]) });
});

test('it votes when a leader has sent it all, and after a restart too', async (t) => {
  const disk = await damaged();
  const master = new Lone(disk);
  await master.open([1, 2, 3]);
  const entries = [{ kind: 'noop' as const, term: 9, payload: new Uint8Array() }];
  const append = { from: '2', to: '1', type: 'APPEND', term: 9, index: 0, logTerm: 0, commit: 1, entries } as const;
  for (const peer of ['2', '3'])
    master.log?.receive({ from: peer, to: '1', type: 'PROBE_REPLY', term: 9, standing: 'member' });
  t.like(await master.answer(append), { type: 'APPEND_REPLY', reject: false, index: 1 });
  await master.log?.close();
  const again = new Lone(disk);
  await again.open([1, 2, 3]);
  t.deepEqual(again.said, []);
  t.like(await again.answer({ ...VOTE, term: 10, logTerm: 9 }), { type: 'VOTE_REPLY', reject: false });
});

test('the only master refuses a damaged log, says what mends it, and leaves the disk as it is', async (t) => {
  const disk = await damaged();
  const before = disk.paths().map((path) => [path, disk.peek(path)]);
  const fault = await new Lone(disk).open([1]);
  t.like(fault, { code: 'CORRUPT' });
  t.regex(fault instanceof Fault ? fault.message : '', /segment is damaged at byte 24/);
  t.regex(fault instanceof Fault ? fault.hint : '', /mesq restore BACKUP --data NEW.*--recreate.*--peer/);
  t.deepEqual(
    disk.paths().map((path) => [path, disk.peek(path)]),
    before,
  );
});

test('a medium that has spoiled three logs is not given another one', async (t) => {
  const disk = await damaged();
  for (const kept of ['log.corrupt-1', 'log.corrupt-2', 'log.corrupt-3']) {
    const master = new Lone(disk);
    await master.open([1, 2, 3]);
    t.true(disk.paths().some((path) => path.startsWith(`${kept}/`)));
    await master.answer(VOTE);
    await master.log?.close();
    spoil(disk);
  }
  const fault = await new Lone(disk).open([1, 2, 3]);
  t.like(fault, { code: 'CORRUPT' });
  t.regex(fault instanceof Fault ? fault.message : '', /log\.corrupt-1, log\.corrupt-2, log\.corrupt-3/);
});

test('property: however often power is cut while a log is set aside, it is never lost, and its master never new', async (t) => {
  const cuts = fc.array(fc.record({ after: fc.integer({ min: 1, max: 20 }), seed: fc.nat() }), { maxLength: 4 });
  await fc.assert(
    fc.asyncProperty(cuts, async (lives) => {
      const disk = await damaged();
      const spoilt = disk.peek(SEGMENT);
      for (const { after, seed } of lives) {
        const cut = new Promise<void>((resolve) => {
          disk.crashAt = disk.steps + after;
          disk.onPowerCut = resolve;
        });
        await Promise.race([cut, new Lone(disk).open([1, 2, 3])]);
        disk.crash(new SeededRandom(seed));
      }
      const master = new Lone(disk);
      await master.open([1, 2, 3]);
      t.deepEqual(disk.peek(`log.corrupt-1/${SEGMENT.slice(4)}`), spoilt);
      t.like(await master.answer(PROBE), { standing: 'member' });
      t.like(await master.answer(VOTE), { type: 'VOTE_REPLY', reject: true });
      t.deepEqual(master.log?.standing.membership, membersOf([1, 2, 3]));
    }),
    { numRuns: 200 },
  );
});

test('power that is cut at any step while an empty log rejoins leaves it blank or rejoining, never a founder', async (t) => {
  for (let after = 1; ; after++) {
    let wasCut = false;
    for (let seed = 1; seed <= 60; seed++) {
      const disk = new SimulatedDisk();
      const first = new Lone(disk);
      await first.open([1, 2, 3]);
      const cut = new Promise<void>((resolve) => {
        disk.crashAt = disk.steps + after;
        disk.onPowerCut = () => {
          wasCut = true;
          resolve();
        };
      });
      first.log?.receive({ from: '2', to: '1', type: 'PROBE_REPLY', term: 4, standing: 'member' });
      // Its answer waits for the write.
      await Promise.race([cut, first.answer(PROBE)]);
      disk.crash(new SeededRandom(seed));
      const master = new Lone(disk);
      await master.open([1, 2, 3]);
      const answer = await master.answer(PROBE);
      t.true(answer.type === 'PROBE_REPLY' && answer.standing !== 'founding', `seed ${seed}, step ${after}`);
      for (const peer of ['2', '3'])
        master.log?.receive({ from: peer, to: '1', type: 'PROBE_REPLY', term: 4, standing: 'member' });
      t.like(await master.answer(VOTE), { type: 'VOTE_REPLY', reject: true });
      t.deepEqual(master.log?.standing.membership, membersOf([1, 2, 3]));
    }
    if (!wasCut) return;
  }
});
