import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import * as v from 'valibot';
import { Fault } from '../../protocol/faults.ts';
import {
  addQuantities,
  containsQuantities,
  formatQuantities,
  parseQuantities,
  QuantitiesSchema,
  quantitiesOf,
  subtractQuantities,
} from '../../protocol/quantities.ts';
import {
  add,
  allocatableTo,
  asRole,
  contains,
  equals,
  find,
  scalarOf,
  shrinkToLimits,
  shrinkToQuantities,
  subtract,
  toUnreserved,
} from '../../protocol/resource-arithmetic.ts';
import { resourcesFromJson } from '../../protocol/resource-json.ts';
import {
  addRanges,
  coalesceRanges,
  containsRanges,
  countRanges,
  intersectRanges,
  type Range,
  type Ranges,
  subtractRanges,
  takeFirst,
} from '../../protocol/resource-ranges.ts';
import { formatScalar, parseScalar, scalarFromNumber } from '../../protocol/resource-scalar.ts';
import {
  formatResources,
  parseResources,
  type Resource,
  type Resources,
  ResourcesSchema,
} from '../../protocol/resources.ts';

function read(t: ExecutionContext, text: string, role?: string): Resources {
  const resources = parseResources(text, role);
  return resources instanceof Fault ? t.fail(resources.message) : resources;
}

function faultOf(t: ExecutionContext, outcome: unknown): string {
  return outcome instanceof Fault ? outcome.message : t.fail(`expected a fault, got ${JSON.stringify(outcome)}`);
}

test('reads every kind of value, role and revocable mark', (t) => {
  t.deepEqual(
    read(t, ' cpus ( a/b ) {REV} : 1.5 ;; cpus{REV}(a/b):1; ports:[ 5 - 7 , 1-3 ] ; disks:{ sdb, sda } ;gpus:0'),
    [
      { name: 'cpus', role: 'a/b', revocable: true, scalar: 2500 },
      {
        name: 'ports',
        ranges: [
          [1, 3],
          [5, 7],
        ],
      },
      { name: 'disks', set: ['sdb', 'sda'] },
    ],
  );
  t.deepEqual(read(t, 'cpus:1;mem(*):2', 'lab'), [
    { name: 'cpus', role: 'lab', scalar: 1000 },
    { name: 'mem', scalar: 2000 },
  ]);
  t.deepEqual(read(t, ' '), []);
});

test('says which character is wrong, what it found and what it expected', (t) => {
  const cases: readonly (readonly [text: string, at: number, says: RegExp])[] = [
    ['cpus:4x', 7, /found "x", expected a digit/],
    ['cpus:4;mem', 11, /found the end, expected ":"/],
    ['cpus:4; :2', 9, /found ":", expected a name/],
    ['cpus:', 6, /found the end, expected a value/],
    ['cpus:four', 6, /found "f", expected a number/],
    ['cpus(role1:1', 13, /found the end, expected "\)"/],
    ['cpus)(role1:1', 5, /found "\)", expected ":"/],
    ['cpus(a)(b):1', 8, /found "\(", expected ":"/],
    ['cpus(-a):1', 6, /cannot begin with "-"/],
    ['cpus(a//b):1', 8, /no empty part/],
    ['cpus():1', 6, /no empty part/],
    ['cpus(a/*):1', 8, /only by itself/],
    ['cpus(..):1', 6, /cannot be/],
    ['cpus(a b):1', 7, /cannot have " "/],
    ['cpus:-1', 1, /cannot be negative/],
    ['mem:1;gpus:1.5', 7, /gpus are whole/],
    ['cpus:[1-2]', 1, /cpus is a number, here it is ranges/],
    ['foo(a):1;foo(b):[0-1]', 10, /foo is a number, here it is ranges/],
    ['ports:[5-1]', 8, /5-1 is reversed/],
    ['ports:[1-2,]', 12, /found "\]", expected a range/],
    ['ports:[1-2b]', 11, /found "b", expected "," or "\]"/],
    ['ports:[1-x]', 10, /found "x", expected a range/],
    ['ports:[1-2', 11, /found the end, expected "," or "\]"/],
    ['ports:[1-2]]', 12, /found "\]", expected ";"/],
    ['ports:[1-2000000000000]', 8, /at most 1099511627776/],
    ['disks:{a,a}', 10, /"a" is in the set twice/],
    ['disks:{a,}', 10, /found "}", expected a member/],
    ['disks:{a', 9, /found the end, expected "," or "}"/],
    ['disks:{a}b', 10, /found "b", expected ";"/],
    ['__proto__:1', 1, /a name has 1 to 64/],
    ['cpus:7.63918e-313', 6, /between ±0.001/],
    ['[{"name":"a"}', 14, /JSON array/],
  ];
  for (const [text, at, says] of cases) {
    const outcome = parseResources(text);
    const message = faultOf(t, outcome);
    t.true(message.includes(`character ${at}: `), `${text} → ${message}`);
    t.regex(message, says);
    t.is(outcome instanceof Fault && outcome.code, 'BAD_RESOURCES');
  }
});

