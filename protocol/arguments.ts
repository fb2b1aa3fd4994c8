import * as v from 'valibot';
import { LIMITS } from './limits.ts';

const Argument = v.pipe(
  v.string(),
  v.maxLength(LIMITS.argumentLength),
  v.regex(/^[^\0]*$/, 'an argument cannot hold NUL'),
);
const most = v.maxLength<string[], number, string>(LIMITS.arguments, `more than ${LIMITS.arguments} arguments`);
const named = v.check<string[], string>((argv) => argv[0] !== '', 'the program is empty');

/** Program and arguments, never seen by a shell. */
export const Arguments = v.pipe(v.array(Argument), v.minLength(1, 'a command needs a program'), most, named);

/** As {@link Arguments}, but there may be none: what an executor or an image runs is its own matter. */
export const TaskArguments = v.pipe(v.array(Argument), most, named);
