import test from 'ava';
import { refusalsOf } from '../../cli/start-refusals.ts';
import { BusError } from '../../io/bus.ts';
import type { Fault } from '../../protocol/faults.ts';

const TAKEN = new BusError('NOT_ALLOWED', 'mqtt://m2: the broker refused this client id');
const REVOKED = new BusError('BAD_CREDENTIALS', 'mqtt://m2: the broker refused the user name or password');

function agent() {
  const failed: Fault['code'][] = [];
  const logged: string[] = [];
  const error = (message: string, fields?: object): void => {
    logged.push(`${message} ${JSON.stringify(fields)}`);
  };
  const log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error };
  return { failed, logged, refusals: refusalsOf('pi-1', log, ({ code }) => failed.push(code)) };
}

test('an agent that no broker has taken ends with why', (t) => {
  const { refusals, failed, logged } = agent();
  refusals.refused(TAKEN);
  t.deepEqual(failed, ['NAME_TAKEN']);
  t.deepEqual(logged, []);
});

test('one that some broker has taken tries on, and each reason is in its log once, with what to do', (t) => {
  const { refusals, failed, logged } = agent();
  refusals.connected();
  for (const error of [TAKEN, TAKEN, REVOKED, TAKEN]) refusals.refused(error);
  t.deepEqual(failed, []);
  t.is(logged.length, 2);
  t.regex(logged[0] ?? '', /^an agent named pi-1 is connected already.*--name, for example pi-1-2/);
  t.regex(logged[1] ?? '', /^the broker does not accept agent pi-1/);
});

test('a service tries on from the beginning: its tasks are not left for a refusal', (t) => {
  const logged: string[] = [];
  const error = (message: string): void => void logged.push(message);
  const log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error };
  const refusals = refusalsOf('pi-1', log);
  for (let time = 0; time < 3; time++) refusals.refused(REVOKED);
  t.is(logged.length, 1);
  t.regex(logged[0] ?? '', /does not accept agent pi-1/);
});
