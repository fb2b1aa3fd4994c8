import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

/** `framework/task/attempt/restart`, and one more for an executor's. */
const DEEPEST = 5;

/** In every task folder, from its beginning on, and in no other. */
const SIGNS: ReadonlySet<string> = new Set(['work', 'run', 'claimed']);

/** Task folders below `root`, as paths relative to it; none where there is no `root`. */
export async function taskFolders(root: string, below = '', depth = 0): Promise<string[]> {
  const entries = await readdir(join(root, below), { withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  if (depth > 1 && entries.some(({ name }) => SIGNS.has(name))) return [below];
  const folders = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  if (depth === DEEPEST) return [];
  const found: string[] = [];
  for (const name of folders) {
    if (name.startsWith('.')) continue;
    found.push(...(await taskFolders(root, below === '' ? name : `${below}/${name}`, depth + 1)));
  }
  return found;
}
