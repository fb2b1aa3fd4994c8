import test from 'ava';
import fc from 'fast-check';
import type { Bus, BusMessage } from '../../io/bus.ts';
import { Counters } from '../../master/counters.ts';
import { openLog } from '../../master/open-log.ts';
import { encodeMembership } from '../../master/raft/membership-entry.ts';
import type { RaftMessage } from '../../master/raft/state.ts';
import { type PeerTraffic, RaftLink } from '../../master/raft-link.ts';
import type { ReplicatedLog } from '../../master/replicated-log.ts';
import { decode, encode } from '../../protocol/envelope.ts';
import { Fault } from '../../protocol/faults.ts';
import { LIMITS } from '../../protocol/limits.ts';
import type { Member } from '../../protocol/raft.ts';
import { SeededRandom } from '../sim/random.ts';
import { SimulatedDisk } from '../sim/storage.ts';
import { VirtualClock } from '../sim/virtual-clock.ts';
import { membersOf } from './raft-cases.ts';

const SILENT = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
const OWN = 'c-1/1';

/** Master 1 of three: its link and its log; the others are what the test says in their names. */
class Target {
  readonly clock = new VirtualClock();
  readonly disk = new SimulatedDisk();
  readonly counters = new Counters();
  readonly sent: RaftMessage[] = [];
  readonly fatal: unknown[] = [];
  taken = 0;
  log: ReplicatedLog | undefined;
  #hear: (message: BusMessage) => void = () => {};

  async open(): Promise<void> {
    const bus: Pick<Bus, 'subscribe'> = {
      subscribe: (_filter, _qos, handler) => {
        this.#hear = handler;
        return Promise.resolve(() => {});
      },
    };
    const link = new RaftLink({
      id: '1',
      prefix: 'mesq',
      version: '1.0.0',
      term: () => 0,
      bus: bus as Bus,
      counters: this.counters,
      connect: () => {
        throw new Error('nobody is connected to');
      },
      onMessage: (message) => {
        this.taken++;
        this.log?.receive(message);
      },
      onStranger: () => {},
      onReached: () => {},
      cluster: () => OWN,
    });
    await link.listen();
    this.log = await this.openLog();
    this.log.start();
    for (const from of ['2', '3']) {
      for (const standing of ['blank', 'founding'] as const)
        this.log.receive({ from, to: '1', type: 'PROBE_REPLY', term: 0, standing });
    }
    await this.rest();
  }

  async openLog(): Promise<ReplicatedLog> {
    const opened = await openLog({
      storage: this.disk.storage(),
      folder: 'log',
      id: '1',
      log: SILENT,
      clock: this.clock,
      random: new SeededRandom(1),
      founders: membersOf([1, 2, 3]),
      segmentBytes: 65_536,
      send: (message) => void this.sent.push(message),
      onObjection: (objection) => void this.counters.count(`raft: ${objection}`),
      onMembership: () => {},
      onRestored: () => {},
      slices: () => [new Uint8Array(10)],
      onInformed: () => {},
      onCommitted: () => {},
      onLeading: () => {},
      onFollowing: () => {},
      onFatal: (error) => void this.fatal.push(error),
    });
    if (opened instanceof Fault) throw new Error(opened.message);
    return opened.log;
  }

  hear(payload: Uint8Array, over: Partial<BusMessage> = {}): void {
    this.#hear({ topic: 'mesq/masters/1/raft/2', payload, retained: false, ...over });
  }

  say(message: object, from: string): void {
    this.hear(encode({ v: 1, ...message }, 'cbor'), { topic: `mesq/masters/1/raft/${from}` });
  }

  get dropped(): number {
    return Object.values(this.counters.all()).reduce((sum, count) => sum + count, 0);
  }

  /** Whatever does not need time has happened. */
  rest(): Promise<void> {
    return new Promise((resolve) => {
      setImmediate(resolve);
    });
  }

  async lead(): Promise<void> {
    while (this.log?.standing.role !== 'leader') {
      this.clock.step();
      await this.rest();
      for (const { type, term } of this.sent.splice(0)) {
        if (type === 'PRE_VOTE' || type === 'VOTE')
          this.log?.receive({ from: '2', to: '1', type: `${type}_REPLY`, term, reject: false });
      }
      await this.rest();
    }
    this.log.propose(new Uint8Array([1]));
    await this.rest();
  }
}

