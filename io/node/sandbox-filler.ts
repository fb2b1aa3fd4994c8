import { constants, createReadStream } from 'node:fs';
import { chmod, copyFile, lchown, lstat, mkdir, readdir, rename, rm, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { createGunzip } from 'node:zlib';
import { type SandboxFiller, UnpackError, type UnpackLimits } from '../sandbox-filler.ts';
import { removeFolders } from './remove-folders.ts';
import { storageError } from './storage.ts';
import { makeClosedSandbox } from './task-folder.ts';
import type { SystemUser } from './users.ts';

const PLAIN = 0o644;
const EXECUTABLE = 0o755;
const FOLDER = 0o755;
/** A copy until it is whole: beside the sandbox, in which any name may be asked for. */
const UNFINISHED = 'copy';

export interface SandboxFillerOptions {
  /** Absolute: where fetched files are, and task folders. */
  readonly files: string;
  readonly tasks: string;
  /** Whom tasks run as, and whose their files are. Default this process's own user. */
  readonly user?: SystemUser | undefined;
}

/** Fills sandboxes on this machine's disk; where it can, a copy shares the original's blocks until one of them is written to. */
export function sandboxFiller({ files, tasks, user }: SandboxFillerOptions): SandboxFiller {
  const workOf = (folder: string): string => join(tasks, folder, 'work');
  return {
    space: () =>
      onDisk(tasks, async () => {
        // Both are in one data folder; that of the files may not be there yet.
        const { bavail, blocks, bsize } = await statfs(tasks);
        return { freeBytes: bavail * bsize, totalBytes: blocks * bsize };
      }),
    clear: (folder) =>
      onDisk(folder, async () => {
        await removeFolders([workOf(folder)]);
        await makeClosedSandbox(join(tasks, folder), user);
      }),
    copy: (file, folder, path, executable) =>
      onDisk(folder, async () => {
        const work = workOf(folder);
        const to = join(work, path);
        await makeInside(work, dirname(path));
        if ((await lstat(to).catch(() => undefined))?.isDirectory() === true)
          throw new UnpackError(`cannot be put at ${path}: a folder is there`);
        const unfinished = join(tasks, folder, UNFINISHED);
        await rm(unfinished, { force: true, recursive: true });
        await copyFile(join(files, file), unfinished, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL);
        await chmod(unfinished, executable ? EXECUTABLE : PLAIN);
        // Over a link, not through it.
        await rename(unfinished, to);
      }),
    unpack: (file, folder, path, limits, signal) =>
      onDisk(folder, async () => {
        const into = await makeInside(workOf(folder), path);
        await unpack(join(files, file), into, limits, signal);
      }),
    handOver: (folder) =>
      onDisk(folder, async () => {
        if (user !== undefined) await give(workOf(folder), user);
      }),
  };
}

/** Makes a folder in a sandbox, and those above it, none of which may be a link. Returns its path. */
async function makeInside(work: string, path: string): Promise<string> {
  let at = work;
  for (const part of path.split('/').filter((one) => one !== '' && one !== '.')) {
    at = join(at, part);
    const found = await lstat(at).catch(() => undefined);
    if (found === undefined) await mkdir(at, { mode: FOLDER });
    else if (!found.isDirectory()) throw new UnpackError(`cannot be put at ${path}: ${part} is no folder`);
  }
  return at;
}

async function unpack(file: string, into: string, limits: UnpackLimits, signal: AbortSignal): Promise<void> {
  const head = await firstBytes(file);
  if (isZip(head)) {
    const { unpackZip } = await import('./unpack-zip.ts');
    return await unpackZip(file, into, limits, signal);
  }
  const { unpackTar } = await import('./unpack-tar.ts');
  const stored = createReadStream(file, { signal });
  // Whoever reads hears of it; nobody may be reading.
  stored.on('error', () => undefined);
  if (head[0] !== 0x1f || head[1] !== 0x8b) return await unpackTar(checked(stored), into, limits);
  const unzipped = createGunzip();
  unzipped.on('error', () => undefined);
  stored.on('error', (error) => unzipped.destroy(error));
  try {
    await unpackTar(checked(stored.pipe(unzipped)), into, limits);
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    throw code.startsWith('Z_') ? new UnpackError('is damaged: its gzip ends early or does not fit') : error;
  } finally {
    stored.destroy();
    unzipped.destroy();
  }
}

/** Passes a tar on, and nothing else: the parser takes what is compressed once more, and unpacks that in one go. */
async function* checked(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let head: Buffer | undefined = Buffer.alloc(0);
  for await (const chunk of chunks) {
    if (head === undefined) {
      yield chunk;
      continue;
    }
    head = Buffer.concat([head, chunk]);
    if (head.length < 512) continue;
    if (!isTar(head)) break;
    yield head;
    head = undefined;
  }
  if (head !== undefined)
    throw new UnpackError('is no tar, nor one in gzip, nor a zip: without extract it would be kept as it is');
}

/** Begins with a file, or is the end of a directory of nothing (APPNOTE.TXT §4.3.7, §4.3.16). */
function isZip(head: Buffer): boolean {
  const mark = head.toString('latin1');
  return mark === 'PK\x03\x04' || mark === 'PK\x05\x06';
}

/** The mark of a first header (POSIX.1-1988, and GNU's), or the two empty blocks that are an archive of nothing. */
function isTar(head: Buffer): boolean {
  const compressed = (head[0] === 0x1f && head[1] === 0x8b) || (head[0] === 0x28 && head[1] === 0xb5);
  return (
    !compressed && (head.toString('latin1', 257, 262) === 'ustar' || head.subarray(0, 512).every((byte) => byte === 0))
  );
}

async function firstBytes(file: string): Promise<Buffer> {
  const stream = createReadStream(file, { end: 3 });
  const parts: Buffer[] = [];
  for await (const part of stream) parts.push(part as Buffer);
  return Buffer.concat(parts);
}

/** All below a folder, links themselves and not where they lead; the folder last, since it keeps the user out until then. */
async function give(folder: string, user: SystemUser): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) await give(path, user);
    else await lchown(path, user.uid, user.gid);
  }
  await lchown(folder, user.uid, user.gid);
}

async function onDisk<Result>(path: string, does: () => Promise<Result>): Promise<Result> {
  try {
    return await does();
  } catch (error) {
    if (error instanceof UnpackError || (error as Error).name === 'AbortError') throw error;
    throw storageError(path, error);
  }
}
