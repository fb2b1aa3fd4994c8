import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, lstat, mkdir, open, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { makeFolders } from '../io/node/make-folders.ts';
import { Fault } from '../protocol/faults.ts';

const COMMAND_MS = 90_000;

export interface CommandEnd {
  /** Undefined where there is no such program. */
  readonly code: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program of the system to its end. */
export function runProgram(program: string, argv: readonly string[]): Promise<CommandEnd> {
  return new Promise((resolve) => {
    const environment = { ...process.env, SYSTEMD_COLORS: '0', SYSTEMD_EMOJI: '0', LC_ALL: 'C' };
    execFile(program, argv, { timeout: COMMAND_MS, env: environment }, (error, stdout, stderr) => {
      const failed = error as (NodeJS.ErrnoException & { code?: number | string }) | null;
      if (failed === null) resolve({ code: 0, stdout, stderr });
      else if (failed.code === 'ENOENT') resolve({ code: undefined, stdout, stderr });
      else resolve({ code: typeof failed.code === 'number' ? failed.code : 1, stdout, stderr });
    });
  });
}

/** systemd runs there (sd_booted(3)). */
export function isBooted(root: string): boolean {
  return existsSync(join(root, 'run/systemd/system'));
}

/** Fault UNSUPPORTED with what systemctl said. */
export async function systemctl(...argv: readonly string[]): Promise<undefined | Fault> {
  const { code, stderr } = await runProgram('systemctl', argv);
  if (code === 0) return undefined;
  const why = code === undefined ? 'there is no systemctl' : stderr.trim();
  return new Fault('UNSUPPORTED', `systemctl ${argv.join(' ')}: ${why}`, 'Look with journalctl -u mesq-agent -n 20.');
}

/** Resolves when what is there is on the disk: the bytes of a file, or the names in a folder (fsync(2)). */
export async function settle(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/**
 * Writes a file as a whole, or not at all, whenever the power goes; true where it was another before. Folders above it are
 * made.
 */
export async function writeFileOnce(path: string, text: string | Uint8Array, mode: number): Promise<boolean> {
  const wanted = Buffer.from(text);
  const before = await readFile(path).catch(() => undefined);
  if (before?.equals(wanted) === true) {
    await chmod(path, mode);
    return false;
  }
  await mkdir(dirname(path), { recursive: true });
  await writeFile(`${path}.new`, wanted, { mode });
  await chmod(`${path}.new`, mode);
  await settle(`${path}.new`);
  await rename(`${path}.new`, path);
  await settle(dirname(path));
  return true;
}

/** Makes a folder for its owner alone, whatever the umask is. Everybody may pass those above it that were missing. */
export async function makeOwnFolder(path: string): Promise<void> {
  for (const above of await makeFolders(dirname(path))) await chmod(above, 0o755);
  await makeFolders(path);
}

/** Removes what is there; true where something was. */
export async function removeAll(path: string): Promise<boolean> {
  // A link that leads nowhere is there, too.
  if ((await lstat(path).catch(() => undefined)) === undefined) return false;
  await rm(path, { recursive: true, force: true, maxRetries: 3 });
  return true;
}

/** What the system says of a folder or file that cannot be written. */
export function diskFault(error: unknown): Fault {
  const { code, message, path } = error as NodeJS.ErrnoException;
  if (code === 'EACCES' || code === 'EPERM')
    return new Fault('NOT_ALLOWED', `${path ?? 'a file'} may not be written`, 'Do it as root: sudo mesq agent ….');
  return new Fault('DISK', message);
}
