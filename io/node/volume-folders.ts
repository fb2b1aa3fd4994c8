import { chmod, chown, open, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { VolumeFolders } from '../volume-folders.ts';
import { makeFolders } from './make-folders.ts';
import { removeFolders } from './remove-folders.ts';
import { storageError } from './storage.ts';
import type { SystemUser } from './users.ts';

/** Others pass through on their way to what is theirs. */
const PASSABLE = 0o711;

/** Below an absolute path, which is made with the first folder. They belong to `user`; default to this process's own. */
export function volumeFolders(root: string, user?: SystemUser): VolumeFolders {
  return {
    root,
    async make(path) {
      try {
        const folder = join(root, path);
        for (const made of (await makeFolders(folder)).reverse()) await sync(dirname(made));
        if (user !== undefined) await giveTo(user, folder, root);
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

/** Also what an agent before this one made for itself; what tasks have put into it stays theirs. */
async function giveTo({ uid, gid }: SystemUser, folder: string, root: string): Promise<void> {
  for (let above = dirname(folder); above.startsWith(root); above = dirname(above)) await chmod(above, PASSABLE);
  if ((await stat(folder)).uid !== uid) await chown(folder, uid, gid);
}

async function sync(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