const HEARTBEAT = { type: 'HEARTBEAT', from: '2', to: '1', term: 1, commit: 0, round: 0 } as const;
const count = fc.oneof(
  { weight: 30, arbitrary: fc.nat(3) },
  { weight: 1, arbitrary: fc.constantFrom(40, 2 ** 32, 2 ** 52, 2 ** 53 - 1) },
);
const someBytes = fc.uint8Array({ maxLength: 20 });
const piece = fc.uint8Array({ minLength: 1, maxLength: 20 });
const ids = fc.uniqueArray(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 5 });
const membership = fc.tuple(ids, fc.nat(5)).map(([each, voters]) => {
  const cut = Math.max(1, voters);
  return membersOf(each.slice(0, cut), each.slice(cut));
});
const entry = fc.record({
  kind: fc.constantFrom('noop', 'command', 'membership'),
  term: count,
  payload: fc.oneof(someBytes, membership.map(encodeMembership)),
});
const type = <Type extends string>(word: Type) => fc.record({ type: fc.constant(word), to: fc.constant('1') });
const of = <Type extends string, Rest extends object>(
  word: Type,
  rest: { [Key in keyof Rest]: fc.Arbitrary<Rest[Key]> },
) => fc.tuple(type(word), fc.record({ term: count, ...rest })).map(([head, body]) => ({ ...head, ...body }));
/** Every message, well-formed, with values that now and then mean something. */
const message = fc.oneof(
  of('VOTE', { index: count, logTerm: count, force: fc.boolean() }),
  of('VOTE_REPLY', { reject: fc.boolean() }),
  of('PRE_VOTE', { index: count, logTerm: count }),
  of('PRE_VOTE_REPLY', { reject: fc.boolean() }),
  of('APPEND', { index: count, logTerm: count, commit: count, entries: fc.array(entry, { maxLength: 4 }) }),
  of('APPEND', { index: count, logTerm: count, commit: count, entries: fc.array(entry, { maxLength: 1 }) }),
  of('APPEND_REPLY', { index: count, reject: fc.boolean(), hint: count, hintTerm: count, blank: fc.boolean() }),
  of('HEARTBEAT', { commit: count, round: count }),
  of('HEARTBEAT_REPLY', { round: count }),
  of('SNAPSHOT', {
    ...{ index: count, logTerm: count, membership, bytes: piece },
    ...{ part: fc.nat(1), last: fc.boolean(), ends: fc.boolean() },
  }),
  of('SNAPSHOT_REPLY', { index: count, parts: count }),
  of('TIMEOUT_NOW', {}),
  of('PROBE', {}),
  of('PROBE_REPLY', { standing: fc.constantFrom('blank', 'founding', 'member') }),
);

test('property: bytes on the Raft topic are taken whole, or counted once and dropped', async (t) => {
  const target = new Target();
  await target.open();
  const spoilt = fc
    .tuple(
      message,
      fc.constantFrom('cbor' as const, 'json' as const),
      fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 3 }),
    )
    .map(([said, encoding, changes]) => {
      const bytes = encode({ v: 1, from: '2', ...said }, encoding);
      for (const [at, byte] of changes) bytes[at % bytes.length] = byte;
      return bytes;
    });
  const large = fc.nat(LIMITS.payloadBytes).map((more) => new Uint8Array(LIMITS.payloadBytes + 1 + more));
  const frequent = [fc.uint8Array({ maxLength: 200 }), spoilt].map((arbitrary) => ({ weight: 9, arbitrary }));
  await fc.assert(
    fc.asyncProperty(fc.oneof(...frequent, { weight: 1, arbitrary: large }), async (payload) => {
      const { taken, dropped } = target;
      target.hear(payload);
      await target.rest();
      const news = target.taken - taken + (target.dropped - dropped);
      // One that was taken, and objected to, is counted too.
      t.true(news === 1 || (news === 2 && target.taken > taken), `taken or counted ${news} times`);
      t.deepEqual(target.fatal, []);
    }),
    { numRuns: 2_000 },
  );
  t.true(target.counters.get('raft: BAD_ENCODING') > 0);
  t.true(target.counters.get('raft: TOO_LARGE') > 0);
});

