/**
 * Regular expressions that are safe to take from anybody. The leader evaluates users' constraints, and a backtracking
 * engine can be made to hang by a pattern of ten characters; so this is Thompson's construction: all ways to match
 * advance together, and a match costs at most text length × `LIMITS.patternSteps`. What it has: literals, `.`,
 * `[classes]`, `\d \w \s \D \W \S`, groups, `|`, `* + ?` and `{n}`, `{n,}`, `{n,m}`; no back references, no look-around.
 */
import { LIMITS } from './limits.ts';

/** Where a pattern is wrong (from 0), and what was expected there. */
export interface PatternProblem {
  readonly at: number;
  readonly expected: string;
}

/** Character codes, both ends included. */
type Codes = readonly (readonly [number, number])[];

interface One {
  readonly kind: 'one';
  readonly codes: Codes;
  /** True where it is any character but these. */
  readonly negated: boolean;
}

type Node =
  | One
  | { readonly kind: 'all' | 'any'; readonly parts: readonly Node[] }
  | { readonly kind: 'repeat'; readonly part: Node; readonly least: number; readonly most: number };

/** One step of a compiled pattern: take a character, or go on at either of two steps. The end is behind the last one. */
type Step = { readonly codes: Codes; readonly negated: boolean } | { readonly go: readonly [number, number] };

/** A compiled pattern: plain data, for {@link matchesPattern}. */
export type Pattern = readonly Step[];

const SHORTHANDS: ReadonlyMap<string, Codes> = new Map([
  ['d', [[48, 57]]],
  [
    'w',
    [
      [48, 57],
      [65, 90],
      [95, 95],
      [97, 122],
    ],
  ],
  [
    's',
    [
      [9, 13],
      [32, 32],
      [160, 160],
    ],
  ],
]);

/** Most repetitions that `{n,m}` may ask for. */
const REPEAT_MAX = 255;

/** A pattern for whole values: `^` in front and `$` behind are allowed and change nothing. */
export function parsePattern(text: string): Pattern | PatternProblem {
  if (text.length > LIMITS.patternLength)
    return { at: LIMITS.patternLength, expected: `at most ${LIMITS.patternLength} characters` };
  const endsInAnchor = /(?:^|[^\\])(?:\\\\)*\$$/.test(text);
  const cursor: Cursor = { text, at: text.startsWith('^') ? 1 : 0, to: text.length - (endsInAnchor ? 1 : 0) };
  const node = alternatives(cursor);
  if ('expected' in node) return node;
  if (cursor.at < cursor.to) return { at: cursor.at, expected: '"(" before this ")"' };
  const steps: Step[] = [];
  const fits = compile(node, steps) && steps.length <= LIMITS.patternSteps;
  return fits ? steps : { at: 0, expected: `a pattern of at most ${LIMITS.patternSteps} steps, repetitions counted` };
}

/** True where the whole text matches. */
export function matchesPattern(pattern: Pattern, text: string): boolean {
  let current = new Set<number>();
  reach(pattern, 0, current);
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0;
    const next = new Set<number>();
    for (const at of current) {
      const step = pattern[at];
      if (step !== undefined && 'codes' in step && takes(step, code)) reach(pattern, at + 1, next);
    }
    if (next.size === 0) return false;
    current = next;
  }
  return current.has(pattern.length);
}

function takes({ codes, negated }: { codes: Codes; negated: boolean }, code: number): boolean {
  return codes.some(([from, to]) => code >= from && code <= to) !== negated;
}

/** Adds every step that can be reached from `start` without taking a character. */
function reach(pattern: Pattern, start: number, reached: Set<number>): void {
  const open = [start];
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    if (reached.has(at)) continue;
    reached.add(at);
    const step = pattern[at];
    if (step !== undefined && 'go' in step) open.push(...step.go);
  }
}

/** Appends the steps of a node; false as soon as they are too many. */
function compile(node: Node, steps: Step[]): boolean {
  if (steps.length > LIMITS.patternSteps) return false;
  switch (node.kind) {
    case 'one':
      steps.push({ codes: node.codes, negated: node.negated });
      return true;
    case 'all':
      return node.parts.every((part) => compile(part, steps));
    case 'any':
      return compileAny(node.parts, steps);
    case 'repeat':
      return compileRepeat(node, steps);
  }
}

function compileAny(parts: readonly Node[], steps: Step[]): boolean {
  const exits: number[] = [];
  for (const [index, part] of parts.entries()) {
    const isLast = index === parts.length - 1;
    const fork = steps.length;
    if (!isLast) steps.push({ go: [fork + 1, fork + 1] });
    if (!compile(part, steps)) return false;
    if (isLast) break;
    exits.push(steps.length);
    steps.push({ go: [0, 0] });
    steps[fork] = { go: [fork + 1, steps.length] };
  }
  for (const exit of exits) steps[exit] = { go: [steps.length, steps.length] };
  return true;
}

function compileRepeat({ part, least, most }: { part: Node; least: number; most: number }, steps: Step[]): boolean {
  for (let time = 0; time < least; time++) {
    const before = steps.length;
    if (!compile(part, steps)) return false;
    // An empty part stays empty however often it is repeated.
    if (steps.length === before) return true;
  }
  const forks: number[] = [];
  for (let time = least; time < (most === Number.POSITIVE_INFINITY ? least + 1 : most); time++) {
    forks.push(steps.length);
    steps.push({ go: [0, 0] });
    if (!compile(part, steps)) return false;
  }
  const [first] = forks;
  if (most === Number.POSITIVE_INFINITY && first !== undefined) steps.push({ go: [first, first] });
  for (const fork of forks) steps[fork] = { go: [fork + 1, steps.length] };
  return true;
}

