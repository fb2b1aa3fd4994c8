import test from 'ava';
import fc from 'fast-check';
import { Contacts } from '../../master/liveness/contacts.ts';
import { spreadMs } from '../../master/liveness/spread.ts';
import { TIMES } from '../../protocol/limits.ts';

/** Of the agent's bus: io/node/mqtt-bus.ts. */
const CONNECT_MS = 4_000;
const BACK_OFF_MS = 30_000;
const PATIENCE = {
  leaseMs: 90,
  longestKeepAliveMs: 120,
  longestKeepAliveMeteredMs: 900,
  unreachableMs: 60,
  unreachableMeteredMs: 600,
};

test('silence makes an agent disconnected, then unreachable; a new leader gives a full period', (t) => {
  const contacts = new Contacts(PATIENCE);
  contacts.expect('old', false, 0);
  contacts.heard('a', false, 0);
  contacts.heard('m', true, 0);
  t.deepEqual(contacts.due(89), { expired: [], unreachable: [] });
  contacts.renew('a', 50);
  t.deepEqual(contacts.due(139), { expired: [], unreachable: [] });
  t.deepEqual(contacts.due(140).expired, ['a']);
  contacts.lost('a', 140);
  t.deepEqual(contacts.due(199).unreachable, []);
  t.deepEqual(contacts.due(200).unreachable, ['a']);
  t.deepEqual(contacts.due(209).unreachable, ['a']);
  t.deepEqual(contacts.due(210).unreachable, ['old', 'a'], 'its keep-alive may have been the longest');
  t.true(contacts.connected('m'));
  contacts.forget('a');
  contacts.forget('old');
  t.is(contacts.nextMs(), 360, 'a metered link is given four times as long');
});

test('a lease follows the keep-alive that an agent has said, up to the longest; whoever was told something has the usual one', (t) => {
  const contacts = new Contacts(PATIENCE);
  contacts.greeted('a', false, 0, 110);
  t.is(contacts.nextMs(), 140, 'the keep-alive, and a third of the lease for the answer');
  contacts.greeted('a', false, 0, 10_000);
  t.is(contacts.nextMs(), 150, 'never longer than the longest');
  contacts.greeted('a', false, 0, 1);
  t.is(contacts.nextMs(), 90, 'never shorter than the first');
  contacts.greeted('m', true, 0, 900);
  contacts.forget('a');
  t.is(contacts.nextMs(), 1_020);
  contacts.heard('m', true, 10);
  t.is(contacts.nextMs(), 1_030, 'other messages leave it');
  contacts.told('m', 50);
  contacts.told('m', 200);
  t.is(contacts.nextMs(), 410, 'from the first thing that it did not acknowledge');
  contacts.renew('m', 49);
  t.is(contacts.nextMs(), 410);
  contacts.renew('m', 51);
  t.is(contacts.nextMs(), 1_071);
  contacts.lost('m', 100);
  contacts.told('m', 100);
  t.is(contacts.nextMs(), 700);
});

test('an idle agent that was connected to a leader that froze finds the new one before it is given up', (t) => {
  for (const metered of [false, true]) {
    const contacts = new Contacts(TIMES);
    contacts.expect('idle', metered, 0);
    // It spoke just before, notices with its keep-alive, tries the frozen one again, and waits as long as it ever does.
    const answerMs = (metered ? TIMES.keepAliveMeteredMs : TIMES.keepAliveMs) / 2;
    const noticedMs = answerMs + (metered ? TIMES.longestKeepAliveMeteredMs : TIMES.longestKeepAliveMs);
    const foundMs = noticedMs + CONNECT_MS + BACK_OFF_MS + CONNECT_MS;
    t.deepEqual(contacts.due(foundMs), { expired: [], unreachable: [] });
    const unreachableMs = metered ? TIMES.unreachableMeteredMs : TIMES.unreachableMs;
    t.deepEqual(contacts.due(noticedMs + unreachableMs - 1).unreachable, [], 'a full period, and then its patience');
    t.deepEqual(contacts.due(noticedMs + unreachableMs).unreachable, ['idle']);
  }
});

test('whatever is heard when: nobody is given up early, nobody is forgotten, and the next deadline is never missed', (t) => {
  const happening = fc.record({
    what: fc.constantFrom('heard', 'packet', 'lost', 'wait'),
    agent: fc.constantFrom('a', 'b'),
    ms: fc.integer({ min: 0, max: 300 }),
  });
  fc.assert(
    fc.property(fc.array(happening, { maxLength: 60 }), fc.boolean(), (list, metered) => {
      const contacts = new Contacts(PATIENCE);
      const lease = PATIENCE.leaseMs * (metered ? 4 : 1);
      const patience = metered ? PATIENCE.unreachableMeteredMs : PATIENCE.unreachableMs;
      /** Of each agent: its last packet, and when its contact was lost. */
      const model = new Map<string, { packetMs: number; lostMs: number | undefined }>();
      let nowMs = 0;
      for (const { what, agent, ms } of list) {
        nowMs += ms;
        const known = model.get(agent);
        if (what === 'heard') {
          contacts.heard(agent, metered, nowMs);
          model.set(agent, { packetMs: nowMs, lostMs: undefined });
        }
        if (what === 'packet' && known !== undefined) {
          contacts.renew(agent, nowMs);
          if (known.lostMs === undefined) known.packetMs = nowMs;
        }
        if (what === 'lost' && known !== undefined && known.lostMs === undefined) {
          contacts.lost(agent, nowMs);
          known.lostMs = nowMs;
        }
        const { expired, unreachable } = contacts.due(nowMs);
        let next: number | undefined;
        for (const [name, { packetMs, lostMs }] of model) {
          const deadline = lostMs === undefined ? packetMs + lease : lostMs + patience;
          next = Math.min(next ?? deadline, deadline);
          if (contacts.connected(name) !== (lostMs === undefined)) return false;
          if (expired.includes(name) !== (lostMs === undefined && deadline <= nowMs)) return false;
          if (unreachable.includes(name) !== (lostMs !== undefined && deadline <= nowMs)) return false;
        }
        if (contacts.nextMs() !== next) return false;
      }
      return true;
    }),
    { numRuns: 500 },
  );
  t.pass();
});

test('connections are spread over the time that they cost a master, and a few are not', (t) => {
  t.is(spreadMs(50, true), 0);
  t.is(spreadMs(1_000, false), 2_000);
  t.is(spreadMs(1_000, true), 4_000);
  t.is(spreadMs(20_000, true), 60_000);
});
