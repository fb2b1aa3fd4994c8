import test from 'ava';
import { startDevices } from '../../cli/start-devices.ts';
import { Fault } from '../../protocol/faults.ts';

test('a device that cannot be meant is refused before anything is begun', async (t) => {
  for (const [device, says] of [
    ['mqtt://b/%zz', /^--device: mqtt:\/\/b\/%zz has a % that is no code/],
    ['mqtt://b/%ff', /^--device: mqtt:\/\/b\/%ff has a % that is no code/],
    ['mqtt://b/a%2Bb', /^--device: a\+b is not the topic of one device/],
    ['http://b/x', /^--device: http:\/\/b\/x is not mqtt:/],
  ] as const) {
    const fault = await startDevices({ firmware: 'tasmota', device, masters: [], data: '/nonexistent' });
    if (!(fault instanceof Fault)) return t.fail(device);
    t.is(fault.code, 'BAD_USAGE');
    t.regex(fault.message, says);
  }
});
