import test from 'ava';
import { serviceWaits } from '../../cli/service-patience.ts';
import { Fault } from '../../protocol/faults.ts';
import { VirtualClock } from '../sim/virtual-clock.ts';

const REFUSED = new Fault('BAD_CREDENTIALS', 'the broker does not accept agent pi-1');
const never = new Promise<undefined>(() => undefined);

test('a service that is refused waits before it ends, and says so', async (t) => {
  const clock = new VirtualClock();
  const said: string[] = [];
  let over: boolean | undefined;
  const service = { clock, environment: { MESQ_SERVICE: 'yes' } };
  const waiting = serviceWaits(service, REFUSED, never, (text) => said.push(text)).then((told) => {
    over = told;
  });
  await Promise.resolve();
  t.is(over, undefined);
  t.true(clock.step());
  await waiting;
  t.is(over, false);
  t.is(clock.monotonic(), 300_000);
  t.deepEqual(said, ['the broker does not accept agent pi-1: this service waits 5 minutes before it ends']);
});

test('one that is told to stop meanwhile does, and has not failed', async (t) => {
  const service = { clock: new VirtualClock(), environment: { MESQ_SERVICE: 'yes' } };
  t.true(await serviceWaits(service, REFUSED, Promise.resolve(undefined), t.log));
});

test('a person’s command ends at once, and so does a service for a fault of its own', async (t) => {
  const clock = new VirtualClock();
  t.false(await serviceWaits({ clock, environment: { INVOCATION_ID: 'f00' } }, REFUSED, never, t.log));
  const service = { clock, environment: { MESQ_SERVICE: 'yes' } };
  for (const code of ['GONE', 'BAD_USAGE', 'DISK'] as const)
    t.false(await serviceWaits(service, new Fault(code, 'so it is'), never, t.log));
});
