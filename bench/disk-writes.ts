import { spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** What processes asked the disk for. */
export interface DiskWrites {
  /** Bytes handed to files by write calls, or, without strace, bytes that reached the block layer. */
  readonly bytes: number;
  /** Calls that change a folder or sync a file. */
  readonly calls: number;
  readonly how: 'strace' | '/proc/PID/io';
}

/**
 * Watches processes until the returned function is called. With strace every write call to a file counts, whatever the
 * kernel made of it; without, what `write_bytes` of proc(5) io grew by.
 */
export async function watchDiskWrites(pids: readonly number[], log: string): Promise<() => Promise<DiskWrites>> {
  if (spawnSync('strace', ['-V']).status !== 0) {
    const before = written(pids);
    return () => Promise.resolve({ bytes: written(pids) - before, calls: 0, how: '/proc/PID/io' });
  }
  const calls =
    'write,writev,pwrite64,pwritev,pwritev2,ftruncate,fallocate,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat';
  const strace = spawn(
    'strace',
    ['-f', '-y', '-e', `trace=${calls}`, '-o', log, ...pids.flatMap((pid) => ['-p', String(pid)])],
    {
      stdio: ['ignore', 'ignore', 'pipe'],
    },
  );
  const ended = new Promise<void>((resolve) => strace.once('exit', () => resolve()));
  await new Promise<void>((resolve) => strace.stderr.once('data', () => resolve()));
  return async () => {
    strace.kill('SIGINT');
    await ended;
    return count(readFileSync(log, 'utf8'));
  };
}

function count(trace: string): DiskWrites {
  let bytes = 0;
  let calls = 0;
  for (const line of trace.split('\n')) {
    // `1234 pwrite64(17</data/log/000.segment>, …, 300, 0) = 300`: sockets, pipes and eventfds have no path.
    const [, call = '', path = '', result = '0'] = /^\d+ +(\w+)\((?:\d+<([^>]*)>)?.* = (\d+)/.exec(line) ?? [];
    if (call === '') continue;
    const isWrite = call.includes('write');
    // A bench may have its folder in /dev/shm.
    const isFile = /^\/(?!dev\/(?!shm\/)|proc\/)/.test(path);
    if (isWrite && isFile) bytes += Number(result);
    if (!isWrite) calls++;
  }
  return { bytes, calls, how: 'strace' };
}

function written(pids: readonly number[]): number {
  const of = (pid: number): number =>
    Number(/^write_bytes: (\d+)$/m.exec(readFileSync(`/proc/${pid}/io`, 'latin1'))?.[1] ?? Number.NaN);
  return pids.reduce((sum, pid) => sum + of(pid), 0);
}
