import { closeSync, open as openWithCallback, writeSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { StorageError } from '../storage.ts';

/** On the path of every start: what may wait for the disk's journal goes to the thread pool, and nothing else does. */
const openFile = promisify(openWithCallback);

/** In `claimed`, where an agent was first. */
export const WITHDRAWN = 'agent\n';

/** Writes a `run` file, whole or not at all where it says ENOSPC. */
export async function writeRun(path: string, flags: 'w' | 'wx', script: string): Promise<void> {
  const descriptor = await openFile(path, flags, 0o700);
  try {
    // A few kB into the page cache, and all of it: less was written only where the disk is full.
    if (writeSync(descriptor, script) < Buffer.byteLength(script))
      throw Object.assign(new Error('the disk is full'), { code: 'ENOSPC' });
  } finally {
    closeSync(descriptor);
  }
}

/** The exit status in a task's folder, once all of it is written: the line's end says so. */
export async function readExit(path: string): Promise<number | undefined> {
  const match = /^(\d{1,3})\n$/.exec((await readText(join(path, 'exit'))) ?? '');
  return match === null ? undefined : Number(match[1]);
}

/** Undefined where there is no such file. Rejects with a StorageError. */
export async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'latin1');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw asStorageError(error, dirname(path));
  }
}

export function asStorageError(error: unknown, path: string): StorageError {
  if (error instanceof StorageError) return error;
  return new StorageError((error as NodeJS.ErrnoException).code ?? 'EIO', path, { cause: error });
}
