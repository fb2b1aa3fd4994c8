import { link, lstat, mkdir, open, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { UnpackError, type UnpackLimits } from '../sandbox-filler.ts';

/** Whoever packed it may have run as root: of the mode only what a plain file of one user may have is taken. */
const FILE_MODE = 0o755;
const OWN_FILE = 0o600;
const FOLDER_MODE = 0o755;
const NAME_LENGTH = 1_024;

/**
 * A folder (absolute, there already, nobody else writes in it) into which an archive is unpacked, whatever is in that. Nothing gets
 * out of it: a name or link that leads elsewhere, and what is beyond the limits, ends it with an {@link UnpackError};
 * nothing is ever written through a link. Owners, times, setuid and setgid bits are not taken.
 *
 * Names are as the archive has them, with `/` between their parts.
 */
export class GuardedFolder {
  readonly #root: string;
  readonly #limits: UnpackLimits;
  /** Paths that are real folders below the root, made or seen here. */
  readonly #folders = new Set<string>();
  #entries = 0;
  #bytes = 0;

  constructor(root: string, limits: UnpackLimits) {
    this.#root = root;
    this.#limits = limits;
  }

  async addFolder(name: string): Promise<void> {
    const parts = partsOf(name);
    this.#countEntry();
    await this.#makeFolders(parts);
  }

  /** `size`: bytes, as the archive says; whoever gives the chunks sees to it that there are no more. `mode`: as of stat(2). */
  async addFile(name: string, mode: number, size: number, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const { path } = await this.#place(name);
    this.#bytes += size;
    if (this.#bytes > this.#limits.bytes) throw new UnpackError(`is more than ${this.#limits.bytes} bytes unpacked`);
    const file = await open(path, 'wx', (mode & FILE_MODE) | OWN_FILE);
    try {
      // Where a disk takes only a part at once, the rest follows, or fails.
      for await (const chunk of chunks) await file.appendFile(chunk);
    } finally {
      await file.close();
    }
  }

  async addSymbolicLink(name: string, target: string): Promise<void> {
    const { path, depth } = await this.#place(name);
    checkTarget(name, target, depth);
    await symlink(target, path);
  }

  /** To a file that was unpacked before. */
  async addHardLink(name: string, target: string): Promise<void> {
    const { path } = await this.#place(name);
    const parts = partsOf(target);
    const last = parts.pop();
    if (last === undefined) throw new UnpackError(`holds ${shown(name)}, a link to nothing`);
    for (let depth = 1; depth <= parts.length; depth++) {
      const above = parts.slice(0, depth);
      if (!(await this.#isFolder(above)))
        throw new UnpackError(`holds ${shown(name)}, a link through ${shown(above.join('/'))}`);
    }
    const found = await lstat(join(this.#root, ...parts, last)).catch(() => undefined);
    if (found?.isFile() !== true)
      throw new UnpackError(`holds ${shown(name)}, a link to ${shown(target)}, which is no file in it`);
    await link(join(this.#root, ...parts, last), path);
  }

  /** Where something of that name is put, with the folders above it, and nothing there. */
  async #place(name: string): Promise<{ path: string; depth: number }> {
    const parts = partsOf(name);
    this.#countEntry();
    const last = parts.pop();
    if (last === undefined) throw new UnpackError(`holds ${shown(name)}, which is no file's name`);
    await this.#makeFolders(parts);
    const path = join(this.#root, ...parts, last);
    // What an archive before this one, or this one, has put there: a link is not written through.
    await rm(path, { force: true });
    return { path, depth: parts.length };
  }

  #countEntry(): void {
    if (++this.#entries > this.#limits.entries)
      throw new UnpackError(`holds more than ${this.#limits.entries} files and folders`);
  }

  async #makeFolders(parts: readonly string[]): Promise<void> {
    for (let depth = 1; depth <= parts.length; depth++) {
      const above = parts.slice(0, depth);
      if (this.#folders.has(above.join('/'))) continue;
      const made = await mkdir(join(this.#root, ...above), { mode: FOLDER_MODE }).then(
        () => true,
        (error: NodeJS.ErrnoException) => {
          if (error.code !== 'EEXIST') throw error;
          return false;
        },
      );
      if (!made && !(await this.#isFolder(above)))
        throw new UnpackError(`holds a file below ${shown(above.join('/'))}, which is no folder`);
      // Each is an inode, also one that no entry names.
      if (made) this.#countEntry();
      this.#folders.add(above.join('/'));
    }
  }

  /** A folder itself: not a link to one. */
  async #isFolder(parts: readonly string[]): Promise<boolean> {
    return (await lstat(join(this.#root, ...parts)).catch(() => undefined))?.isDirectory() ?? false;
  }
}

/** A name in an archive, short enough for a message. */
export function shown(name: string): string {
  return JSON.stringify(name.slice(0, 80));
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
function checkTarget(name: string, target: string, depth: number): void {
  const parts = target.split('/').filter((part) => part !== '' && part !== '.');
  const climbs = parts.findIndex((part) => part !== '..');
  const up = climbs === -1 ? parts.length : climbs;
  if (target === '' || target.startsWith('/') || up > depth || parts.slice(up).includes('..') || target.includes('\0'))
    throw new UnpackError(`holds ${shown(name)}, a link to ${shown(target)}, out of its folder`);
}
