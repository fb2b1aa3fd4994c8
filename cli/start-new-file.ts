import { access, link, open, rename, stat, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { systemRandom } from '../io/node/random.ts';
import { randomWord } from '../io/random.ts';
import { Fault } from '../protocol/faults.ts';
import { fileWords } from './start-file-words.ts';
import type { NewFile } from './terminal.ts';

/** Begins a file beside `path`, under a hidden name. Faults: EXISTS, BAD_USAGE, DISK. */
export async function newFile(path: string, force: boolean): Promise<NewFile | Fault> {
  const temporary = join(dirname(path), `.${basename(path).slice(0, 200)}.${randomWord(systemRandom, 8)}.part`);
  const there = await stat(path).catch(() => undefined);
  if (there !== undefined && !there.isFile())
    return new Fault(
      'BAD_USAGE',
      `${path} is there, and no regular file`,
      'Name the file itself with -o, or - for standard output.',
    );
  if (there !== undefined && !force) return exists(path);
  try {
    await access(dirname(path));
    const file = await open(temporary, 'wx');
    return {
      write: (bytes) => attempt(path, () => file.writeFile(bytes)),
      keep: async () => {
        const fault = await attempt(path, async () => {
          await file.close();
          if (force) return rename(temporary, path);
          await place(temporary, path);
        });
        if (fault !== undefined) await unlink(temporary).catch(() => {});
        return fault;
      },
      discard: async () => {
        await file.close();
        await unlink(temporary).catch(() => {});
      },
    };
  } catch (error) {
    return refusal(path, error);
  }
}

/** Under its name, unless that was taken meanwhile. */
async function place(temporary: string, path: string): Promise<void> {
  try {
    await link(temporary, path);
  } catch (error) {
    // FAT, and other file systems without hard links.
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'EPERM' && code !== 'ENOTSUP' && code !== 'ENOSYS') throw error;
    return rename(temporary, path);
  }
  await unlink(temporary);
}

async function attempt(path: string, act: () => Promise<void>): Promise<Fault | undefined> {
  try {
    await act();
    return undefined;
  } catch (error) {
    return refusal(path, error);
  }
}

function refusal(path: string, error: unknown): Fault {
  const { code = '' } = error as NodeJS.ErrnoException;
  if (code === 'EEXIST') return exists(path);
  const full = ['ENOSPC', 'EDQUOT', 'EIO', 'EFBIG'].includes(code);
  return new Fault(full ? 'DISK' : 'BAD_USAGE', fileWords(path, error, 'write'), 'Name another place with -o.');
}

function exists(path: string): Fault {
  return new Fault('EXISTS', `${path} is there already`, 'Replace it with --force, or name another with -o.');
}
