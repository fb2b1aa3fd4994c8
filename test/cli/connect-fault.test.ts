import test from 'ava';
import { connectFault } from '../../cli/start-terminal.ts';
import { BusError } from '../../io/bus.ts';
import { wayHint } from '../../io/node/way-hint.ts';
import { FAULTS } from '../../protocol/faults.ts';

test('who gave no token and is refused hears that the name has one, and where an operator finds one', (t) => {
  const refused = new BusError('BAD_CREDENTIALS', 'the broker refused the user name or password');
  const fault = connectFault(refused, 'pi', false);
  t.is(fault.code, 'BAD_CREDENTIALS');
  t.is(fault.message, 'no token was given, and the broker takes nobody as pi without one');
  t.regex(fault.hint, /MESQ_TOKEN.*operator-token/);
  t.is(connectFault(refused, 'pi', true).message, refused.message, 'a wrong token is told as such');
  t.is(connectFault(new BusError('UNREACHABLE', 'nobody listens'), 'pi', false).message, 'nobody listens');
});

test('a URL that does not fit what listens there is met with the one that may', (t) => {
  const hint = (message: string): string => connectFault(new BusError('UNREACHABLE', message), 'pi', false).hint;
  t.regex(hint('mqtts://m1:8883: self-signed certificate (DEPTH_ZERO_SELF_SIGNED_CERT)'), /--ca/);
  t.regex(hint('mqtts://10.0.0.1:8883: Hostname does not match (ERR_TLS_CERT_ALTNAME_INVALID)'), /in its certificate/);
  t.regex(hint('mqtts://m1:1883: the broker reset the connection (ECONNRESET)'), /without TLS.*mqtt:/);
  t.regex(hint('wss://m1:8080: no TLS is spoken there (EPROTO)'), /without TLS/);
  t.regex(hint('mqtt://m1:8883: the broker closed the connection'), /with TLS.*mqtts:/);
  t.regex(hint('mqtt://m1:8080: Invalid header flag bits, must be 0x0 for puback packet'), /ws:\/\//);
  t.is(hint('mqtt://m1:1883: nothing listens there (ECONNREFUSED)'), FAULTS.UNREACHABLE.hint);
  t.is(wayHint('mqtt://m1:1883: no such host (ENOTFOUND)'), undefined);
});
