import test from 'ava';
import type { Log } from '../../io/log.ts';
import { openLog } from '../../master/open-log.ts';
import type { ReplicatedLog } from '../../master/replicated-log.ts';
import { assert, Fault } from '../../protocol/faults.ts';
import type { Membership } from '../../protocol/raft.ts';
import { VirtualClock } from '../sim/clock.ts';
import { SeededRandom } from '../sim/random.ts';
import { SimulatedDisk } from '../sim/storage.ts';

const SILENT: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
const IDS = ['m1', 'm2', 'm3'];
const FOUNDERS: Membership = { voters: IDS.map((id) => ({ id, urls: [`mqtt://${id}:1`] })), learners: [] };

/** Three masters' logs on one clock. */
class Trio {
  readonly clock = new VirtualClock();
  readonly logs = new Map<string, ReplicatedLog>();
  readonly applied = new Map<string, string[]>(IDS.map((id) => [id, []]));
  leader = '';
  /** Hears nothing. */
  deaf = '';

  async start(): Promise<void> {
    const random = new SeededRandom(1);
    for (const id of IDS) {
      const opened = await openLog({
        ...{ storage: new SimulatedDisk().storage(), folder: 'log', id, log: SILENT, clock: this.clock, random },
        founders: FOUNDERS,
        send: (message) => {
          if (message.to !== this.deaf) this.clock.after(1, () => this.logs.get(message.to)?.receive(message));
        },
        onObjection: (objection) => assert(false, objection),
        onMembership: () => undefined,
        onRestored: () => undefined,
        slices: () => undefined,
        onInformed: () => undefined,
        onCommitted: (entries) => {
          for (const { kind, payload } of entries)
            if (kind === 'command') this.applied.get(id)?.push(new TextDecoder().decode(payload));
        },
        onLeading: () => {
          this.leader = id;
        },
        onFollowing: () => undefined,
        onFatal: (error) => {
          throw error;
        },
      });
      assert(!(opened instanceof Fault), 'an empty folder can be opened');
      this.logs.set(id, opened.log);
    }
    for (const log of this.logs.values()) log.start();
    await this.clock.until(() => this.leader !== '');
  }

  at(id: string): ReplicatedLog {
    const log = this.logs.get(id);
    assert(log !== undefined, `${id} is one of three`);
    return log;
  }

  async close(): Promise<void> {
    for (const log of this.logs.values()) await log.close();
  }
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

test('what is proposed during a hand-over that fails is committed in its order, by the same leader', async (t) => {
  const trio = new Trio();
  await trio.start();
  const { leader } = trio;
  const log = trio.at(leader);
  log.propose(bytes('before'));
  await trio.clock.until(() => trio.applied.get(leader)?.length === 1);
  trio.deaf = IDS.find((id) => id !== leader) ?? '';
  t.is(log.transfer(trio.deaf), undefined);
  t.is(log.propose(bytes('one')), 'held');
  t.is(log.propose(bytes('two')), 'held');
  await trio.clock.until(() => trio.applied.get(leader)?.length === 3);
  t.like(log.propose(bytes('three')), { term: log.standing.term });
  await trio.clock.until(() => trio.applied.get(leader)?.length === 4);
  t.is(trio.leader, leader);
  t.deepEqual(trio.applied.get(leader), ['before', 'one', 'two', 'three']);
  await trio.close();
});

test('what is proposed during a hand-over that succeeds is forgotten with the leadership', async (t) => {
  const trio = new Trio();
  await trio.start();
  const { leader } = trio;
  const log = trio.at(leader);
  const next = IDS.find((id) => id !== leader) ?? '';
  t.is(log.transfer(next), undefined);
  t.is(log.propose(bytes('lost')), 'held');
  await trio.clock.until(() => trio.leader === next);
  trio.at(next).propose(bytes('after'));
  await trio.clock.until(() => trio.applied.get(leader)?.includes('after') === true);
  t.true(log.propose(bytes('late')) instanceof Fault);
  // It leads again: nothing of its former leadership comes back.
  trio.at(next).transfer(leader);
  await trio.clock.until(() => trio.leader === leader);
  log.propose(bytes('again'));
  await trio.clock.until(() => trio.applied.get(next)?.includes('again') === true);
  for (const id of IDS)
    t.deepEqual(
      trio.applied.get(id)?.filter((each) => each !== 'again'),
      ['after'],
      id,
    );
  await trio.close();
});
