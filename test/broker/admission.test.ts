import { once } from 'node:events';
import { connect as connectTls } from 'node:tls';
import test from 'ava';
import { Admission } from '../../broker/admission/admission.ts';
import { Admissions } from '../../broker/admissions.ts';
import { startBroker } from '../../broker/broker.ts';
import type { Arrival } from '../../io/listener.ts';
import { systemClock } from '../../io/node/clock.ts';
import { listen } from '../../io/node/listener.ts';
import { createLog } from '../../io/node/log.ts';
import { selfSigned } from '../io/self-signed.ts';
import { VirtualClock } from '../sim/clock.ts';
import { ours, RawClient } from './world.ts';

const LIMITS = { atOnce: 2, atOnceMs: 100, waiting: 3, waitMs: 1_000 };
const NOBODY = { open: [], refuse: [] };

test('first come, first served, and no more at once than can be worked on', (t) => {
  const admission = new Admission<string>(LIMITS);
  t.deepEqual(admission.arrived('a', false, 0), { open: ['a'], refuse: [] });
  t.deepEqual(admission.arrived('b', false, 0), { open: ['b'], refuse: [] });
  t.is(admission.nextMs(), undefined, 'nobody waits');
  for (const guest of ['c', 'd', 'e']) t.deepEqual(admission.arrived(guest, false, 1), NOBODY);
  t.is(admission.waiting, 3);
  t.deepEqual(admission.arrived('f', false, 1), { open: [], refuse: ['f'] }, 'as many wait as may');
  t.deepEqual(admission.served('b', 2), { open: ['c'], refuse: [] });
  t.deepEqual(admission.served('b', 2), NOBODY, 'told twice');
  t.deepEqual(admission.served('d', 3), NOBODY, 'gone while it waited');
  t.deepEqual(admission.served('a', 4), { open: ['e'], refuse: [] });
});

test('who is slow makes room after a while', (t) => {
  const admission = new Admission<string>(LIMITS);
  admission.arrived('slow', false, 0);
  admission.arrived('slower', false, 50);
  admission.arrived('a', false, 60);
  admission.arrived('b', false, 60);
  t.is(admission.nextMs(), 100);
  t.deepEqual(admission.due(99), NOBODY);
  t.deepEqual(admission.due(100), { open: ['a'], refuse: [] });
  t.is(admission.nextMs(), 150);
  t.deepEqual(admission.due(150), { open: ['b'], refuse: [] });
  t.deepEqual(admission.served('slow', 151), NOBODY, 'its room is taken');
});

test('who has waited longer than its client does is turned away, not worked on', (t) => {
  const admission = new Admission<string>({ ...LIMITS, atOnce: 1, atOnceMs: 5_000 });
  admission.arrived('a', false, 0);
  admission.arrived('late', false, 1);
  admission.arrived('b', false, 500);
  t.deepEqual(admission.served('a', 1_002), { open: ['b'], refuse: ['late'] });
});

test('those that go first have every other turn', (t) => {
  const admission = new Admission<string>({ ...LIMITS, atOnce: 1 });
  admission.arrived('working', true, 0);
  for (const guest of ['a', 'b', 'c']) admission.arrived(guest, false, 1);
  for (const guest of ['m1', 'm2']) admission.arrived(guest, true, 2);
  const order: string[] = [];
  for (let turn = 'working'; turn !== ''; ) {
    const [next = ''] = admission.served(turn, 3).open;
    if (next !== '') order.push(next);
    turn = next;
  }
  t.deepEqual(order.toSorted(), ['a', 'b', 'c', 'm1', 'm2']);
  t.true(order.indexOf('m2') < order.indexOf('c'), 'though all of the others came before');
});

/** Somebody who has connected from there. */
function arrivalFrom(address: string, done: string[], sameMachine = false): Arrival {
  return {
    address,
    sameMachine,
    open: () => undefined,
    refuse: () => done.push(`refused ${address}`),
    onClosed: () => undefined,
  };
}

test('a master and this machine come through a herd', async (t) => {
  const clock = new VirtualClock();
  const done: string[] = [];
  const admissions = new Admissions(
    { atOnce: 1, atOnceMs: 100, waiting: 10, waitMs: 5_000 },
    clock,
    ({ address }) => done.push(address),
    () => done.push('counted'),
  );
  admissions.goesFirst('master');
  for (let at = 0; at < 12; at++) admissions.arrived(arrivalFrom(`agent${at}`, done));
  t.deepEqual(done.splice(0), ['agent0', 'counted', 'refused agent11']);
  admissions.arrived(arrivalFrom('master', done));
  admissions.arrived(arrivalFrom('here', done, true));
  await clock.advance(400);
  t.true(done.includes('master') && done.includes('here'), done.join());
  t.true(done.indexOf('agent1') < done.indexOf('here'), 'and the herd goes on meanwhile');
  admissions.stop();
});

test('a broker works on few connections at once; the others wait their turn, and are turned away when there are too many', async (t) => {
  const subject = await ours({ atOnce: 1, atOnceMs: 600_000, waiting: 2, waitMs: 600_000 });
  const silent = await RawClient.open(subject.port);
  const second = RawClient.connect(subject.port, 'second');
  // Connections of one machine are accepted in the order in which they were made.
  await new Promise((resolve) => setImmediate(resolve));
  const third = RawClient.connect(subject.port, 'third');
  await new Promise((resolve) => setImmediate(resolve));
  const fourth = await RawClient.connect(subject.port, 'fourth');
  t.is(fourth.returnCode, undefined, 'turned away');
  t.deepEqual(subject.broker.stats().rejected, { 'too busy': 1 });
  t.is(subject.broker.stats().connectionsTotal, 1, 'nothing was done for those who wait');
  silent.close();
  t.is((await second).returnCode, 0);
  t.is((await third).returnCode, 0);
  for (const { client } of [await second, await third, fourth]) client.close();
  await subject.close();
});

test('a TLS handshake waits its turn', async (t) => {
  const made = selfSigned();
  if (made === undefined) {
    t.log('openssl is not installed: TLS was not checked');
    t.not(process.env['CI'], 'true');
    return;
  }
  const listener = await listen({ url: 'mqtts://127.0.0.1:0', certificate: made.cert, key: made.key });
  const broker = await startBroker({
    listeners: [listener],
    authenticate: ({ clientId }) => ({ role: 'any', name: clientId }),
    rights: [],
    version: '0.0.0',
    clock: systemClock,
    log: createLog({ level: 'error' }),
    limits: { atOnce: 1, atOnceMs: 600_000, connections: 2 },
  });
  broker.open();
  const port = Number(new URL(listener.url).port);
  const dial = () => connectTls({ port, host: '127.0.0.1', ca: made.cert, servername: 'localhost' });
  const first = dial();
  await once(first, 'secureConnect');
  const second = dial();
  await once(second, 'connect');
  t.is(broker.stats().connectionsTotal, 1);
  const handshake = once(second, 'secureConnect').then(() => 'handshake');
  const third = dial().on('error', () => undefined);
  const turnedAway = new Promise((resolve) => third.once('close', () => resolve('turned away')));
  t.is(await Promise.race([handshake, turnedAway]), 'turned away', 'the second goes on waiting');
  first.destroy();
  t.is(await handshake, 'handshake', 'and has its turn');
  second.destroy();
  await broker.close();
});
