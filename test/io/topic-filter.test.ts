import test from 'ava';
import fc from 'fast-check';
import { isTopic, isTopicFilter, matchesFilter } from '../../io/topic-filter.ts';

/** The same rules in another way: a filter as a regular expression. */
function slowlyMatches(filter: string, topic: string): boolean {
  if (/^[+#]/.test(filter) && topic.startsWith('$')) return false;
  const escaped = filter.replace(/[$.*?()[\]{}|\\^]/g, '\\$&');
  const pattern = escaped.replace(/\+/g, '[^/]*').replace(/^#$/, '.*').replace(/\/#$/, '(/.*)?');
  return new RegExp(`^${pattern}$`, 's').test(topic);
}

const level = fc.constantFrom('', 'a', 'b', 'ab', '$a', '$', '.', '\u{1f9f5}', 'é');
const levels = <T>(each: fc.Arbitrary<T>) => fc.array(each, { minLength: 1, maxLength: 5 });
const topic = levels(level)
  .map((parts) => parts.join('/'))
  .filter(isTopic);
const filter = fc
  .tuple(levels(fc.oneof(level, fc.constant('+'))), fc.boolean())
  .map(([parts, rest]) => (rest ? [...parts.slice(0, -1), '#'] : parts).join('/'))
  .filter(isTopicFilter);

test('a filter matches as the regular expression of it does', (t) => {
  let matched = 0;
  fc.assert(
    fc.property(filter, topic, (wanted, given) => {
      if (matchesFilter(wanted, given)) matched++;
      return matchesFilter(wanted, given) === slowlyMatches(wanted, given);
    }),
    { numRuns: 5_000 },
  );
  t.true(matched > 200);
});

test('a topic matches itself, and its levels one by one made wild', (t) => {
  fc.assert(
    fc.property(topic, fc.nat(), (given, at) => {
      const parts = given.split('/');
      parts[at % parts.length] = '+';
      const wild = parts.join('/');
      return (
        matchesFilter(given, given) && (matchesFilter(wild, given) || (wild.startsWith('+') && given.startsWith('$')))
      );
    }),
  );
  t.pass();
});

/** The examples of MQTT 3.1.1 §4.7. */
const EXAMPLES: readonly [filter: string, topic: string, matches: boolean][] = [
  ['sport/tennis/player1/#', 'sport/tennis/player1', true],
  ['sport/tennis/player1/#', 'sport/tennis/player1/score/wimbledon', true],
  ['sport/#', 'sport', true],
  ['#', 'sport/tennis', true],
  ['sport/tennis/+', 'sport/tennis/player1/ranking', false],
  ['sport/+', 'sport', false],
  ['sport/+', 'sport/', true],
  ['+/+', '/finance', true],
  ['/+', '/finance', true],
  ['+', '/finance', false],
  ['#', '$SYS/uptime', false],
  ['+/monitor/Clients', '$SYS/monitor/Clients', false],
  ['$SYS/#', '$SYS/uptime', true],
  ['ACCOUNTS', 'Accounts', false],
  ['sport/#', 'sports', false],
  ['sport', 'sport/tennis', false],
];

for (const [wanted, given, expected] of EXAMPLES) {
  test(`${wanted} ${expected ? 'matches' : 'does not match'} ${given}`, (t) => {
    t.is(matchesFilter(wanted, given), expected);
  });
}

test('wildcards stand alone in a filter, and never in a topic', (t) => {
  const good = ['a', '/', '#', '+', '+/#', 'a/+/b', '/+', 'a/#', '$SYS/#', '\u{1f9f5}'];
  const bad = ['', 'a#', 'a/#/b', '#/a', 'a+', '+a/b', 'a\0', '\ud800', 'é'.repeat(32_768)];
  for (const each of good) t.true(isTopicFilter(each), each);
  for (const each of bad) t.false(isTopicFilter(each), each);
  for (const each of ['a', '/', 'a//b', 'é'.repeat(32_767)]) t.true(isTopic(each), each);
  for (const each of ['', '+', 'a/#', 'a\0']) t.false(isTopic(each), each);
});
