import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { parseAttributes } from '../../protocol/attributes.ts';
import {
  type Candidate,
  type Constraint,
  countPlaced,
  isMeantFor,
  matches,
  parseConstraint,
  parseConstraints,
} from '../../protocol/constraints.ts';
import { Fault } from '../../protocol/faults.ts';
import { LIMITS } from '../../protocol/limits.ts';
import { matchesPattern, parsePattern } from '../../protocol/pattern.ts';

function read(t: ExecutionContext, text: string): Constraint {
  const constraint = parseConstraint(text);
  return constraint instanceof Fault ? t.fail(constraint.message) : constraint;
}

function candidate(t: ExecutionContext, attributes: string, hostname = 'pi-1'): Candidate {
  const parsed = parseAttributes(attributes);
  return parsed instanceof Fault
    ? t.fail(parsed.message)
    : { agent: `agent-${hostname}`, hostname, attributes: parsed };
}

test('compares attributes, the host name and the agent', (t) => {
  const board = candidate(t, 'board:jetson-orin-nano;arch:arm64;ram:4;ports:[1-2]');
  const cases: readonly (readonly [string, boolean])[] = [
    ['board==jetson-orin-nano', true],
    [' board == jetson-orin-nano ', true],
    ['board==jetson', false],
    ['board!=jetson', true],
    ['board!=jetson-orin-nano', false],
    ['ram==4.0', true],
    ['ram!=4.0', false],
    ['ports==[1-2]', true],
    ['arch~=arm.*', true],
    ['arch~=arm', false],
    ['arch!~arm.*', false],
    ['LIKE:arch:arm(64|32)', true],
    ['unlike:arch:x64', true],
    ['hostname==pi-1', true],
    ['hostname~=pi-\\d+', true],
    ['agent==agent-pi-1', true],
    ['site==roof', false],
    ['site~=.*', false],
    ['site!=roof', true],
    ['site!~.*', true],
    ['unique:site', false],
  ];
  for (const [text, expected] of cases) t.is(matches(read(t, text), board), expected, text);
});

test('looks at what is placed already', (t) => {
  const roof = candidate(t, 'site:roof', 'a');
  const hall = candidate(t, 'site:hall', 'b');
  const yard = candidate(t, 'site:yard', 'c');
  const may = (text: string, tasks: readonly Candidate[]) => {
    const constraint = read(t, text);
    const placed = countPlaced(constraint, tasks);
    return [roof, hall, yard]
      .filter((where) => matches(constraint, where, placed))
      .map(({ hostname }) => hostname)
      .join('');
  };
  t.is(may('unique:hostname', []), 'abc');
  t.is(may('unique:hostname', [roof, yard]), 'b');
  t.is(may('cluster:site', []), 'abc');
  t.is(may('cluster:site', [hall]), 'b');
  t.is(may('max-per:site:2', [roof, roof, hall]), 'bc');
  t.is(may('group-by:site', [roof]), 'abc');
  t.is(may('group-by:site', [roof, roof, hall]), 'bc');
  t.is(may('group-by:site:3', [roof, hall]), 'c');
  t.is(may('group-by:site:3', [roof, hall, yard]), 'abc');
});

