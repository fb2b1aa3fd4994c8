/** One value in Mesos's syntax: `4`, `[31000-32000, 33000-33010]`, `{sda1, sda2}`, or any other text. */
import { faultAt, faultIn } from './fault-at.ts';
import type { Fault, FaultCode } from './faults.ts';
import { LIMITS } from './limits.ts';
import { coalesceRanges, type Range, type Ranges } from './resource-ranges.ts';
import { isDecimal, parseScalar } from './resource-scalar.ts';

export type Value =
  /** In thousandths; may be negative (resources refuse that, attributes do not). */
  | { readonly type: 'SCALAR'; readonly scalar: number }
  | { readonly type: 'RANGES'; readonly ranges: Ranges }
  | { readonly type: 'SET'; readonly set: readonly string[] }
  | { readonly type: 'TEXT'; readonly text: string };

/** Where a value stands in a longer text, so that faults name the character the person has to look at. */
export interface Place {
  readonly code: FaultCode;
  readonly text: string;
  readonly from: number;
  readonly to: number;
}

/**
 * Reads a value by its first character, as Mesos does (src/common/values.cpp): `[` begins ranges, `{` a set, a decimal
 * number is a scalar, all else is text. Unlike Mesos it refuses reversed ranges and repeated set members at once.
 */
export function parseValue(text: string, code: FaultCode = 'BAD_RESOURCES'): Value | Fault {
  return valueAt({ code, text, from: 0, to: text.length });
}

/** {@link parseValue} for a part of a text. */
export function valueAt(place: Place): Value | Fault {
  const trimmed = trim(place);
  const { code, text, from, to } = trimmed;
  if (from === to) return faultAt(code, text, from, 'a value');
  const first = text.charAt(from);
  if (first === '[') return rangesAt(trimmed);
  if (first === '{') return setAt(trimmed);
  const written = text.slice(from, to);
  if (isDecimal(written)) return scalarAt(trimmed, written);
  const stray = bracketProblem(written);
  return stray === undefined
    ? { type: 'TEXT', text: written }
    : faultAt(code, text, from + stray, 'text without brackets');
}

/** The same place without white space at its ends. */
export function trim(place: Place): Place {
  let { from, to } = place;
  while (from < to && isSpace(place.text, from)) from++;
  while (to > from && isSpace(place.text, to - 1)) to--;
  return { ...place, from, to };
}

function isSpace(text: string, at: number): boolean {
  const character = text.charAt(at);
  return character === ' ' || character === '\t' || character === '\n' || character === '\r';
}

function scalarAt({ code, text, from }: Place, written: string): Value | Fault {
  const scalar = parseScalar(written);
  if (scalar !== undefined) return { type: 'SCALAR', scalar };
  return faultIn(code, text, from, `a number must be between ±0.001 and ±${LIMITS.scalarThousandths / 1000}, or 0`);
}

/** Offset of the first bracket that text may not have: any `[` or `{`, and a parenthesis without its partner. */
export function bracketProblem(written: string): number | undefined {
  const bracket = written.search(/[[\]{}]/);
  if (bracket >= 0) return bracket;
  const open: number[] = [];
  for (let at = 0; at < written.length; at++) {
    if (written.charAt(at) === '(') open.push(at);
    else if (written.charAt(at) === ')' && open.pop() === undefined) return at;
  }
  return open[0];
}

const RANGE_TOKEN = /\s*(?:([[\],])|(\d+)\s*-\s*(\d+))/y;
/** As much of a range as there is: what comes after it is what is wrong. */
const RANGE_BEGUN = /\s*(?:\d+\s*(?:-\s*)?)?/y;

/** `[1-2, 4-5]`. Mesos only counts brackets, so that `[1-2, [4-5], 6-7]` is legal too. */
function rangesAt({ code, text, from, to }: Place): Value | Fault {
  const written = text.slice(from, to);
  const ranges: Range[] = [];
  let at = 0;
  let depth = 0;
  /** What was read last: an opening bracket, a comma, or a range or closing bracket. */
  let after: '[' | ',' | 'item' = ',';
  while (at < written.length) {
    RANGE_TOKEN.lastIndex = at;
    const [token = '', mark, begin, end] = RANGE_TOKEN.exec(written) ?? [];
    const problemAt = from + at + (token.length - token.trimStart().length);
    if (begin !== undefined && after !== 'item') {
      const problem =
        ranges.length < LIMITS.rangesPerResource
          ? rangeProblem(Number(begin), Number(end))
          : 'there are too many ranges';
      if (problem !== undefined) return faultIn(code, text, problemAt, problem);
      ranges.push([Number(begin), Number(end)]);
      after = 'item';
    } else if (mark === '[' && after !== 'item') {
      depth++;
      after = '[';
    } else if (mark === ']' && after !== ',' && depth > 0) {
      depth--;
      after = 'item';
    } else if (mark === ',' && after === 'item') {
      after = ',';
    } else if (after === 'item') {
      return faultAt(code, text, problemAt, depth > 0 ? '"," or "]"' : '";" or the end');
    } else {
      RANGE_BEGUN.lastIndex = at;
      const begun = RANGE_BEGUN.exec(written)?.[0].length ?? 0;
      return faultAt(code, text, from + at + begun, 'a range such as 31000-32000');
    }
    at += token.length;
  }
  if (depth > 0 || after === ',')
    return faultAt(code, text, to, after === 'item' ? '"," or "]"' : 'a range such as 31000-32000');
  return { type: 'RANGES', ranges: coalesceRanges(ranges) };
}

/** What is wrong with a range, in words; undefined where nothing is. */
export function rangeProblem(begin: number, end: number): string | undefined {
  if (begin > end) return `the range ${begin}-${end} is reversed`;
  return end <= LIMITS.rangeEnd ? undefined : `a number in a range is at most ${LIMITS.rangeEnd}`;
}

/** `{a, b}`; a member is any text without `{`, `}` and `,`. */
function setAt({ code, text, from, to }: Place): Value | Fault {
  const members = new Set<string>();
  let at = from + 1;
  for (;;) {
    let end = at;
    while (end < to && !/[{},]/.test(text.charAt(end))) end++;
    if (end === to || text.charAt(end) === '{') return faultAt(code, text, end, '"," or "}"');
    const member = trim({ code, text, from: at, to: end });
    const name = text.slice(member.from, member.to);
    if (name === '') {
      if (text.charAt(end) === ',' || members.size > 0) return faultAt(code, text, end, 'a member of the set');
    } else if (!isMember(name)) {
      return faultIn(code, text, member.from, MEMBER_PROBLEM);
    } else if (members.has(name)) {
      return faultIn(code, text, member.from, `${JSON.stringify(name)} is in the set twice`);
    } else if (members.size >= LIMITS.setItems) {
      return faultIn(code, text, member.from, `more than ${LIMITS.setItems} members`);
    } else members.add(name);
    at = end + 1;
    if (text.charAt(end) === '}') break;
  }
  if (at < to) return faultAt(code, text, at, '";" or the end');
  return { type: 'SET', set: [...members] };
}

export const MEMBER_PROBLEM = `a member of a set is text of 1 to ${LIMITS.setItemLength} characters, without { } , ; and without space around it`;

/** True for text that a set may hold: what its written form can carry. */
export function isMember(text: string): boolean {
  return text !== '' && text.length <= LIMITS.setItemLength && !/[{},;\p{Cc}]/u.test(text) && text.trim() === text;
}
