import { mkdir, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';

const MODE = 0o700;

/**
 * Makes a folder and those above it that are missing, for this user alone; the ones that were made, outermost first.
 * Node's own recursive mkdir never ends where the kernel denies that a folder exists in which it makes none (`/proc`):
 * one core is busy for ever. Rejects with what the system says of the first that cannot be made.
 */
export async function makeFolders(path: string): Promise<string[]> {
  const missing: string[] = [];
  for (let at = resolve(path); !(await exists(at)); at = dirname(at)) missing.unshift(at);
  for (const folder of missing) {
    await mkdir(folder, { mode: MODE }).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
    });
  }
  return missing;
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}