interface Cursor {
  readonly text: string;
  at: number;
  readonly to: number;
}

function peek(cursor: Cursor): string {
  return cursor.at < cursor.to ? String.fromCodePoint(cursor.text.codePointAt(cursor.at) ?? 0) : '';
}

/** Steps over `mark` where it comes next. */
function skip(cursor: Cursor, mark: string): boolean {
  if (!cursor.text.startsWith(mark, cursor.at) || cursor.at + mark.length > cursor.to) return false;
  cursor.at += mark.length;
  return true;
}

function alternatives(cursor: Cursor): Node | PatternProblem {
  const parts: Node[] = [];
  do {
    const part = sequence(cursor);
    if ('expected' in part) return part;
    parts.push(part);
  } while (skip(cursor, '|'));
  return { kind: 'any', parts };
}

function sequence(cursor: Cursor): Node | PatternProblem {
  const parts: Node[] = [];
  for (;;) {
    const next = peek(cursor);
    if (next === '' || next === '|' || next === ')') return { kind: 'all', parts };
    const part = atom(cursor);
    if ('expected' in part) return part;
    const repeated = repetition(cursor, part);
    if ('expected' in repeated) return repeated;
    parts.push(repeated);
  }
}

function atom(cursor: Cursor): Node | PatternProblem {
  const { at } = cursor;
  const character = peek(cursor);
  cursor.at += character.length;
  switch (character) {
    case '(': {
      if (!skip(cursor, '?:') && peek(cursor) === '?') return { at: cursor.at, expected: 'a plain group, ( or (?:' };
      const inner = alternatives(cursor);
      if ('expected' in inner) return inner;
      return skip(cursor, ')') ? inner : { at: cursor.at, expected: '")"' };
    }
    case '[':
      return characterClass(cursor);
    case '\\':
      return escaped(cursor);
    case '.':
      return { kind: 'one', codes: [], negated: true };
    case '*':
    case '+':
    case '?':
    case '{':
      return { at, expected: 'something to repeat before it' };
    case '^':
    case '$':
      return { at, expected: '^ only in front and $ only behind: a pattern is for the whole value' };
    default:
      return literal(character);
  }
}

function literal(character: string): One {
  const code = character.codePointAt(0) ?? 0;
  return { kind: 'one', codes: [[code, code]], negated: false };
}

/** What follows a backslash. Letters and digits without a meaning here (`\b`, `\1`, `\n`) are refused. */
function escaped(cursor: Cursor): One | PatternProblem {
  const { at } = cursor;
  const character = peek(cursor);
  cursor.at += character.length;
  const shorthand = SHORTHANDS.get(character.toLowerCase());
  if (shorthand !== undefined) return { kind: 'one', codes: shorthand, negated: character !== character.toLowerCase() };
  if (character === '' || /[A-Za-z0-9]/.test(character))
    return { at, expected: 'd, w, s, D, W, S or a sign after "\\"' };
  return literal(character);
}

function characterClass(cursor: Cursor): Node | PatternProblem {
  const negated = skip(cursor, '^');
  const codes: (readonly [number, number])[] = [];
  while (!skip(cursor, ']')) {
    const from = member(cursor);
    if ('expected' in from) return from;
    const [only] = from.codes;
    const isRange = peek(cursor) === '-' && cursor.text.charAt(cursor.at + 1) !== ']';
    if (!isRange || only === undefined) {
      codes.push(...from.codes);
      continue;
    }
    const { at } = cursor;
    cursor.at++;
    const to = member(cursor);
    if ('expected' in to) return to;
    const [last] = to.codes;
    const isOrdered =
      last !== undefined &&
      from.codes.length + to.codes.length === 2 &&
      only[0] === only[1] &&
      only[0] <= last[0] &&
      last[0] === last[1];
    if (!isOrdered) return { at, expected: 'a range of single characters in ascending order' };
    codes.push([only[0], last[0]]);
  }
  return { kind: 'one', codes, negated };
}

/** One member of a class. */
function member(cursor: Cursor): One | PatternProblem {
  const { at } = cursor;
  const character = peek(cursor);
  if (character === '') return { at, expected: '"]"' };
  cursor.at += character.length;
  if (character === '\\') {
    const one = escaped(cursor);
    return 'negated' in one && one.negated ? { at, expected: 'no \\D, \\W or \\S inside [ ]' } : one;
  }
  return literal(character);
}

/** The part with what is written behind it: `*`, `+`, `?`, `{n}`, `{n,}`, `{n,m}`; a lazy `?` changes nothing. */
function repetition(cursor: Cursor, part: Node): Node | PatternProblem {
  const { at } = cursor;
  const [least, most] = counts(cursor);
  if (cursor.at === at) return part;
  if (least > REPEAT_MAX || (most !== Number.POSITIVE_INFINITY && most > REPEAT_MAX) || least > most) {
    return { at, expected: `{n}, {n,} or {n,m} with n up to m and both up to ${REPEAT_MAX}` };
  }
  skip(cursor, '?');
  return { kind: 'repeat', part, least, most };
}

function counts(cursor: Cursor): readonly [least: number, most: number] {
  if (skip(cursor, '*')) return [0, Number.POSITIVE_INFINITY];
  if (skip(cursor, '+')) return [1, Number.POSITIVE_INFINITY];
  if (skip(cursor, '?')) return [0, 1];
  const braces = /^\{(\d+)(?:(,)(\d*))?\}/.exec(cursor.text.slice(cursor.at, cursor.to));
  if (braces === null) return [1, 1];
  cursor.at += braces[0].length;
  const [, least, comma, most] = braces;
  if (comma === undefined) return [Number(least), Number(least)];
  return [Number(least), most === '' ? Number.POSITIVE_INFINITY : Number(most)];
}