test('keeps what a text may cost within limits', (t) => {
  t.is(faultOf(t, parseResources('x'.repeat(70_000))), 'resources have at most 65536 characters');
  const names = Array.from({ length: 101 }, (_, index) => `r${index}:1`).join(';');
  t.regex(faultOf(t, parseResources(names)), /more than 100 resources/);
  const ports = Array.from({ length: 2001 }, (_, index) => `${index * 2}-${index * 2}`).join(',');
  t.regex(faultOf(t, parseResources(`ports:[${ports}]`)), /too many ranges/);
});

test('reads the JSON of Mesos, from text too', (t) => {
  const json = [
    { name: 'cpus', type: 'SCALAR', scalar: { value: 45.55 }, role: 'lab' },
    {
      name: 'ports',
      type: 'RANGES',
      ranges: {
        range: [
          { begin: 5, end: 9 },
          { begin: 1, end: 4 },
        ],
      },
    },
    { name: 'disks', type: 'SET', set: { item: ['sda'] }, reservations: [{ type: 'STATIC', role: 'x/y' }] },
  ];
  const expected: Resources = [
    { name: 'cpus', role: 'lab', scalar: 45_550 },
    { name: 'ports', ranges: [[1, 9]] },
    { name: 'disks', role: 'x/y', set: ['sda'] },
  ];
  t.deepEqual(resourcesFromJson(json), expected);
  t.deepEqual(read(t, ` ${JSON.stringify(json)}`), expected);
});

test('refuses JSON that Mesos refuses, naming the entry', (t) => {
  const good = { name: 'a', type: 'SCALAR', scalar: { value: 1 } };
  const cases: readonly (readonly [entry: unknown, says: RegExp])[] = [
    [7, /expected an object/],
    [{ ...good, name: 7 }, /"name" must be a string/],
    [{ name: 'a', type: 'TEXT', text: { value: 'x' } }, /"type" must be/],
    [{ ...good, type: 'SET' }, /"scalar" does not go with the type "SET"/],
    [{ ...good, scalar: { value: '1' } }, /"scalar" must be/],
    [{ ...good, role: 7 }, /"role" must be a string/],
    [{ ...good, role: '-x' }, /cannot begin with "-"/],
    [{ ...good, revocable: {} }, /"revocable" cannot be written here/],
    [{ ...good, disk: { persistence: { id: 'v' } } }, /"disk" cannot/],
    [{ ...good, reservations: [{ type: 'DYNAMIC', role: 'x' }] }, /"STATIC"/],
    [{ name: 'p', type: 'RANGES', ranges: { range: [{ begin: 2, end: 1 }] } }, /reversed/],
    [
      {
        name: 'p',
        type: 'RANGES',
        ranges: {
          range: [
            { begin: 1, end: 3 },
            { begin: 3, end: 4 },
          ],
        },
      },
      /overlap at 3/,
    ],
    [{ name: 'p', type: 'RANGES', ranges: { range: [{ begin: 0.5, end: 1 }] } }, /whole number/],
    [{ name: 's', type: 'SET', set: { item: ['a', 'a'] } }, /twice/],
    [{ name: 's', type: 'SET', set: { item: ['a;b'] } }, /a member of a set is/],
    [{ name: 'a', type: 'SET', set: { item: ['x'] } }, /a is a number, here it is a set/],
  ];
  for (const [entry, says] of cases) {
    const message = faultOf(t, resourcesFromJson([good, entry]));
    t.true(message.startsWith('in entry 2 of the JSON: '), message);
    t.regex(message, says);
  }
  t.regex(faultOf(t, resourcesFromJson({})), /an array of objects/);
});

