import { execFile } from 'node:child_process';
import { access } from 'node:fs/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);
/** Beyond it, the list of arguments is cut: far below what execve(2) takes. */
const AT_ONCE = 500;

/**
 * Removes folders (absolute paths) and all in them; none where one is missing. By rm(1), in one process for all of them
 * and behind whatever else wants the processor: Node's own `rm` costs a millisecond of it a folder, as much as starting
 * the task did. What a task made read-only (Go's module cache is) is made writable first.
 * @throws {Error} what rm(1) says, where a folder remains.
 */
export async function removeFolders(paths: readonly string[]): Promise<void> {
  for (let at = 0; at < paths.length; at += AT_ONCE) await removeSome(paths.slice(at, at + AT_ONCE));
}

async function removeSome(paths: readonly string[]): Promise<void> {
  try {
    await remove(paths);
  } catch {
    const left = await remaining(paths);
    if (left.length === 0) return;
    // Symbolic links below a folder are not followed: chmod(1) -R passes them over.
    await run('chmod', ['-R', 'u+rwX', '--', ...left]).catch(() => undefined);
    await remove(left);
  }
}

async function remove(paths: readonly string[]): Promise<void> {
  await run('nice', ['-n', '10', 'rm', '-rf', '--', ...paths]);
}

async function remaining(paths: readonly string[]): Promise<string[]> {
  const found = await Promise.all(
    paths.map((path) =>
      access(path).then(
        () => true,
        (error: NodeJS.ErrnoException) => error.code !== 'ENOENT',
      ),
    ),
  );
  return paths.filter((_, at) => found[at] === true);
}
