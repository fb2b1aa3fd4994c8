import * as v from 'valibot';
import { LIMITS } from './limits.ts';

/** Program and arguments, never seen by a shell. */
export const Arguments = v.pipe(
  v.array(v.pipe(v.string(), v.maxLength(LIMITS.argumentLength), v.regex(/^[^\0]*$/, 'an argument cannot hold NUL'))),
  v.minLength(1, 'a command needs a program'),
  v.maxLength(LIMITS.arguments),
  v.check((argv) => argv[0] !== '', 'the program is empty'),
);
