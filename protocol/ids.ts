import * as v from 'valibot';
import { Fault } from './faults.ts';

/** `[A-Za-z0-9][A-Za-z0-9._-]{0,63}`: one topic level, one path component, compared exactly. */
const PATTERN = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/** Schema of every id: agents, frameworks, offers, tasks, jobs, masters, clients, sessions, tokens. */
export const Id = v.pipe(
  v.string(),
  v.regex(PATTERN, 'an id is 1 to 64 of A-Z a-z 0-9 . _ -, starting with a letter or digit'),
);

/** The id itself, or a fault that says what is wrong with it; `what` names the thing ("the agent name"). */
export function parseId(text: string, what: string): string | Fault {
  if (PATTERN.test(text)) return text;
  const bad =
    text.length === 0
      ? 'is empty'
      : text.length > 64
        ? 'is longer than 64 characters'
        : `has a character at ${badAt(text)} that is not allowed`;
  return new Fault('BAD_ID', `${what} ${JSON.stringify(text.slice(0, 80))} ${bad}`);
}

function badAt(text: string): number {
  for (let at = 0; at < text.length; at++) {
    if (!/[A-Za-z0-9]/.test(text[at] ?? '') && (at === 0 || !/[._-]/.test(text[at] ?? ''))) return at + 1;
  }
  return text.length;
}