test('who claims to be another, is of another cluster or generation, or speaks from the past is not heard', async (t) => {
  const target = new Target();
  await target.open();
  const cases: readonly (readonly [object, string, string])[] = [
    [{ ...HEARTBEAT, from: '3' }, '2', 'raft: not who it says'],
    [{ ...HEARTBEAT, to: '3' }, '2', 'raft: not who it says'],
    [{ ...HEARTBEAT, from: '1' }, '2', 'raft: not who it says'],
    [{ ...HEARTBEAT, cluster: 'c-2/1' }, '2', 'raft: of another cluster or generation'],
    [{ ...HEARTBEAT, cluster: 'c-1/2' }, '2', 'raft: of another cluster or generation'],
    [{ ...HEARTBEAT, v: 99 }, '2', 'raft: VERSION'],
    [{ ...HEARTBEAT, type: 'GREETING' }, '2', 'raft: UNKNOWN_TYPE'],
    [{ ...HEARTBEAT, term: -1 }, '2', 'raft: BAD_SHAPE'],
    [{ ...HEARTBEAT, term: 2 ** 52 + 1 }, '2', 'raft: BAD_SHAPE'],
  ];
  for (const [said, from, reason] of cases) {
    const before = target.counters.get(reason);
    target.say(said, from);
    t.is(target.counters.get(reason), before + 1, reason);
  }
  target.hear(encode({ v: 1, ...HEARTBEAT }, 'cbor'), { retained: true });
  t.is(target.counters.get('raft: message on an unknown topic'), 1);
  t.is(target.taken, 0);
  t.is(target.log?.standing.term, 0);
  target.say({ ...HEARTBEAT, cluster: OWN }, '2');
  t.is(target.taken, 1);
});

test('what is over a limit is not of the shape: entries, their bytes, the bytes of a state, masters named twice', async (t) => {
  const target = new Target();
  await target.open();
  const head = { from: '2', to: '1', term: 1, index: 0, logTerm: 0 };
  const append = { ...head, type: 'APPEND', commit: 0 };
  const noop = { kind: 'noop', term: 1, payload: new Uint8Array() };
  const snapshot = { ...head, type: 'SNAPSHOT', index: 1, part: 0, last: false, ends: false, bytes: new Uint8Array(1) };
  const cases = [
    { ...append, entries: Array.from({ length: LIMITS.entriesPerAppend + 1 }, () => noop) },
    { ...append, entries: [{ ...noop, kind: 'command', payload: new Uint8Array(LIMITS.commandBytes + 1) }] },
    { ...append, entries: [{ ...noop, payload: 'text' }] },
    { ...snapshot, membership: membersOf([1]), bytes: new Uint8Array(LIMITS.partBytes + 1) },
    { ...snapshot, membership: membersOf([1]), bytes: new Uint8Array() },
    { ...snapshot, membership: membersOf([1, 1, 2]) },
    { ...snapshot, membership: membersOf([1, 2], [2]) },
    { ...snapshot, membership: membersOf([]) },
    { ...snapshot, membership: membersOf([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]) },
  ];
  for (const [at, said] of cases.entries()) {
    target.say(said, '2');
    t.is(target.counters.get('raft: BAD_SHAPE'), at + 1);
  }
  t.is(target.taken, 0);
});

