import { RE2JS, RE2JSSyntaxException } from 're2js';
import { LIMITS } from './limits.ts';

/** Where a pattern is wrong (from 0), and what is wrong there. */
export interface PatternProblem {
  readonly at: number;
  readonly problem: string;
}

/** A compiled pattern, for {@link matchesPattern}. */
export type Pattern = RE2JS;

/**
 * A regular expression in RE2's syntax, at most `LIMITS.patternLength` characters. The leader evaluates users'
 * constraints, and a backtracking engine can be made to hang by a pattern of ten characters: RE2 has no back references
 * and no look-around, and a match costs at most pattern times text (docs/decisions/0008).
 */
export function parsePattern(text: string): Pattern | PatternProblem {
  if (text.length > LIMITS.patternLength)
    return { at: LIMITS.patternLength, problem: `a pattern has at most ${LIMITS.patternLength} characters` };
  try {
    return RE2JS.compile(text, RE2JS.DOTALL);
  } catch (error) {
    if (!(error instanceof RE2JSSyntaxException)) throw error;
    return { at: Math.max(0, text.indexOf(error.getPattern() ?? '')), problem: error.getDescription() };
  }
}

/** True where the pattern covers the whole text, as in Marathon's LIKE. */
export function matchesPattern(pattern: Pattern, text: string): boolean {
  return pattern.matches(text);
}
