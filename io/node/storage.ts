import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { open, readdir, readFile, rename, unlink } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { crc32 } from 'node:zlib';
import { isInside, type RandomAccessFile, type Storage, StorageError, TEMPORARY_SUFFIX } from '../storage.ts';
import { makeFolders } from './make-folders.ts';

const FILE_MODE = 0o600;

/**
 * The real disk, below the folder `root` (made with the first file, mode 0700). Never blocks the event loop: an SD
 * card may take 100 ms for one sync. See {@link Storage}.
 */
export function fileStorage(root: string): Storage {
  const base = resolve(root);
  /** The running replacement of each path: a later one waits, since both use the same temporary file. */
  const replacing = new Map<string, Promise<void>>();

  const locate = (path: string): string => {
    if (!isInside(path)) throw new StorageError('EINVAL', path);
    return join(base, path);
  };

  const replaceFile = async (path: string, bytes: Uint8Array): Promise<void> => {
    const target = locate(path);
    const temporary = target + TEMPORARY_SUFFIX;
    await makeFolder(dirname(target));
    const handle = await open(temporary, 'w', FILE_MODE);
    try {
      await writeAll(handle, 0, bytes);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, target);
    await syncFolder(dirname(target));
  };

  return {
    read: (path) =>
      named(path, async () => {
        try {
          return new Uint8Array(await readFile(locate(path)));
        } catch (error) {
          if (codeOf(error) === 'ENOENT') return undefined;
          throw error;
        }
      }),

    replace: (path, bytes) => {
      const before = replacing.get(path) ?? Promise.resolve();
      const run = before.catch(() => undefined).then(() => named(path, () => replaceFile(path, bytes)));
      replacing.set(path, run);
      const forget = () => {
        if (replacing.get(path) === run) replacing.delete(path);
      };
      run.then(forget, forget);
      return run;
    },

    rename: (from, to) =>
      named(to, async () => {
        const target = locate(to);
        if (dirname(locate(from)) !== dirname(target)) throw new StorageError('EINVAL', to);
        await rename(locate(from), target);
        await syncFolder(dirname(target));
      }),

    list: (folder) =>
      named(folder, async () => {
        try {
          const names = await readdir(folder === '' ? base : locate(folder));
          return names.filter((name) => !name.endsWith(TEMPORARY_SUFFIX)).sort();
        } catch (error) {
          if (codeOf(error) === 'ENOENT') return [];
          throw error;
        }
      }),

    remove: (path) =>
      named(path, async () => {
        const target = locate(path);
        try {
          await unlink(target);
        } catch (error) {
          if (codeOf(error) === 'ENOENT') return;
          throw error;
        }
        await syncFolder(dirname(target));
      }),

    open: (path) => named(path, async () => fileOver(path, locate(path), await openOrCreate(locate(path)))),

    crc32: (bytes, seed = 0) => crc32(bytes, seed),
  };
}

function fileOver(path: string, target: string, handle: FileHandle): RandomAccessFile {
  /** Each write through it is a write and an fdatasync in one trip to the thread pool (open(2), O_DSYNC). */
  let syncing: Promise<FileHandle> | undefined;
  return {
    size: () => named(path, async () => (await handle.stat()).size),
    read: (position, length) => named(path, () => readUpTo(handle, position, length)),
    write: (position, bytes) => named(path, () => writeAll(handle, position, bytes)),
    writeDurably: (position, bytes) =>
      named(path, async () => {
        syncing ??= open(target, constants.O_RDWR | constants.O_DSYNC);
        await writeAll(await syncing, position, bytes);
      }),
    sync: () => named(path, () => handle.datasync()),
    truncate: (size) => named(path, () => handle.truncate(size)),
    close: () =>
      named(path, async () => {
        await (await syncing?.catch(() => undefined))?.close();
        await handle.close();
      }),
  };
}

async function openOrCreate(target: string): Promise<FileHandle> {
  try {
    return await open(target, 'r+');
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
  }
  const folder = dirname(target);
  await makeFolder(folder);
  const handle = await open(target, 'wx+', FILE_MODE);
  try {
    await handle.sync();
    await syncFolder(folder);
  } catch (error) {
    await handle.close();
    throw error;
  }
  return handle;
}

/** A write may be cut short by the system (a nearly full disk, a signal): go on until all is written or refused. */
async function writeAll(handle: FileHandle, position: number, bytes: Uint8Array): Promise<void> {
  let done = 0;
  while (done < bytes.length) {
    const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, position + done);
    done += bytesWritten;
  }
}

async function readUpTo(handle: FileHandle, position: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  let done = 0;
  while (done < length) {
    const { bytesRead } = await handle.read(bytes, done, length - done, position + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return bytes.subarray(0, done);
}

/** Makes a folder and those above it; each new name is durable once the folder that holds it is synced. */
async function makeFolder(folder: string): Promise<void> {
  const made = await makeFolders(folder);
  for (const each of made.reverse()) await syncFolder(dirname(each));
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Runs `work`; what the platform throws becomes a {@link StorageError} with the path as the caller knows it. */
async function named<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw storageError(path, error);
  }
}

/** What the platform threw, as the one error of storage. */
export function storageError(path: string, error: unknown): StorageError {
  return error instanceof StorageError ? error : new StorageError(codeOf(error) ?? 'EIO', path, { cause: error });
}

function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}
