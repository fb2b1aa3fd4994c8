import { link, lstat, mkdir, open, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { ReadEntry } from 'tar';
import { Parser } from 'tar/parse';
import { UnpackError, type UnpackLimits } from '../sandbox-filler.ts';

/** Whoever packed it may have run as root: of the mode only what a plain file of one user may have is taken. */
const FILE_MODE = 0o755;
const OWN_FILE = 0o600;
const FOLDER_MODE = 0o755;
const NAME_LENGTH = 1_024;

/**
 * Unpacks a tar into `folder` (absolute, there already, nobody else writes in it). Nothing of it gets out of there: names
 * and links that lead elsewhere, and what is neither file nor folder nor link, end it with an {@link UnpackError}; nothing
 * is ever written through a link. Owners, times, setuid and setgid bits and extended attributes are not taken.
 */
export async function unpackTar(
  chunks: AsyncIterable<Uint8Array>,
  folder: string,
  limits: UnpackLimits,
): Promise<void> {
  const unpacking = new Unpacking(folder, limits);
  let work: Promise<void> = Promise.resolve();
  let failure: unknown;
  const fail = (error: unknown): void => {
    failure ??= isOfParser(error) ? damaged(error) : error;
    wake();
  };
  let wake = (): void => undefined;
  const parser = new Parser({
    strict: true,
    onReadEntry: (entry) => {
      work = work.then(() => unpacking.add(entry)).catch(fail);
    },
  });
  parser.on('ignoredEntry', (entry: ReadEntry) => fail(new UnpackError(`holds ${shown(entry.path)}, a ${entry.type}`)));
  parser.on('error', (error: Error) => fail(damaged(error)));
  parser.on('drain', () => wake());
  const ended = new Promise<void>((resolve) => parser.on('end', resolve));
  try {
    for await (const chunk of chunks) {
      if (failure !== undefined) break;
      const drained = new Promise<void>((resolve) => {
        wake = resolve;
      });
      if (!parser.write(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength))) await drained;
    }
    if (failure === undefined) {
      const stopped = new Promise<void>((resolve) => {
        wake = resolve;
      });
      parser.end();
      await Promise.race([ended, stopped]);
    }
  } catch (error) {
    failure ??= isOfParser(error) ? damaged(error) : error;
  }
  if (failure !== undefined) unpacking.stop();
  // Nothing is written any more once this has ended.
  await work;
  if (failure !== undefined) throw failure;
}

/** The parser tells whoever reads the entry that is damaged, too. */
function isOfParser(error: unknown): error is Error {
  return error instanceof Error && 'tarCode' in error;
}

function damaged({ message }: Error): UnpackError {
  return new UnpackError(`is damaged, or no tar: ${message.slice(0, 80)}`);
}

class Unpacking {
  readonly #root: string;
  readonly #limits: UnpackLimits;
  /** Paths that are real folders below the root, made or seen here. */
  readonly #folders = new Set<string>();
  #entries = 0;
  #bytes = 0;
  #stopped = false;
  #current: ReadEntry | undefined;

  constructor(root: string, limits: UnpackLimits) {
    this.#root = root;
    this.#limits = limits;
  }

