import { open } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { VolumeFolders } from '../volume-folders.ts';
import { makeFolders } from './make-folders.ts';
import { removeFolders } from './remove-folders.ts';
import { storageError } from './storage.ts';

/** Below an absolute path, which is made with the first folder. */
export function volumeFolders(root: string): VolumeFolders {
  return {
    root,
    async make(path) {
      try {
        for (const made of (await makeFolders(join(root, path))).reverse()) await sync(dirname(made));
      } catch (error) {
        throw storageError(path, error);
      }
    },
    async remove(path) {
      const folder = join(root, path);
      try {
        await removeFolders([folder]);
        await sync(dirname(folder));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw storageError(path, error);
      }
    },
  };
}

async function sync(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
