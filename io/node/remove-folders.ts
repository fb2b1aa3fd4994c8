import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { access, open } from 'node:fs/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);
/** Beyond it, the list of arguments is cut: far below what execve(2) takes. */
const AT_ONCE = 500;
/** Processes that remove what was left over: one that never ends holds up no other. */
const BESIDE = 4;

/** How long rm(1) may take: a folder that somebody goes on filling is never empty. */
export interface RemovalPatience {
  readonly togetherMs: number;
  /** For each that was left over: a slow card takes minutes for a hundred thousand files. */
  readonly aloneMs: number;
}

const PATIENCE: RemovalPatience = { togetherMs: 60_000, aloneMs: 600_000 };

/**
 * Removes folders (absolute paths) and all in them; none where one is missing. By rm(1), in one process for all of them
 * and behind whatever else wants the processor: Node's own `rm` costs a millisecond of it a folder, as much as starting
 * the task did. Nobody else finds a way into a folder of this user's any more; whoever is in there already holds up the
 * others for a minute, and is left after ten.
 * @throws {Error} what rm(1) says, where a folder remains.
 */
export async function removeFolders(paths: readonly string[], patience = PATIENCE): Promise<void> {
  const failures: unknown[] = [];
  for (let at = 0; at < paths.length; at += AT_ONCE)
    failures.push(...(await removeSome(paths.slice(at, at + AT_ONCE), patience)));
  if (failures.length > 0) throw failures[0];
}

async function removeSome(paths: readonly string[], { togetherMs, aloneMs }: RemovalPatience): Promise<unknown[]> {
  for (const path of paths) await shut(path);
  const failures: unknown[] = [];
  try {
    await remove(paths, togetherMs);
  } catch {
    const left = await remaining(paths);
    const alone = async (): Promise<void> => {
      for (let path = left.shift(); path !== undefined; path = left.shift()) {
        await makeWritable(path);
        await remove([path], aloneMs).catch((error: unknown) => failures.push(error));
      }
    };
    await Promise.all(Array.from({ length: BESIDE }, alone));
  }
  return failures;
}

/** Takes from others the way through it. What is not this user's has other guards. */
async function shut(path: string): Promise<void> {
  const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW } = constants;
  const folder = await open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW).catch(() => undefined);
  if (folder === undefined) return;
  try {
    if ((await folder.stat()).uid === process.geteuid?.()) await folder.chmod(0o700);
  } catch {
    // Of a file system without modes: rm(1) says what there is to say.
  } finally {
    await folder.close();
  }
}

/**
 * What a task made read-only (Go's module cache is). Root needs no mode to remove it, and must not change modes by name
 * below a folder in which others may put links: only a user's own files are here.
 */
async function makeWritable(path: string): Promise<void> {
  // Symbolic links below a folder are not followed: chmod(1) -R passes them over.
  if (process.geteuid?.() !== 0) await run('chmod', ['-R', 'u+rwX', '--', path]).catch(() => undefined);
}

async function remove(paths: readonly string[], patienceMs: number): Promise<void> {
  await run('nice', ['-n', '10', 'rm', '-rf', '--', ...paths], { timeout: patienceMs, killSignal: 'SIGKILL' });
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
