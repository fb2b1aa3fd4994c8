import { spawn } from 'node:child_process';

/** Far beyond what it takes: a few milliseconds, whatever the length. */
const TIMEOUT_MS = 10_000;

/**
 * Gives the first `length` bytes of the file at `path` back to the file system: they read as zeros from then on, and what
 * follows keeps its place. Nothing is written but the file's own table of blocks. By fallocate(1) of util-linux, since Node
 * has no call for it. Doing it again does no harm.
 * False where it cannot be done here: no such program, one that cannot punch (BusyBox's), or a file system that cannot
 * (vfat, NFS before 4.2); and for any other reason that fallocate has, a missing file among them.
 * @throws {NodeJS.ErrnoException} where it may be done another time: code `ETIMEDOUT` after `timeoutMs` (default 10 s),
 *   `EINTR` where somebody else ended it, or that of a process that could not be started (`EAGAIN`, `ENOMEM`).
 */
export function punchHole(path: string, length: number, timeoutMs = TIMEOUT_MS): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const argv = ['--punch-hole', '--keep-size', '--offset', '0', '--length', String(length), '--', path];
    const child = spawn('fallocate', argv, { stdio: 'ignore', timeout: timeoutMs, killSignal: 'SIGKILL' });
    child.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' || error.code === 'EACCES') resolve(false);
      else reject(error);
    });
    child.on('exit', (code, signal) => {
      if (signal === null) resolve(code === 0);
      else reject(Object.assign(new Error(`fallocate: ${signal}`), { code: child.killed ? 'ETIMEDOUT' : 'EINTR' }));
    });
  });
}