test('rounds what is written to thousandths, half away from zero', (t) => {
  const cases: readonly (readonly [string, number | undefined])[] = [
    ['1.2345', 1235],
    ['-1.2345', -1235],
    ['0.0004999', 0],
    ['-0.0001', 0],
    ['1e3', 1_000_000],
    ['123e-5', 1],
    ['.5', 500],
    ['5.', 5000],
    ['+2', 2000],
    ['1.0005', 1001],
    ['0.9999', 1000],
    ['10000000000', 10_000_000_000_000],
    ['10000000000.001', undefined],
    ['1e999999999999', undefined],
    ['1e-400', undefined],
    ['0e-400', 0],
    ['nan', undefined],
    ['0x10', undefined],
    ['', undefined],
    ['1 2', undefined],
  ];
  for (const [text, thousandths] of cases) t.is(parseScalar(text), thousandths, text);
  t.is(scalarFromNumber(1e21), undefined);
  t.is(scalarFromNumber(Number.NaN), undefined);
  t.is(formatScalar(-1_050), '-1.05');
  fc.assert(fc.property(fc.integer({ min: -1e13, max: 1e13 }), (n) => parseScalar(formatScalar(n)) === n));
});

test('the schema takes both forms and gives the canonical one', (t) => {
  t.deepEqual(v.parse(ResourcesSchema, 'cpus:1'), [{ name: 'cpus', scalar: 1000 }]);
  const loose = [
    {
      name: 'ports',
      ranges: [
        [5, 9],
        [1, 6],
      ],
      extra: true,
    },
    { name: 'cpus', role: '*', scalar: 1 },
    { name: 'cpus', scalar: 2 },
    { name: 'disks', set: ['b', 'a', 'b'] },
    { name: 'gpus', scalar: 0 },
  ];
  t.deepEqual(v.parse(ResourcesSchema, loose), [
    { name: 'ports', ranges: [[1, 9]] },
    { name: 'cpus', scalar: 3 },
    { name: 'disks', set: ['b', 'a'] },
  ]);
  const wrong: readonly unknown[] = [
    'cpus:x',
    7,
    [{ name: 'cpus', scalar: 1.5 }],
    [{ name: 'cpus', scalar: -1 }],
    [{ name: 'cpus', scalar: 1e14 }],
    [{ name: 'cpus' }],
    [{ name: 'x', scalar: 1, set: ['a'] }],
    [{ name: 'ports', ranges: [[2, 1]] }],
    [{ name: 'ports', ranges: [[1]] }],
    [{ name: 'gpus', scalar: 1 }],
    [{ name: 'x', role: 'a b', scalar: 1 }],
    [{ name: 'x', set: ['a}'] }],
    [{ name: '', scalar: 1 }],
    [{ name: 'x', revocable: false, scalar: 1 }],
  ];
  for (const value of wrong) t.false(v.safeParse(ResourcesSchema, value).success, JSON.stringify(value));
});

test('reserved resources go to the role and the roles below it', (t) => {
  const all = read(t, 'cpus:1;cpus(a):2;cpus(a/b):4;cpus(a/bx):8;ports(a):[1-2];ports:[3-4]');
  t.is(formatResources(allocatableTo(all, 'a/b')), 'cpus:1;cpus(a):2;cpus(a/b):4;ports(a):[1-2];ports:[3-4]');
  t.is(formatResources(allocatableTo(read(t, 'cpus(a/b):1;mem(a):1'), 'a/bx')), 'mem(a):1');
  t.is(formatResources(allocatableTo(all, '*')), 'cpus:1;ports:[3-4]');
  t.is(formatResources(toUnreserved(all)), 'cpus:15;ports:[1-4]');
  t.is(formatResources(asRole(read(t, 'cpus:1;cpus(a):2'), 'b')), 'cpus(b):3');
  t.is(scalarOf(all, 'cpus'), 15_000);
  t.is(scalarOf(all, 'ports'), undefined);
});

test('finds amounts in the own role, then the unreserved, then any, and never takes one twice', (t) => {
  const have = read(t, 'ports(b):[1-3];ports:[4-6];ports(a):[7-9];cpus(a):1;cpus:1');
  const found = (want: string) => {
    const resources = find(have, read(t, want));
    return resources === undefined ? undefined : formatResources(resources);
  };
  t.is(found('ports(a):[2-8]'), 'ports(a):[7-8];ports:[4-6];ports(b):[2-3]');
  t.is(found('cpus(a):1;cpus:1'), 'cpus(a):1;cpus:1');
  t.is(found('cpus:1;cpus(a):1.5'), undefined);
  t.is(found('cpus{REV}:1'), undefined);
  t.is(found('mem:1'), undefined);
});

