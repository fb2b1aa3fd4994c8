import { createHash } from 'node:crypto';
import { lstat, open, readdir, readlink, stat } from 'node:fs/promises';
import { join, posix } from 'node:path';
import { manifestOf, TOO_LARGE_HINT, tooLarge } from '../protocol/blob.ts';
import { Fault } from '../protocol/faults.ts';
import { LIMITS } from '../protocol/limits.ts';
import { type CutBlock, type CutterWorld, changed, cutFile, cutTar, type Member, readBlock } from './block-cutter.ts';
import { padded, tarHeader } from './tar-header.ts';
import type { ReadUpload } from './terminal.ts';

/** Left out wherever it is: the history of the work, often larger than the work. */
const LEFT_OUT = '.git';

const WORLD: CutterWorld = {
  sha256: (bytes) => createHash('sha256').update(bytes).digest('hex'),
  read: async (path, offset, length) => {
    const bytes = new Uint8Array(length);
    try {
      const handle = await open(path);
      try {
        let at = 0;
        while (at < length) {
          const { bytesRead } = await handle.read(bytes, at, length - at, offset + at);
          if (bytesRead === 0) return changed(path);
          at += bytesRead;
        }
      } finally {
        await handle.close();
      }
    } catch (error) {
      return unreadable(path, error);
    }
    return bytes;
  },
};

/** Reads what `mesq run --upload` and `--file` name, once, to know its blocks. Faults: BAD_USAGE, TOO_LARGE, CONFLICT. */
export function readUpload(path: string, kind: 'file' | 'folder'): Promise<ReadUpload | Fault> {
  return kind === 'file' ? readFile(path) : readFolder(path);
}

async function readFile(path: string): Promise<ReadUpload | Fault> {
  const found = await stat(path).catch((error: unknown) => unreadable(path, error));
  if (found instanceof Fault) return found;
  if (found.isDirectory()) return new Fault('BAD_USAGE', `${path} is a folder`, `Send it with --upload ${path}.`);
  if (!found.isFile()) return new Fault('BAD_USAGE', `${path} is no regular file`);
  if (found.size > LIMITS.uploadBytes) return tooLargeFault(path, found.size);
  return uploadOf(await cutFile(path, found.size, WORLD), {
    files: 1,
    executable: (found.mode & 0o100) !== 0,
    skipped: 0,
  });
}

async function readFolder(path: string): Promise<ReadUpload | Fault> {
  const found = await stat(path).catch((error: unknown) => unreadable(path, error));
  if (found instanceof Fault) return found;
  if (!found.isDirectory()) return new Fault('BAD_USAGE', `${path} is no folder`, `Send a file with --file ${path}.`);
  const walk = new Walk(path);
  const fault = await walk.folder('');
  if (fault !== undefined) return fault;
  return uploadOf(await cutTar(walk.members, WORLD), { files: walk.files, executable: false, skipped: walk.skipped });
}

function uploadOf(
  blocks: CutBlock[] | Fault,
  about: Pick<ReadUpload, 'files' | 'executable' | 'skipped'>,
): ReadUpload | Fault {
  if (blocks instanceof Fault) return blocks;
  const manifest = manifestOf(blocks, WORLD.sha256);
  if (manifest instanceof Fault) return manifest;
  return {
    ...about,
    manifest,
    blocks,
    read: (at) => {
      const block = blocks[at];
      return block === undefined ? Promise.resolve(new Uint8Array()) : readBlock(block, WORLD);
    },
  };
}

/** Gathers a folder's members, sorted by path: the same folder is the same tar, whatever order the disk has. */
class Walk {
  readonly members: Member[] = [];
  files = 0;
  skipped = 0;
  readonly #root: string;
  #bytes = 0;

  constructor(root: string) {
    this.#root = root;
  }

  async folder(folder: string): Promise<Fault | undefined> {
    const names = await readdir(join(this.#root, folder)).catch((error: unknown) =>
      unreadable(join(this.#root, folder), error),
    );
    if (names instanceof Fault) return names;
    for (const name of names.sort()) {
      if (name === LEFT_OUT) {
        this.skipped++;
        continue;
      }
      const fault = await this.#entry(folder === '' ? name : `${folder}/${name}`);
      if (fault !== undefined) return fault;
    }
    return undefined;
  }

  async #entry(path: string): Promise<Fault | undefined> {
    const absolute = join(this.#root, path);
    const found = await lstat(absolute).catch((error: unknown) => unreadable(absolute, error));
    if (found instanceof Fault) return found;
    const mode = found.mode & 0o777;
    if (found.isDirectory()) {
      this.members.push({ header: tarHeader({ path, kind: 'folder', mode, size: 0 }) });
      return this.folder(path);
    }
    if (found.isSymbolicLink()) return this.#link(path, absolute);
    if (!found.isFile())
      return new Fault('BAD_USAGE', `${absolute} is neither a file, a folder nor a link`, 'Move it out of the folder.');
    const { size } = found;
    this.#bytes += padded(size);
    if (this.#bytes > LIMITS.uploadBytes) return tooLargeFault(this.#root, this.#bytes, 'more than ');
    this.files++;
    this.members.push({ header: tarHeader({ path, kind: 'file', mode, size }), file: { path: absolute, size } });
    return undefined;
  }

  async #link(path: string, absolute: string): Promise<Fault | undefined> {
    const target = await readlink(absolute).catch((error: unknown) => unreadable(absolute, error));
    if (target instanceof Fault) return target;
    const end = posix.normalize(posix.join(posix.dirname(path), target));
    if (posix.isAbsolute(target) || end === '..' || end.startsWith('../'))
      return new Fault(
        'BAD_USAGE',
        `the link ${absolute} leads out of the folder, to ${target}`,
        'Replace it by what it leads to, or move it out of the folder.',
      );
    this.members.push({ header: tarHeader({ path, kind: 'link', mode: 0o777, size: 0, target }) });
    return undefined;
  }
}

function tooLargeFault(path: string, size: number, about = ''): Fault {
  return new Fault('TOO_LARGE', `${path} has ${about}${tooLarge(size)}`, TOO_LARGE_HINT);
}

function unreadable(path: string, error: unknown): Fault {
  const { code, message } = error as NodeJS.ErrnoException;
  return new Fault(
    'BAD_USAGE',
    code === 'ENOENT' ? `there is no ${path}` : `cannot read ${path}: ${code ?? message}`,
    'Check the path and who may read it.',
  );
}