test('what no master that works would say is counted, and changes nothing', async (t) => {
  const target = new Target();
  await target.open();
  const append = { type: 'APPEND', to: '1', term: 2, index: 0, logTerm: 0, commit: 1 };
  const noop = { kind: 'noop', term: 2, payload: new Uint8Array() };
  target.say({ ...append, from: '2', entries: [noop] }, '2');
  await target.rest();
  t.like(target.log?.standing, { term: 2, leader: '2', commitIndex: 1 });
  const next = { ...append, from: '2', index: 1, logTerm: 2 };
  const snapshot = {
    ...{ type: 'SNAPSHOT', from: '2', to: '1', term: 2, index: 9, membership: membersOf([1, 2, 3]) },
    ...{ part: 0, last: true, ends: true, bytes: new Uint8Array(1) },
  };
  const cases: readonly (readonly [{ readonly from: string; readonly [field: string]: unknown }, string])[] = [
    [{ ...HEARTBEAT, term: 2 ** 32 + 3 }, 'a term that nobody can have reached'],
    [{ ...HEARTBEAT, term: 2, from: '3' }, 'two leaders of one term'],
    [{ ...next, entries: [{ ...noop, term: 1 }] }, 'entries whose terms fall'],
    [{ ...next, entries: [{ ...noop, term: 3 }] }, 'entries of a later term than their leader’s'],
    [{ ...next, entries: [{ ...noop, kind: 'membership' }] }, 'a membership that cannot be read'],
    [{ ...snapshot, logTerm: 3 }, 'a state of a later term than its leader’s'],
    [{ ...snapshot, logTerm: 1 }, 'a state that contradicts what is committed'],
  ];
  for (const [said, objection] of cases) {
    target.say(said, said.from);
    await target.rest();
    t.is(target.counters.get(`raft: ${objection}`), 1, objection);
  }
  t.like(target.log?.standing, { term: 2, leader: '2', commitIndex: 1, lastIndex: 1 });
  const endless = { ...snapshot, logTerm: 2, last: false, ends: false, bytes: new Uint8Array(LIMITS.partBytes) };
  for (let part = 0; part * LIMITS.partBytes < LIMITS.sliceBytes; part++) target.say({ ...endless, part }, '2');
  t.is(target.counters.get('raft: a slice of a state that never ends'), 1);
});

test('a leader acts on nothing that a master says which is no member, and counts it; a follower may lag behind, and does', async (t) => {
  const target = new Target();
  await target.open();
  await target.lead();
  const { term = 0 } = target.log?.standing ?? {};
  const head = { from: '9', to: '1', term: term + 1 };
  const said = [
    { ...head, type: 'HEARTBEAT', commit: 0, round: 0 },
    { ...head, type: 'APPEND_REPLY', index: 1, reject: false, hint: 0, hintTerm: 0 },
    { ...head, type: 'VOTE', index: 99, logTerm: term, force: true },
  ];
  for (const [at, message] of said.entries()) {
    target.say(message, '9');
    t.is(target.counters.get('raft: it is no member'), at + 1);
  }
  t.like(target.log?.standing, { role: 'leader', term });
  target.sent.length = 0;
  target.say({ ...head, type: 'PROBE' }, '9');
  await target.rest();
  t.like(target.sent[0], { type: 'PROBE_REPLY', to: '9', standing: 'member' });
  target.say({ ...head, from: '2', type: 'HEARTBEAT', commit: 0, round: 0 }, '2');
  target.say({ ...head, term: term + 2, type: 'VOTE', index: 99, logTerm: term, force: true }, '9');
  t.like(target.log?.standing, { role: 'follower', term: term + 2 });
  t.is(target.counters.get('raft: it is no member'), said.length);
});

test('state and snapshots have a connection each beside Raft’s, and that of the state ends with the lead', (t) => {
  const made: string[] = [];
  const closed: string[] = [];
  const connect = ({ id }: Member, traffic: PeerTraffic): Bus => {
    made.push(`${id} ${traffic}`);
    const close = (): Promise<void> => {
      closed.push(`${id} ${traffic}`);
      return Promise.resolve();
    };
    return { onConnected: () => () => {}, onDisconnected: () => () => {}, close } as Partial<Bus> as Bus;
  };
  const link = new RaftLink({
    ...{
      id: '1',
      prefix: 'mesq',
      version: '1.0.0',
      term: () => 3,
      bus: {} as Bus,
      counters: new Counters(),
      connect,
      onMessage: () => {},
    },
    ...{ onReached: () => {}, onStranger: () => {}, cluster: () => OWN },
  });
  link.connectTo(membersOf([1, 2, 3]));
  t.not(link.stateOf('2'), link.busOf('2'));
  t.is(link.stateOf('2'), link.stateOf('2'));
  link.leaveStates('2');
  t.deepEqual([made, closed], [['2 raft', '3 raft', '2 state'], []]);
  link.stateOf('3');
  link.leaveStates('3');
  t.deepEqual(closed, ['2 state']);
  link.connectTo(membersOf([1]));
  t.deepEqual(closed.sort(), ['2 raft', '2 state', '3 raft', '3 state']);
});

