import { execFile } from 'node:child_process';
import { closeSync, constants, fstatSync, open, openSync, readSync } from 'node:fs';
import { Socket } from 'node:net';
import { promisify } from 'node:util';

const { O_RDONLY, O_RDWR, O_NONBLOCK } = constants;
const openFile = promisify(open);
const run = promisify(execFile);

/** Makes those of the named pipes that are missing, for this user alone. */
export async function makeFifos(paths: readonly string[]): Promise<void> {
  const missing: string[] = [];
  for (const path of paths) {
    try {
      const descriptor = openSync(path, O_RDONLY | O_NONBLOCK);
      try {
        if (!fstatSync(descriptor).isFIFO()) throw new Error(`${path} is not a named pipe`);
      } finally {
        closeSync(descriptor);
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      missing.push(path);
    }
  }
  // Node has no mkfifo(3) of its own.
  if (missing.length > 0) await run('mkfifo', ['-m', '600', '--', ...missing]);
}

/**
 * A named pipe as a stream that the event loop polls: no thread waits in read(2). Opened for reading and writing, it
 * neither waits for the other side nor ends when the other side goes (fifo(7)).
 */
export async function openFifo(path: string, way: 'read' | 'write'): Promise<Socket> {
  return new Socket({
    fd: await openFile(path, O_RDWR | O_NONBLOCK),
    readable: way === 'read',
    writable: way === 'write',
  });
}

/**
 * Watches whether anybody holds the pipe open for writing: a stream that ends when the last one is gone, or undefined
 * where there is none already.
 */
export async function watchWriters(path: string): Promise<Socket | undefined> {
  const descriptor = await openFile(path, O_RDONLY | O_NONBLOCK);
  try {
    // With a writer, an empty pipe answers "not yet"; without one it is at its end.
    readSync(descriptor, Buffer.alloc(1));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EAGAIN')
      return new Socket({ fd: descriptor, readable: true, writable: false });
    closeSync(descriptor);
    throw error;
  }
  closeSync(descriptor);
  return undefined;
}