test('says which character of a constraint is wrong', (t) => {
  const cases: readonly (readonly [text: string, at: number, says: RegExp])[] = [
    ['', 1, /expected the name of an attribute/],
    ['board', 6, /found the end, expected "=="/],
    ['board=x', 6, /found "=", expected "=="/],
    ['board =~ x', 7, /found "=", expected "=="/],
    ['board==', 8, /expected a value/],
    ['==x', 1, /expected the name/],
    ['a/b==x', 1, /a name has/],
    ['unique:', 8, /expected the name/],
    ['unique:hostname:2', 16, /found ":", expected the end/],
    ['unique:host name', 13, /found "n", expected ":" or the end/],
    ['max-per:site', 13, /how many/],
    ['max-per:site:0', 14, /how many/],
    ['group-by:site:x', 15, /how many groups/],
    ['like:arch', 10, /a pattern/],
    ['arch~=(a', 7, /missing closing \)/],
    ['arch~=a)', 7, /unexpected \)/],
    ['arch~=[a', 7, /missing closing \]/],
    ['arch~=[b-a]', 8, /class range/],
    ['arch~=*a', 7, /missing argument/],
    ['arch~=a{5,2}', 8, /repeat count/],
    ['arch~=a{1001}', 8, /at most 150 steps/],
    ['arch~=(?=a)', 7, /invalid or unsupported/],
    ['arch~=(a)\\1', 10, /escape/],
    ['arch~=a\\', 7, /trailing backslash/],
    ['arch~=((a{200}){200}){200}', 10, /at most 150 steps/],
    [`arch~=${'a'.repeat(129)}`, 135, /at most 128/],
    [`arch==${'a'.repeat(300)}`, 257, /at most 256/],
  ];
  for (const [text, at, says] of cases) {
    const outcome = parseConstraint(text);
    const message = outcome instanceof Fault ? outcome.message : t.fail(`accepted: ${text}`);
    t.true(message.includes(`character ${at}: `), `${text} → ${message}`);
    t.regex(message, says);
  }
});

/** Patterns of our subset, over few letters so that they match now and then. */
const pattern: fc.Arbitrary<string> = fc.letrec<{ any: string }>((tie) => ({
  any: fc.oneof(
    { maxDepth: 4, depthSize: 'small' },
    fc.constantFrom('a', 'b', '.', '[ab]', '[^a]', '[a-b0-]', '\\d', '\\W', '\\.', '-', ''),
    fc.array(tie('any'), { maxLength: 3 }).map((parts) => parts.join('')),
    fc.array(tie('any'), { minLength: 1, maxLength: 3 }).map((parts) => `(${parts.join('|')})`),
    fc
      .tuple(tie('any'), fc.constantFrom('*', '+', '?', '{2}', '{1,}', '{0,2}', '*?'))
      .map(([part, count]) => `(?:${part})${count}`),
  ),
})).any;

test('patterns mean what they mean in JavaScript', (t) => {
  let matched = 0;
  fc.assert(
    fc.property(
      pattern,
      fc.string({ unit: fc.constantFrom('a', 'b', '0', '.', '-'), maxLength: 6 }),
      (source, text) => {
        const parsed = parsePattern(source);
        if ('problem' in parsed) return source.length > 128 || parsed.problem.includes('repe');
        const expected = new RegExp(`^(?:${source})$`, 'su').test(text);
        if (expected) matched++;
        return matchesPattern(parsed, text) === expected;
      },
    ),
    { numRuns: 2000 },
  );
  t.true(matched > 100, `${matched} matched`);
});

test('anchors at the ends change nothing, and a pattern covers whole characters', (t) => {
  const is = (source: string, text: string) => {
    const parsed = parsePattern(source);
    return 'problem' in parsed ? t.fail(parsed.problem) : matchesPattern(parsed, text);
  };
  t.true(is('^arm.*$', 'arm64'));
  t.true(is('a\\$', 'a$'));
  t.true(is('a\\\\$', 'a\\'));
  t.true(is('.', '🐢'));
  t.true(is('[🐢-🐤]+', '🐣🐢'));
  t.false(is('^$', 'a'));
  t.true(is('', ''));
});

test('a pattern that hangs a backtracking engine costs a bounded number of steps', (t) => {
  // A match that took exponential time would never return, and the test would time out.
  for (const source of [
    '(a*)*b',
    '(a|a)*b',
    '(a|aa)+$',
    'a*a*a*a*a*a*a*a*a*a*a*a*b',
    '(.*)*x',
    '((((a*)*)*)*)*c',
    '(a?){20}a{20}',
  ]) {
    const parsed = parsePattern(source);
    if ('problem' in parsed) return t.fail(`${source}: ${parsed.problem}`);
    t.false(matchesPattern(parsed, `${'a'.repeat(255)}!`), source);
  }
  return t.pass();
});

