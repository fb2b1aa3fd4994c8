import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { Fault } from '../protocol/faults.ts';

/** What the system has against reading or writing a file, for people: `there is no folder /no/such`. */
export function fileWords(path: string, error: unknown, doing: 'read' | 'write'): string {
  const { code = '', message } = error as NodeJS.ErrnoException;
  switch (code) {
    case 'ENOENT':
      return missingFolder(path) ?? `there is no file ${path}`;
    case 'EISDIR':
      return `${path} is a folder`;
    case 'ENOTDIR':
      return `${path} lies below what is no folder`;
    case 'EACCES':
    case 'EPERM':
      return `this user may not ${doing} ${path}`;
    case 'EROFS':
      return `${path} is on a file system that is read-only`;
    case 'ENAMETOOLONG':
      return `the name ${path} is too long`;
    default:
      return `cannot ${doing} ${path}: ${code || message}`;
  }
}

/** Says that the folder of a file is not there; undefined where it is. */
export function missingFolder(path: string): string | undefined {
  const folder = dirname(path);
  return existsSync(resolve(folder)) ? undefined : `there is no folder ${folder}`;
}

/** The text of a file that an option names. Faults: BAD_USAGE, which names the option. */
export async function readNamed(option: string, path: string): Promise<string | Fault> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    return new Fault(
      'BAD_USAGE',
      `${option}: ${fileWords(path, error, 'read')}`,
      'Check the path and who may read it.',
    );
  }
}
