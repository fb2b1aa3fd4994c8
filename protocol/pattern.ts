import { RE2JS, RE2JSSyntaxException } from 're2js';
import { LIMITS } from './limits.ts';

/** Where a pattern is wrong (from 0), and what is wrong there. */
export interface PatternProblem {
  readonly at: number;
  readonly problem: string;
}

/** A compiled pattern, for {@link matchesPattern}. */
export interface Pattern {
  readonly expression: RE2JS;
  /** What it repeats is written out in these. */
  readonly steps: number;
  /** What was asked last, and answered: a leader asks of the same few values for every offer. */
  readonly verdicts: Map<string, boolean>;
}

/** Values of which a pattern remembers its verdict. */
const REMEMBERED = 100;
/** What is counted, as `{2}`, `{2,}` and `{2,5}` (RE2 syntax, Repetitions). */
const COUNTED = /\{(\d+)(?:,(\d*))?\}/y;
/** A class with all that is in it: a `]` at its beginning, and behind a backslash, is one of its characters. */
const CLASS = /\[\^?\]?(?:\[:\^?\w+:\]|\\.|[^\]\\])*\]/suy;
const ESCAPED = /\\(?:[pPx]\{[^}]*\}|.)/suy;

/**
 * A regular expression in RE2's syntax, at most `LIMITS.patternLength` characters, and `LIMITS.patternSteps` steps with what
 * it repeats written out. The leader evaluates users' constraints, and a backtracking engine can be made to hang by a
 * pattern of ten characters: RE2 has no back references and no look-around, and a match costs at most steps times text
 * (docs/decisions/0008).
 */
export function parsePattern(text: string): Pattern | PatternProblem {
  if (text.length > LIMITS.patternLength)
    return { at: LIMITS.patternLength, problem: `a pattern has at most ${LIMITS.patternLength} characters` };
  const steps = stepsOf(text);
  if (steps > LIMITS.patternSteps)
    return {
      at: text.indexOf('{'),
      problem: `a pattern has at most ${LIMITS.patternSteps} steps with what it repeats written out, and this has ${steps}`,
    };
  try {
    return { expression: RE2JS.compile(text, RE2JS.DOTALL), steps, verdicts: new Map() };
  } catch (error) {
    if (!(error instanceof RE2JSSyntaxException)) throw error;
    return { at: Math.max(0, text.indexOf(error.getPattern() ?? '')), problem: error.getDescription() };
  }
}

/** True where the pattern covers the whole text, as in Marathon's LIKE; of more than `LIMITS.matchedLength` characters, none does. */
export function matchesPattern({ expression, verdicts }: Pattern, text: string): boolean {
  if (text.length > LIMITS.matchedLength) return false;
  const known = verdicts.get(text);
  if (known !== undefined) return known;
  const verdict = expression.matches(text);
  if (verdicts.size >= REMEMBERED) verdicts.clear();
  verdicts.set(text, verdict);
  return verdict;
}

/** About as many instructions as RE2 makes of it, told without making them: 128 characters can ask for a hundred thousand. */
function stepsOf(text: string): number {
  /** Of the groups that are open, outermost first. */
  const open = [0];
  /** Of what a repetition that follows repeats. */
  let last = 0;
  const add = (steps: number): void => {
    open.push((open.pop() ?? 0) + steps);
  };
  for (let at = 0; at < text.length; ) {
    const [counted, least = '', most] = matchAt(COUNTED, text, at) ?? [];
    const character = text.charAt(at);
    if (counted !== undefined) {
      const times = Math.max(1, Number(most) || Number(least) + 1);
      add(last * (times - 1));
      last *= times;
      at += counted.length;
      continue;
    }
    if (character === '(') {
      open.push(2);
      at++;
      continue;
    }
    if (character === ')') {
      last = open.length > 1 ? (open.pop() ?? 0) : 0;
      add(last);
      at++;
      continue;
    }
    if (character === '*' || character === '+' || character === '?') {
      add(1);
      last++;
      at++;
      continue;
    }
    const [one = character] = matchAt(character === '[' ? CLASS : ESCAPED, text, at) ?? [];
    add(1);
    last = 1;
    at += one.length;
  }
  return open.reduce((sum, steps) => sum + steps, 0);
}

function matchAt(expression: RegExp, text: string, at: number): RegExpExecArray | null {
  expression.lastIndex = at;
  return expression.exec(text);
}