test('what a pattern repeats is counted before it is written out, and never below what RE2 makes of it', (t) => {
  const counted = pattern.chain((part) =>
    fc
      .tuple(
        fc.constantFrom('{31}', '{0,31}', '{2,}', '*', '', '{1}', '{0}'),
        pattern,
        fc.constantFrom('{9}', '{0,9}', ''),
      )
      .map(([count, more, again]) => `((?:${part})${count}${more})${again}`),
  );
  let largest = 0;
  fc.assert(
    fc.property(counted, (source) => {
      const parsed = parsePattern(source);
      if ('problem' in parsed) return true;
      const size = parsed.expression.programSize();
      largest = Math.max(largest, size);
      return size <= 2 * LIMITS.patternSteps + 20;
    }),
    { numRuns: 2000 },
  );
  t.true(largest > LIMITS.patternSteps / 2, `${largest} instructions`);
  const six = Array.from({ length: 6 }, () => '(.{0,31}){0,31}').join('|');
  for (const source of [
    '((.{0,31}){0,31})*',
    `(${six})*`,
    '(\\pL|\\x{10FFFF}){400}',
    '[a-z]{100}{100}',
    '(((a{9}){9}){9}',
  ])
    t.true('problem' in parsePattern(source), source);
  for (const source of [
    '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}',
    '[\\]{300}]{1,140}',
    '\\{400\\}',
    'v(\\d+\\.){2}\\d+',
  ])
    t.false('problem' in parsePattern(source), source);
});

test('no attribute is so long that it holds up who compares it', (t) => {
  const parsed = parsePattern('.*');
  t.false('problem' in parsed);
  if ('problem' in parsed) return;
  t.true(matchesPattern(parsed, 'a'.repeat(LIMITS.matchedLength)));
  t.false(matchesPattern(parsed, 'a'.repeat(LIMITS.matchedLength + 1)));
});

test('no text makes the parser throw', (t) => {
  const piece = fc.constantFrom(
    'unique',
    'like',
    'a',
    ':',
    '=',
    '!',
    '~',
    '(',
    ')',
    '[',
    ']',
    '{',
    '}',
    '2',
    ',',
    '*',
    '+',
    '?',
    '\\',
    '^',
    '$',
    '|',
    '-',
    ' ',
  );
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.array(piece).map((pieces) => pieces.join('')),
      ),
      (text) => {
        const outcome = parseConstraint(text);
        return outcome instanceof Fault ? /character \d+/.test(outcome.message) : outcome.text === text;
      },
    ),
    { numRuns: 1000 },
  );
  t.pass();
});

test('what only does actions takes what names it, and nothing else', (t) => {
  const plug = candidate(t, 'runs:actions;board:tasmota;site:roof', 'plug');
  const pi = candidate(t, 'board:raspberry-pi-5;site:roof');
  for (const text of ['board==tasmota', 'agent==agent-plug', 'hostname==plug', 'runs==actions'])
    t.true(isMeantFor([read(t, text)], plug), text);
  for (const text of ['site==roof', 'board!=tasmota', 'board~=.*', 'unique:hostname', 'agent==agent-pi-1'])
    t.false(isMeantFor([read(t, text)], plug), text);
  t.false(isMeantFor([], plug));
  t.true(isMeantFor([], pi));
});

test('the expressions of a job are bounded together', (t) => {
  const dear = 'board~=(a|b){20}c*';
  t.false(parseConstraints([dear, dear, 'unique:hostname', 'site==roof']) instanceof Fault);
  const refused = parseConstraints(Array.from({ length: 32 }, () => dear));
  t.true(refused instanceof Fault && refused.code === 'BAD_CONSTRAINT' && /at most 600 steps/.test(refused.message));
});
