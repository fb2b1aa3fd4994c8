import test from 'ava';
import { serviceEnd } from '../../cli/service-patience.ts';
import { Fault } from '../../protocol/faults.ts';
import { VirtualClock } from '../sim/virtual-clock.ts';

const REFUSED = new Fault('BAD_CREDENTIALS', 'the broker does not accept agent pi-1');
const LACKING = new Fault('BAD_USAGE', '--devices: there is no gpus/0', 'No GPU was found here.');
const never = new Promise<undefined>(() => undefined);

/** What it ends with, after which time, and what it says before. */
async function ended(fault: Fault, environment: Record<string, string>, stopped: Promise<undefined> = never) {
  const clock = new VirtualClock();
  const said: string[] = [];
  let isOver = false;
  const end = serviceEnd({ clock, environment }, fault, stopped, (text) => said.push(text)).finally(() => {
    isOver = true;
  });
  await new Promise((resolve) => setImmediate(resolve));
  if (!isOver) clock.step();
  return { end: await end, ms: clock.monotonic(), said };
}

test('a service that is refused waits before it ends, and says so', async (t) => {
  t.deepEqual(await ended(REFUSED, { MESQ_SERVICE: 'yes' }), {
    end: REFUSED,
    ms: 300_000,
    said: ['the broker does not accept agent pi-1: this service waits 300 s before it ends'],
  });
});

test('one that lacks something of its machine is started again: that may only be late', async (t) => {
  const { end, ms } = await ended(LACKING, { MESQ_SERVICE: 'yes' });
  t.like(end, { code: 'UNSUPPORTED', message: LACKING.message, hint: LACKING.hint });
  t.is(ms, 30_000);
});

test('one that is told to stop meanwhile does, and has not failed', async (t) => {
  t.like(await ended(REFUSED, { MESQ_SERVICE: 'yes' }, Promise.resolve(undefined)), { end: 0, ms: 0 });
});

test('a person’s command ends at once, and so does a service for a fault of its own', async (t) => {
  for (const fault of [REFUSED, LACKING])
    t.deepEqual(await ended(fault, { INVOCATION_ID: 'f00' }), { end: fault, ms: 0, said: [] });
  for (const code of ['GONE', 'DISK', 'UNREACHABLE'] as const) {
    const fault = new Fault(code, 'so it is');
    t.deepEqual(await ended(fault, { MESQ_SERVICE: 'yes' }), { end: fault, ms: 0, said: [] });
  }
});