test('shrinks in order, ranges and sets to their first members, gpus to whole ones', (t) => {
  const all = read(t, 'cpus(a):2;cpus:2;gpus:2;ports:[1-3, 7-9];disks:{x,y}');
  const amounts = parseQuantities('cpus:3;gpus:1.5;ports:4;disks:1');
  if (amounts instanceof Fault) return t.fail();
  const shrunk = 'cpus(a):2;cpus:1;gpus:1;ports:[1-3, 7-7];disks:{x}';
  t.is(formatResources(shrinkToQuantities(all, amounts)), shrunk);
  t.is(formatResources(shrinkToLimits(read(t, 'mem:5;cpus:9'), amounts)), 'mem:5;cpus:3');
  return t.is(formatResources(shrinkToQuantities(read(t, 'mem:5;cpus:9'), amounts)), 'cpus:3');
});

test('quantities add, subtract, compare, and travel', (t) => {
  const read = (text: string) => {
    const quantities = parseQuantities(text);
    return quantities instanceof Fault ? t.fail(quantities.message) : quantities;
  };
  t.is(formatQuantities(addQuantities(read('cpus:1;mem:2'), read('mem:3;disk:4'))), 'cpus:1;mem:5;disk:4');
  t.is(formatQuantities(subtractQuantities(read('cpus:1;mem:2'), read('mem:2;disk:4'))), 'cpus:1');
  t.true(containsQuantities(read('cpus:1;mem:2'), read('mem:2')));
  t.false(containsQuantities(read('cpus:1;mem:2'), read('mem:2;disk:1')));
  t.deepEqual(
    v.parse(QuantitiesSchema, [
      { name: 'cpus', amount: 1 },
      { name: 'cpus', amount: 2 },
      { name: 'mem', amount: 0 },
    ]),
    [{ name: 'cpus', amount: 3 }],
  );
  t.deepEqual(v.parse(QuantitiesSchema, 'cpus:3'), [{ name: 'cpus', amount: 3000 }]);
  for (const wrong of ['cpus:x', [{ name: 'cpus', amount: -1 }], [{ name: 'a b', amount: 1 }]]) {
    t.false(v.safeParse(QuantitiesSchema, wrong).success);
  }
  t.true(faultOf(t, parseQuantities('cpus:1;mem')).includes('character 11: found the end'));
  t.true(faultOf(t, parseQuantities('cpus:-1')).includes('character 6: expected a number'));
});

// Properties. Small numbers, names and roles, so that things collide.

const range = fc.tuple(fc.nat(30), fc.nat(6)).map(([begin, more]): Range => [begin, begin + more]);
const ranges = fc.array(range, { maxLength: 6 });
const canonicalRanges = ranges.map(coalesceRanges);

function numbers(list: readonly Range[]): Set<number> {
  return new Set(list.flatMap(([begin, end]) => Array.from({ length: end - begin + 1 }, (_, index) => begin + index)));
}

/** Equal to the model, and canonical: each range apart from the next by at least one number. */
function is(result: Ranges, model: Set<number>): boolean {
  const apart = result.every(([begin, end], index) => begin <= end && begin > (result[index - 1]?.[1] ?? -2) + 1);
  return apart && countRanges(result) === model.size && [...numbers(result)].every((number) => model.has(number));
}

test('ranges agree with sets of numbers', (t) => {
  fc.assert(fc.property(ranges, (list) => is(coalesceRanges(list), numbers(list))));
  fc.assert(
    fc.property(canonicalRanges, canonicalRanges, (a, b) => {
      const inA = numbers(a);
      const inB = numbers(b);
      return (
        is(addRanges(a, b), new Set([...inA, ...inB])) &&
        is(subtractRanges(a, b), new Set([...inA].filter((n) => !inB.has(n)))) &&
        is(intersectRanges(a, b), new Set([...inA].filter((n) => inB.has(n)))) &&
        containsRanges(a, b) === [...inB].every((n) => inA.has(n))
      );
    }),
  );
  fc.assert(
    fc.property(canonicalRanges, fc.nat(50), (list, count) => {
      const taken = takeFirst(list, count);
      const lowest = [...numbers(list)].slice(0, count);
      return taken === undefined ? countRanges(list) < count : is(taken, new Set(lowest)) && lowest.length === count;
    }),
  );
  t.pass();
});