  async add(entry: ReadEntry): Promise<void> {
    if (this.#stopped) return;
    this.#current = entry;
    try {
      await this.#put(entry);
    } catch (error) {
      this.#stopped = true;
      throw error;
    } finally {
      this.#current = undefined;
    }
  }

  /** Whatever waits for more of its entry ends. */
  stop(): void {
    this.#stopped = true;
    // Whoever reads it hears of it; it may have been told of another error already.
    this.#current?.on('error', () => undefined);
    this.#current?.destroy(new Error('stopped'));
  }

  async #put(entry: ReadEntry): Promise<void> {
    const parts = partsOf(entry.path);
    if (++this.#entries > this.#limits.entries)
      throw new UnpackError(`holds more than ${this.#limits.entries} files and folders`);
    const name = parts.pop();
    await this.#makeFolders(parts);
    if (entry.type === 'Directory' || entry.type === 'GNUDumpDir') {
      if (name !== undefined) await this.#makeFolders([...parts, name]);
      entry.resume();
      return;
    }
    if (name === undefined) throw new UnpackError(`holds ${shown(entry.path)}, which is no file's name`);
    const path = join(this.#root, ...parts, name);
    // What an archive before this one, or this one, has put there: a link is not written through.
    await rm(path, { force: true });
    switch (entry.type) {
      case 'File':
      case 'OldFile':
      case 'ContiguousFile':
        return await this.#write(entry, path);
      case 'SymbolicLink':
        checkTarget(entry, parts.length);
        await symlink(entry.linkpath ?? '', path);
        break;
      case 'Link':
        await this.#link(entry, path);
        break;
      default:
        throw new UnpackError(
          `holds ${shown(entry.path)}, a ${entry.type}: only files, folders and links are unpacked`,
        );
    }
    entry.resume();
  }

  async #write(entry: ReadEntry, path: string): Promise<void> {
    this.#count(entry.size);
    const file = await open(path, 'wx', ((entry.mode ?? 0) & FILE_MODE) | OWN_FILE);
    try {
      for await (const chunk of entry) await file.write(chunk);
    } finally {
      await file.close();
    }
  }

  #count(size: number): void {
    this.#bytes += size;
    if (this.#bytes > this.#limits.bytes) throw new UnpackError(`is more than ${this.#limits.bytes} bytes unpacked`);
  }

  /** To a file that was unpacked before. */
  async #link(entry: ReadEntry, path: string): Promise<void> {
    const parts = partsOf(entry.linkpath ?? '');
    const name = parts.pop();
    if (name === undefined) throw new UnpackError(`holds ${shown(entry.path)}, a link to nothing`);
    for (let depth = 1; depth <= parts.length; depth++) {
      const above = parts.slice(0, depth);
      if (!(await this.#isFolder(above)))
        throw new UnpackError(`holds ${shown(entry.path)}, a link through ${shown(above.join('/'))}`);
    }
    const target = join(this.#root, ...parts, name);
    const found = await lstat(target).catch(() => undefined);
    if (found?.isFile() !== true)
      throw new UnpackError(
        `holds ${shown(entry.path)}, a link to ${shown(entry.linkpath ?? '')}, which is no file in it`,
      );
    await link(target, path);
  }

  async #makeFolders(parts: readonly string[]): Promise<void> {
    for (let depth = 1; depth <= parts.length; depth++) {
      const above = parts.slice(0, depth);
      if (this.#folders.has(above.join('/'))) continue;
      const path = join(this.#root, ...above);
      const made = await mkdir(path, { mode: FOLDER_MODE }).then(
        () => true,
        (error: NodeJS.ErrnoException) => {
          if (error.code !== 'EEXIST') throw error;
          return false;
        },
      );
      if (!made && !(await this.#isFolder(above)))
        throw new UnpackError(`holds a file below ${shown(above.join('/'))}, which is no folder`);
      // Each is an inode, also one that no entry names.
      if (made && ++this.#entries > this.#limits.entries)
        throw new UnpackError(`holds more than ${this.#limits.entries} files and folders`);
      this.#folders.add(above.join('/'));
    }
  }

  /** A folder itself: not a link to one. */
  async #isFolder(parts: readonly string[]): Promise<boolean> {
    return (await lstat(join(this.#root, ...parts)).catch(() => undefined))?.isDirectory() ?? false;
  }
}

/** The parts of a path that stays where it begins. */
function partsOf(path: string): string[] {
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  if (path.startsWith('/') || parts.includes('..') || path.includes('\0') || path.length > NAME_LENGTH)
    throw new UnpackError(`holds ${shown(path)}, which leads out of its folder`);
  return parts;
}

/**
 * A symbolic link leads somewhere below the root if it climbs no higher than that, and climbs first: behind a name, which
 * may be a link itself, `..` could be anywhere.
 */
function checkTarget({ path, linkpath: target = '' }: ReadEntry, depth: number): void {
  const parts = target.split('/').filter((part) => part !== '' && part !== '.');
  const climbs = parts.findIndex((part) => part !== '..');
  const up = climbs === -1 ? parts.length : climbs;
  if (target === '' || target.startsWith('/') || up > depth || parts.slice(up).includes('..') || target.includes('\0'))
    throw new UnpackError(`holds ${shown(path)}, a link to ${shown(target)}, out of its folder`);
}

function shown(path: string): string {
  return JSON.stringify(path.slice(0, 80));
}
