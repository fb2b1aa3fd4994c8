import * as v from 'valibot';
import { LIMITS } from './limits.ts';

/** Program and arguments, never seen by a shell; or none: what an executor or an image runs is its own matter. */
export const TaskArguments = v.pipe(
  v.array(v.pipe(v.string(), v.maxLength(LIMITS.argumentLength), v.regex(/^[^\0]*$/, 'an argument cannot hold NUL'))),
  v.maxLength(LIMITS.arguments, `more than ${LIMITS.arguments} arguments`),
  v.check((argv) => argv[0] !== '', 'the program is empty'),
);

/** As {@link TaskArguments}, and there is a program. */
export const Arguments = v.pipe(TaskArguments, v.minLength(1, 'a command needs a program'));
