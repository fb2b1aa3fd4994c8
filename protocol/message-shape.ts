import { LIMITS } from './limits.ts';

/**
 * What is wrong with the form of an encoded message, before anything decodes it; undefined where nothing is. Messages
 * nest at most `LIMITS.nesting` deep (a deeper value overflows the stack of whoever walks it), and CBOR ones have no
 * tags: RFC 8949 §3.4 and the decoder's own would bring in bignums that take seconds, dates, sets and circles.
 */
export function cborProblem(bytes: Uint8Array): string | undefined {
  /** Items that are still to come at each level; -1 until a break. */
  const open: number[] = [1];
  let at = 0;
  while (open.length > 0) {
    const level = open.length - 1;
    const left = open[level] ?? 0;
    if (left === 0) {
      open.pop();
      continue;
    }
    const first = bytes[at];
    if (first === undefined) return 'it ends too early';
    if (left > 0) open[level] = left - 1;
    const major = first >> 5;
    const minor = first & 31;
    at++;
    if (first === 0xff) {
      if (left !== -1) return 'a break where none may be';
      open.pop();
      continue;
    }
    if (major === 6) return 'tags are not allowed';
    let value = minor;
    if (minor >= 24 && minor <= 27) {
      const width = 1 << (minor - 24);
      value = 0;
      for (let end = at + width; at < end; at++) value = value * 256 + (bytes[at] ?? 0);
    }
    if (major === 2 || major === 3) {
      if (minor === 31) open.push(-1);
      else at += value;
    } else if (major === 4 || major === 5) {
      open.push(minor === 31 ? -1 : value * (major === 5 ? 2 : 1));
    }
    if (open.length > LIMITS.nesting + 1) return `it nests deeper than ${LIMITS.nesting}`;
    if (at > bytes.length) return 'it ends too early';
  }
  return at === bytes.length ? undefined : 'something follows it';
}

/** Only the nesting of JSON needs looking at: `JSON.parse` knows the rest. */
export function jsonProblem(bytes: Uint8Array): string | undefined {
  let depth = 0;
  let quoted = false;
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at];
    if (quoted) {
      if (byte === BACKSLASH) at++;
      else if (byte === QUOTE) quoted = false;
    } else if (byte === QUOTE) quoted = true;
    else if (byte === BRACE || byte === BRACKET) {
      depth++;
      if (depth > LIMITS.nesting) return `it nests deeper than ${LIMITS.nesting}`;
    } else if (byte === BRACE_END || byte === BRACKET_END) depth--;
  }
  return undefined;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const BRACKET = 0x5b;
const BRACKET_END = 0x5d;
const BRACE = 0x7b;
const BRACE_END = 0x7d;