const key = fc.record(
  { role: fc.constantFrom('a', 'a/b'), revocable: fc.constant(true as const) },
  { requiredKeys: [] },
);
const entry: fc.Arbitrary<Resource> = fc.oneof(
  fc
    .record({ name: fc.constantFrom('cpus', 'mem'), key, scalar: fc.nat(5000) })
    .map(({ key, ...rest }) => ({ ...rest, ...key })),
  fc.record({ name: fc.constant('ports'), key, ranges }).map(({ key, ...rest }) => ({ ...rest, ...key })),
  fc
    .record({ name: fc.constant('disks'), key, set: fc.uniqueArray(fc.constantFrom('sda', 'sdb', 'sdc')) })
    .map(({ key, ...rest }) => ({ ...rest, ...key })),
);
const resources: fc.Arbitrary<Resources> = fc
  .array(entry, { maxLength: 8 })
  .map((entries) => v.parse(ResourcesSchema, entries));

/** A dumb model of resources: how much of each single thing there is. */
function model(list: Resources): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { name, role, revocable, scalar, ranges = [], set = [] } of list) {
    const owner = `${name}(${role})${revocable}`;
    if (scalar !== undefined) counts.set(owner, scalar);
    for (const member of [...numbers(ranges), ...set]) counts.set(`${owner}${member}`, 1);
  }
  return counts;
}

test('resources agree with a count of single things', (t) => {
  fc.assert(
    fc.property(resources, resources, (a, b) => {
      const inA = model(a);
      const inB = model(b);
      const isContained = [...inB].every(([thing, count]) => (inA.get(thing) ?? 0) >= count);
      const difference = [...inA].map(([thing, count]) => [thing, count - (inB.get(thing) ?? 0)] as const);
      t.is(contains(a, b), isContained);
      t.deepEqual(model(subtract(a, b)), new Map(difference.filter(([, count]) => count > 0)));
    }),
  );
  t.pass();
});

test('the algebra holds', (t) => {
  fc.assert(
    fc.property(resources, resources, resources, (a, b, c) => {
      t.true(equals(add(a, b), add(b, a)));
      t.true(equals(add(add(a, b), c), add(a, add(b, c))));
      t.true(contains(add(a, b), a));
      if (contains(a, b)) {
        t.true(equals(add(subtract(a, b), b), a));
        t.true(contains(add(a, c), b));
        t.true(containsQuantities(quantitiesOf(a), quantitiesOf(b)));
      }
      const shared = subtract(a, subtract(a, b));
      t.true(contains(a, shared) && contains(b, shared));
      t.deepEqual(subtract(a, a), []);
      t.true(containsQuantities(quantitiesOf(b), quantitiesOf(shrinkToQuantities(a, quantitiesOf(b)))));
      const found = find(a, b);
      if (found !== undefined) {
        t.true(contains(a, found));
        t.true(equals(toUnreserved(found), toUnreserved(b)) || found.some(({ ranges, set }) => ranges ?? set));
      }
    }),
  );
});

test('text and wire form give back what went in', (t) => {
  fc.assert(
    fc.property(resources, (list) => {
      t.deepEqual(parseResources(formatResources(list)), list);
      t.deepEqual(v.parse(ResourcesSchema, JSON.parse(JSON.stringify(list))), list);
      t.true(equals(list, [...list].reverse()));
    }),
  );
});

test('no text makes the parser throw, and what it accepts is canonical', (t) => {
  const piece = fc.constantFrom(
    'cpus',
    'ports',
    'x',
    ':',
    ';',
    '(',
    ')',
    '{REV}',
    '[',
    ']',
    '{',
    '}',
    ',',
    '-',
    '1',
    '2.5',
    'e9',
    ' ',
    '\n',
  );
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.array(piece).map((pieces) => pieces.join('')),
      ),
      (text) => {
        const outcome = parseResources(text);
        if (outcome instanceof Fault) return /(character|entry) \d+|array of objects/.test(outcome.message);
        t.deepEqual(parseResources(formatResources(outcome)), outcome);
        return true;
      },
    ),
    { numRuns: 1000 },
  );
  t.pass();
});
