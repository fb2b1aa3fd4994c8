import test from 'ava';
import * as v from 'valibot';
import { check } from '../../protocol/envelope.ts';
import { Fault } from '../../protocol/faults.ts';
import { JobSpec } from '../../protocol/job.ts';

const Shape = v.object({
  text: v.optional(v.pipe(v.string(), v.maxLength(3))),
  count: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(5))),
  list: v.optional(v.pipe(v.array(v.string()), v.minLength(1))),
  word: v.optional(v.picklist(['yes', 'no'])),
  flag: v.optional(v.boolean()),
  map: v.optional(v.record(v.string(), v.string())),
  either: v.optional(v.union([v.literal('unlimited'), v.number()])),
  must: v.number(),
});

for (const [given, words] of [
  [{ text: 3 }, 'text: is 3, not a text'],
  [{ text: 'abcd' }, 'text: has 4 characters, at most 3'],
  [{ count: 0 }, 'count: 0 is below 1'],
  [{ count: 9 }, 'count: 9 is above 5'],
  [{ count: 1.5 }, 'count: 1.5 is no whole number'],
  [{ count: 'x' }, 'count: is "x", not a number'],
  [{ list: [] }, 'list: has 0 entries, at least 1'],
  [{ list: { a: 1 } }, 'list: is a map, not a list'],
  [{ word: 'perhaps' }, 'word: "perhaps" is none of "yes", "no"'],
  [{ flag: 'yes' }, 'flag: is "yes", not true or false'],
  [{ map: { a: 1 } }, 'map.a: is 1, not a text'],
  [{ map: 1 }, 'map: is 1, not a map'],
  [{ either: true }, 'either: true is none of "unlimited", number'],
  [{ must: undefined }, 'must: is missing'],
  [null, 'the message: is nothing, not a map'],
] as const) {
  test(`${JSON.stringify(given)}: ${words}`, (t) => {
    const fault = check(Shape, given === null ? null : { must: 1, ...given });
    t.true(fault instanceof Fault);
    if (fault instanceof Fault) t.is(fault.message, words);
  });
}

test('a schema that says for itself what it misses is quoted, also one of several', (t) => {
  const spec = { job: 'j', resources: 'cpus:1', argv: [''] };
  const empty = check(JobSpec, spec);
  t.is(empty instanceof Fault && empty.message, 'argv: the program is empty');
  const named = check(JobSpec, { ...spec, argv: ['x'], job: 'a.b' });
  t.regex(String(named instanceof Fault && named.message), /^job: a job id is 1 to 41/);
});

test('a value that is long is not repeated whole', (t) => {
  const fault = check(v.object({ n: v.number() }), { n: 'x'.repeat(10_000) });
  t.true(fault instanceof Fault && fault.message.length < 100);
});