test('the first that is said on a connection tells the version, and so does the answer; strangers’ are not kept', async (t) => {
  const said: { type: string; version: unknown; term: number }[] = [];
  let hear: (message: BusMessage) => void = () => {};
  const bus: Partial<Bus> = {
    connected: true,
    subscribe: (_filter, _qos, handler) => {
      hear = handler;
      return Promise.resolve(() => {});
    },
    publish: (_topic, payload) => {
      const decoded = decode(payload);
      if (!(decoded instanceof Fault)) said.push(decoded.value as (typeof said)[0]);
      return Promise.resolve();
    },
    onConnected: (listener) => listener(),
    onDisconnected: () => {},
  };
  const link = new RaftLink({
    ...{ id: '1', prefix: 'mesq', version: '1.0.0', term: () => 3, bus: bus as Bus, counters: new Counters() },
    ...{
      connect: () => bus as Bus,
      onMessage: () => {},
      onReached: () => {},
      onStranger: () => {},
      cluster: () => OWN,
    },
  });
  await link.listen();
  link.connectTo(membersOf([1, 2]));
  link.send({ type: 'PROBE_REPLY', from: '1', to: '2', term: 3, standing: 'member' });
  link.send({ ...HEARTBEAT, from: '1', to: '2' });
  t.deepEqual(
    said.map(({ type, version, term }) => [type, version, term]),
    [
      ['PROBE', '1.0.0', 3],
      ['PROBE_REPLY', '1.0.0', 3],
      ['HEARTBEAT', undefined, 1],
    ],
  );
  for (const from of ['2', '3'])
    hear({
      ...{ topic: `mesq/masters/1/raft/${from}`, retained: false },
      payload: encode({ v: 1, type: 'PROBE', from, to: '1', term: 3, version: '0.9.0' }, 'cbor'),
    });
  t.deepEqual([link.versionOf('2'), link.versionOf('3')], ['0.9.0', '']);
});

test('who speaks and is not named by the membership is told of: it cannot be answered', async (t) => {
  const strangers: string[] = [];
  const heard: string[] = [];
  let hear: (message: BusMessage) => void = () => {};
  const bus: Partial<Bus> = {
    subscribe: (_filter, _qos, handler) => {
      hear = handler;
      return Promise.resolve(() => {});
    },
    onConnected: () => {},
    onDisconnected: () => {},
  };
  const link = new RaftLink({
    ...{
      id: '1',
      prefix: 'mesq',
      version: '1.0.0',
      term: () => 3,
      bus: bus as Bus,
      counters: new Counters(),
      connect: () => bus as Bus,
    },
    ...{ onReached: () => {}, cluster: () => OWN },
    onMessage: ({ from }) => void heard.push(from),
    onStranger: (from) => void strangers.push(from),
  });
  await link.listen();
  link.connectTo(membersOf([1, 2]));
  for (const from of ['2', '3'])
    hear({
      ...{ topic: `mesq/masters/1/raft/${from}`, retained: false },
      payload: encode({ v: 1, ...HEARTBEAT, from }, 'cbor'),
    });
  t.deepEqual([heard, strangers], [['2', '3'], ['3']]);
});

for (const role of ['follower', 'leader'] as const) {
  test(`property: no well-formed message ends a ${role}, nor spoils its log, whatever it says`, async (t) => {
    const said = fc.tuple(fc.constantFrom('2', '2', '3', '9'), message);
    const turn = fc.oneof({ weight: 9, arbitrary: said }, { weight: 1, arbitrary: fc.constant('tick' as const) });
    await fc.assert(
      fc.asyncProperty(fc.array(turn, { maxLength: 60 }), async (turns) => {
        const target = new Target();
        await target.open();
        if (role === 'leader') await target.lead();
        for (const each of turns) {
          if (each === 'tick') target.clock.step();
          else target.say({ from: each[0], ...each[1] }, each[0]);
          await target.rest();
          t.deepEqual(target.fatal, []);
        }
        await target.log?.close();
        await t.notThrowsAsync(target.openLog());
      }),
      { numRuns: 400 },
    );
  });
}
