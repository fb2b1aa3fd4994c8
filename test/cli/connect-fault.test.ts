import test from 'ava';
import { connectFault } from '../../cli/start-terminal.ts';
import { BusError } from '../../io/bus.ts';

test('who gave no token and is refused hears that the name has one, and where an operator finds one', (t) => {
  const refused = new BusError('BAD_CREDENTIALS', 'the broker refused the user name or password');
  const fault = connectFault(refused, 'pi', false);
  t.is(fault.code, 'BAD_CREDENTIALS');
  t.is(fault.message, 'no token was given, and the broker takes nobody as pi without one');
  t.regex(fault.hint, /MESQ_TOKEN.*operator-token/);
  t.is(connectFault(refused, 'pi', true).message, refused.message, 'a wrong token is told as such');
  t.is(connectFault(new BusError('UNREACHABLE', 'nobody listens'), 'pi', false).message, 'nobody listens');
});
