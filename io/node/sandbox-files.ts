import { constants } from 'node:fs';
import { type FileHandle, lstat, open, readlink, realpath } from 'node:fs/promises';
import { join, sep } from 'node:path';
import type { NoSandboxFile, SandboxFile, SandboxFiles } from '../sandbox-files.ts';

/** Nothing is waited for (a FIFO without a writer), no terminal is taken. */
const FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY;

/** The sandboxes below `tasks`: of the task in `folder`, `tasks/folder/work`. */
export function sandboxFiles(tasks: string): SandboxFiles {
  return {
    open: async (folder, path) => {
      try {
        return await openInside(join(tasks, folder, 'work'), path);
      } catch (error) {
        return refusalOf(error);
      }
    },
  };
}

async function openInside(work: string, path: string): Promise<SandboxFile | NoSandboxFile> {
  const root = `${await realpath(work)}${sep}`;
  const real = await realpath(join(work, path));
  if (!`${real}${sep}`.startsWith(root)) return 'outside';
  // To open a device may already do something.
  if (!(await lstat(real)).isFile()) return 'irregular';
  const file = await open(real, FLAGS);
  try {
    // The task runs: a folder on the way may have become a link since. What is open now is looked at again.
    if (!(await readlink(`/proc/self/fd/${file.fd}`)).startsWith(root)) return await refuse(file, 'outside');
    const stat = await file.stat();
    if (!stat.isFile()) return await refuse(file, 'irregular');
    return {
      size: stat.size,
      inode: String(stat.ino),
      read: (offset, length) => readAt(file, offset, length),
      close: () => file.close(),
    };
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function refuse(file: FileHandle, why: NoSandboxFile): Promise<NoSandboxFile> {
  await file.close();
  return why;
}

async function readAt(file: FileHandle, offset: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await file.read(bytes, filled, length - filled, offset + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return bytes.subarray(0, filled);
}

function refusalOf(error: unknown): NoSandboxFile {
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ENAMETOOLONG') return 'missing';
  // A link where there was none when it was looked for, or links in a circle.
  return code === 'ELOOP' ? 'outside' : 'unreadable';
}
