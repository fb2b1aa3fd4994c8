import test from 'ava';
import fc from 'fast-check';
import { AGENT_DOWN, AGENT_UP, taskDigest } from '../../protocol/agent-link.ts';
import { cut, decode, encode, read, write } from '../../protocol/envelope.ts';
import { Fault } from '../../protocol/faults.ts';
import { LIMITS } from '../../protocol/limits.ts';
import { REQUESTS } from '../../protocol/operator.ts';
import { CALLS } from '../../protocol/scheduler.ts';

const codeOf = (result: unknown): string => (result instanceof Fault ? result.code : 'no fault');
const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));

test('what is written in either encoding is read the same, and the encoding is told', (t) => {
  for (const encoding of ['cbor', 'json'] as const) {
    const result = read(CALLS, write(CALLS, { type: 'REVIVE', roles: ['ann'] }, encoding));
    if (result instanceof Fault) return t.fail(result.message);
    t.is(result.encoding, encoding);
    t.deepEqual(result.message, { v: 1, type: 'REVIVE', roles: ['ann'] });
  }
});

test('unknown fields are ignored, unknown types and versions are faults that say what is known', (t) => {
  t.deepEqual(read(CALLS, encode({ v: 1, type: 'REVIVE', colour: 'red' }, 'json')), {
    encoding: 'json',
    message: { v: 1, type: 'REVIVE', roles: [] },
  });
  for (const v of [0, 2, 1.5, '1', undefined, -1])
    t.is(codeOf(read(CALLS, encode({ v, type: 'REVIVE' }, 'json'))), 'VERSION');
  const unknown = read(REQUESTS, encode({ v: 1, type: 'toString' }, 'json'));
  t.is(codeOf(unknown), 'UNKNOWN_TYPE');
  t.regex(unknown instanceof Fault ? unknown.message : '', /REQUEST/);
});

test('a wrong field is named with its place', (t) => {
  const cases: [object, RegExp][] = [
    [{ type: 'KILL', tasks: [{ task: 'a' }, { task: '../b' }] }, /^tasks\.1\.task: /],
    [{ type: 'KILL', tasks: 'all' }, /^tasks: /],
    [
      { type: 'ACCEPT', offers: ['o'], operations: [{ type: 'LAUNCH', tasks: [{ task: 'a' }] }] },
      /^operations\.0\.tasks\.0\./,
    ],
    [{ type: 'ACCEPT', offers: ['o'], operations: Array(101).fill({ type: 'LAUNCH', tasks: [] }) }, /^operations: /],
  ];
  for (const [call, where] of cases) {
    const fault = read(CALLS, encode({ v: 1, ...call }, 'cbor'));
    if (!(fault instanceof Fault)) return t.fail('it was read');
    t.is(fault.code, 'BAD_SHAPE');
    t.regex(fault.message, where);
  }
});

test('nothing but bytes of a message: empty, too large, cut short, with more behind, or no UTF-8', (t) => {
  t.is(codeOf(decode(new Uint8Array())), 'BAD_ENCODING');
  t.is(codeOf(decode(new Uint8Array(LIMITS.payloadBytes + 1))), 'TOO_LARGE');
  const whole = write(AGENT_UP, { type: 'RENEW', epoch: 3 });
  for (let end = 1; end < whole.length; end++) t.is(codeOf(decode(whole.subarray(0, end))), 'BAD_ENCODING');
  t.is(codeOf(decode(Uint8Array.of(...whole, 0))), 'BAD_ENCODING');
  t.is(codeOf(decode(hex('7b 22 ff 22 3a 31 7d'))), 'BAD_ENCODING');
});

test('no tags: bignums, circles, sets, dates; no deep nesting; no lengths that lie', (t) => {
  const refused = {
    bignum: 'c2 42 01 02',
    'negative bignum': 'c3 42 01 02',
    circle: 'd8 1c 81 d8 1d 00',
    set: 'd9 0102 81 01',
    date: 'c1 1a 00000001',
    'record of the decoder': 'd9 dfff 82 81 61 61 01',
    'array of 2^32 - 1': '9a ffffffff',
    'map of 2^53 - 1': 'bb 001fffffffffffff',
    'text of 2^32 - 1': '7a ffffffff',
    'a break alone': 'ff',
    'nothing in an array without end': '9f',
  };
  for (const [name, bytes] of Object.entries(refused)) t.is(codeOf(decode(hex(bytes))), 'BAD_ENCODING', name);
  const nested = (depth: number, open: number, close: number): Uint8Array =>
    Uint8Array.from([...Array(depth).fill(open), ...Array(depth).fill(close)]);
  t.is(codeOf(decode(Uint8Array.from([...Array(60_000).fill(0x81), 1]))), 'BAD_ENCODING');
  t.is(codeOf(decode(nested(60_000 / 2, 0x9f, 0xff))), 'BAD_ENCODING');
  const inMap = (text: string): Uint8Array => new TextEncoder().encode(`{"a":${text}}`);
  t.is(codeOf(decode(inMap('['.repeat(30_000) + ']'.repeat(30_000)))), 'BAD_ENCODING');
  t.is(codeOf(decode(inMap(`${'['.repeat(20)}"[[[[[[[[[[[[[[[[["${']'.repeat(20)}`))), 'no fault', 'brackets in text');
});

test('an integer of 64 bits is a number, so that JSON can carry it on', (t) => {
  const result = decode(hex('a1 61 61 1b 7fffffffffffffff'));
  if (result instanceof Fault) return t.fail(result.message);
  t.notThrows(() => JSON.stringify(result.value));
});

test('every message that our encoder writes is of an allowed form, and random bytes never throw', (t) => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 8 }), { maxKeys: 40 }), (value) => {
      for (const encoding of ['cbor', 'json'] as const) {
        const result = decode(encode(value, encoding));
        if (result instanceof Fault) return false;
      }
      return true;
    }),
  );
  t.notThrows(() =>
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => decode(bytes) !== undefined),
      { numRuns: 2_000 },
    ),
  );
});

test('lists are cut below their size, and lose nothing', (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.string({ maxLength: 300 }), { maxLength: 200 }),
      fc.integer({ min: 400, max: 4_000 }),
      (items, bytes) => {
        const parts = cut(items, bytes);
        t.deepEqual(parts.flat(), items);
        return parts.length > 0 && parts.every((part) => encode(part, 'cbor').length <= bytes + 1_000);
      },
    ),
  );
});

test('bytes travel in JSON as base64', (t) => {
  const bytes = Uint8Array.of(0, 255, 10);
  const text = new TextDecoder().decode(encode({ data: bytes }, 'json'));
  t.is(text, '{"data":"AP8K"}');
});

test('a digest tells sets of tasks apart, whatever their order', (t) => {
  const key = (task: string, attempt = 0) => ({ framework: 'f', task, attempt });
  t.is(taskDigest([key('a'), key('b')]), taskDigest([key('b'), key('a')]));
  t.not(taskDigest([key('a'), key('b')]), taskDigest([key('a'), key('b', 1)]));
  t.not(taskDigest([]), taskDigest([key('a')]));
});

test('a command to an agent without its fence is not a command', (t) => {
  t.is(codeOf(read(AGENT_DOWN, encode({ v: 1, type: 'RUN', tasks: [] }, 'cbor'))), 'BAD_SHAPE');
});
