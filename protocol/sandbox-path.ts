import * as v from 'valibot';
import { LIMITS } from './limits.ts';

/** What is wrong with the path of a file in a sandbox, in words; undefined where nothing is. */
function troubleOf(path: string): string | undefined {
  if (path === '') return 'is empty';
  if (path.length > LIMITS.sandboxPathLength) return `is over ${LIMITS.sandboxPathLength} characters`;
  if (path.includes('\0')) return 'has a NUL in it';
  if (path.startsWith('/')) return 'is not relative to the sandbox';
  return path.split('/').includes('..') ? 'leads out of the sandbox with ..' : undefined;
}

/** The path of a file, relative to a task's sandbox, with `/`: at most 512 characters, never absolute, no `..`, no NUL. */
export const SandboxPath = v.pipe(
  v.string(),
  v.maxLength(LIMITS.sandboxPathLength),
  v.rawCheck(({ dataset, addIssue }) => {
    if (!dataset.typed) return;
    const trouble = troubleOf(dataset.value);
    if (trouble !== undefined) addIssue({ message: `the path ${trouble}` });
  }),
);
