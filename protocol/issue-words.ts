import type * as v from 'valibot';

/** How valibot's own messages begin; what a schema says for itself begins otherwise. */
const GENERIC = /^Invalid /;
const LONGEST_VALUE = 60;

const KINDS: Readonly<Record<string, string>> = {
  string: 'a text',
  number: 'a number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a map',
  record: 'a map',
  instance: 'bytes',
};

const RECEIVED: Readonly<Record<string, string>> = {
  Object: 'a map',
  Array: 'a list',
  null: 'nothing',
  undefined: 'nothing',
};

/**
 * What is wrong with a value, as people say it: in the schema's own words where it has some, else `0 is below 1` in place
 * of valibot's `Invalid value: Expected >=1 but received 0`.
 */
export function wordsOf(issue: v.BaseIssue<unknown>): string {
  const { type, message, received, requirement, expected, input } = issue;
  if (!GENERIC.test(message)) return message;
  // Of several shapes, the one that says what it misses.
  const told = issue.issues?.find((one) => !GENERIC.test(one.message));
  if (told !== undefined) return told.message;
  const value = RECEIVED[received] ?? received.slice(0, LONGEST_VALUE);
  switch (type) {
    case 'min_value':
      return `${value} is below ${String(requirement)}`;
    case 'max_value':
      return `${value} is above ${String(requirement)}`;
    case 'integer':
    case 'safe_integer':
      return `${value} is no whole number`;
    case 'max_length':
      return `has ${lengthIn(input)}, at most ${String(requirement)}`;
    case 'min_length':
      return `has ${lengthIn(input)}, at least ${String(requirement)}`;
    case 'picklist':
    case 'literal':
    case 'union':
    case 'variant':
      return received === 'undefined' ? 'is missing' : `${value} is none of ${listOf(expected)}`;
    default: {
      const kind = KINDS[type];
      if (issue.kind !== 'schema' || kind === undefined) return message;
      return received === 'undefined' ? 'is missing' : `is ${value}, not ${kind}`;
    }
  }
}

function lengthIn(input: unknown): string {
  const { length } = input as { length: number };
  return `${length} ${typeof input === 'string' ? 'characters' : Array.isArray(input) ? 'entries' : 'bytes'}`;
}

/** `("a" | "b")` as `"a", "b"`. */
function listOf(expected: string | null): string {
  return (expected ?? '').replace(/^\((.*)\)$/, '$1').replaceAll(' | ', ', ');
}
