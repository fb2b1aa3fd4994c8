import test from 'ava';
import fc from 'fast-check';
import * as v from 'valibot';
import {
  type Attributes,
  AttributesSchema,
  attributeOf,
  attributeText,
  formatAttributes,
  mergeAttributes,
  parseAttributes,
} from '../../protocol/attributes.ts';
import { Fault } from '../../protocol/faults.ts';

const SAMPLE: Attributes = [
  { name: 'arch', text: 'arm64' },
  { name: 'url', text: 'http://x:80/(a)' },
  { name: 'temp', scalar: -1500 },
  {
    name: 'vlans',
    ranges: [
      [1, 2],
      [5, 9],
    ],
  },
  { name: 'note', text: 'on the roof' },
];

test('splits at the first colon only, and tells numbers, ranges and text apart', (t) => {
  t.deepEqual(
    parseAttributes(' arch:arm64;url:http://x:80/(a); temp : -1.5 ;vlans:[5-9,1-2];;note: on the roof '),
    SAMPLE,
  );
  t.is(formatAttributes(SAMPLE), 'arch:arm64;url:http://x:80/(a);temp:-1.5;vlans:[1-2, 5-9];note:on the roof');
  t.deepEqual(parseAttributes(''), []);
});

test('says which character is wrong', (t) => {
  const cases: readonly (readonly [text: string, at: number, says: RegExp])[] = [
    ['arch', 5, /found the end, expected ":"/],
    ['arch:', 6, /expected a value/],
    ['a b:1', 1, /a name has/],
    ['a:1;a:2', 5, /a is there twice/],
    ['a:{x}', 3, /cannot be a set/],
    ['a:x]', 4, /found "]", expected text without brackets/],
    ['a:(x', 3, /without brackets/],
    [`a:${'x'.repeat(300)}`, 3, /1 to 256 characters/],
  ];
  for (const [text, at, says] of cases) {
    const outcome = parseAttributes(text);
    const message = outcome instanceof Fault ? outcome.message : t.fail(`accepted: ${text}`);
    t.true(message.includes(`character ${at}: `), `${text} → ${message}`);
    t.regex(message, says);
  }
  const many = parseAttributes(Array.from({ length: 101 }, (_, index) => `a${index}:1`).join(';'));
  t.regex(many instanceof Fault ? many.message : '', /more than 100/);
});

test('travels as plain data or as text', (t) => {
  t.deepEqual(v.parse(AttributesSchema, JSON.parse(JSON.stringify(SAMPLE))), [...SAMPLE]);
  t.deepEqual(v.parse(AttributesSchema, formatAttributes(SAMPLE)), [...SAMPLE]);
  const wrong: readonly unknown[] = [
    [{ name: 'a' }],
    [{ name: 'a', text: 'x', scalar: 1 }],
    [{ name: 'a', text: 'x;y' }],
    [{ name: 'a', text: '' }],
    [{ name: 'a', scalar: 0.5 }],
    [{ name: 'a', ranges: [[2, 1]] }],
    [{ name: 'a b', text: 'x' }],
    [SAMPLE[0], SAMPLE[0]],
    'a',
  ];
  for (const value of wrong) t.false(v.safeParse(AttributesSchema, value).success, JSON.stringify(value));
});

test('what a person wrote wins over what was detected', (t) => {
  const merged = mergeAttributes(SAMPLE, [
    { name: 'arch', text: 'x64' },
    { name: 'site', text: 'roof' },
  ]);
  t.deepEqual(
    merged.map(({ name }) => name),
    ['url', 'temp', 'vlans', 'note', 'arch', 'site'],
  );
  const arch = attributeOf(merged, 'arch');
  t.is(arch && attributeText(arch), 'x64');
});

test('what the schema accepts survives the way through text', (t) => {
  const attribute = fc.oneof(
    fc.record({ name: fc.constantFrom('a', 'b', 'c'), text: fc.string({ minLength: 1 }) }),
    fc.record({ name: fc.constantFrom('a', 'b', 'c'), scalar: fc.integer({ min: -1e13, max: 1e13 }) }),
  );
  fc.assert(
    fc.property(fc.array(attribute, { maxLength: 3 }), (list) => {
      const accepted = v.safeParse(AttributesSchema, list);
      if (!accepted.success) return;
      // Text that looks like a number comes back as one, and is compared as the same text.
      const back = parseAttributes(formatAttributes(accepted.output));
      if (back instanceof Fault) return t.fail(back.message);
      t.is(back.length, list.length);
    }),
    { numRuns: 500 },
  );
  t.pass();
});
