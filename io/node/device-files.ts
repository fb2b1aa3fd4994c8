import { constants } from 'node:fs';
import { open, readdir, realpath, statfs } from 'node:fs/promises';
import { arch, availableParallelism, hostname, totalmem } from 'node:os';
import { join, resolve, sep } from 'node:path';
import type { DeviceFiles } from '../device-files.ts';
import { runProgram } from './program.ts';
import { ReadGate } from './read-gate.ts';

/** The files of this machine below `root` (default `/`). Links that lead out of the root read as missing. */
export function deviceFiles(root = '/'): DeviceFiles {
  const base = resolve(root);
  const locate = async (path: string): Promise<string> => {
    const [found, inside] = await Promise.all([realpath(join(base, path)), realpath(base)]);
    if (inside === sep || found === inside || found.startsWith(inside + sep)) return found;
    throw new Error(`${path} leads out of ${base}`);
  };
  const isOwn = base === sep;
  const gate = new ReadGate();
  return {
    read: (path, maxBytes, timeoutMs) =>
      gate.pass(path, timeoutMs, async () => readStart(await locate(path), maxBytes)),
    list: (path, maxNames, timeoutMs) =>
      gate.pass(path, timeoutMs, async () => (await readdir(await locate(path))).sort().slice(0, maxNames)),
    disk: (path, timeoutMs) =>
      gate.pass(`disk ${path}`, timeoutMs, async () => {
        const { blocks, bavail, bsize } = await statfs(path);
        return { totalBytes: blocks * bsize, freeBytes: bavail * bsize };
      }),
    run: (program, argv, maxBytes, timeoutMs) =>
      isOwn ? runProgram(program, argv, maxBytes, timeoutMs).catch(() => undefined) : Promise.resolve(undefined),
    host: () =>
      isOwn
        ? { architecture: arch(), hostname: hostname(), cpus: availableParallelism(), memoryBytes: totalmem() }
        : undefined,
  };
}

/** Files of `/proc` and `/sys` say size 0: read on until the end. Never waits for the writer of a named pipe. */
async function readStart(path: string, maxBytes: number): Promise<Uint8Array> {
  const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  try {
    const bytes = new Uint8Array(maxBytes);
    let length = 0;
    while (length < maxBytes) {
      const { bytesRead } = await handle.read(bytes, length, maxBytes - length);
      if (bytesRead === 0) break;
      length += bytesRead;
    }
    return bytes.slice(0, length);
  } finally {
    await handle.close();
  }
}
