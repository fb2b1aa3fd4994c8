import type { ReadEntry } from 'tar';
import { Parser } from 'tar/parse';
import { UnpackError, type UnpackLimits } from '../sandbox-filler.ts';
import { GuardedFolder, shown } from './guarded-folder.ts';

/**
 * Unpacks a tar into `folder`, as a {@link GuardedFolder}. What is neither file nor folder nor link ends it with an
 * {@link UnpackError}. Extended attributes are not taken.
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
  readonly #folder: GuardedFolder;
  #stopped = false;
  #current: ReadEntry | undefined;

  constructor(root: string, limits: UnpackLimits) {
    this.#folder = new GuardedFolder(root, limits);
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
    const { path, type, linkpath = '', mode = 0, size } = entry;
    switch (type) {
      case 'Directory':
      case 'GNUDumpDir':
        await this.#folder.addFolder(path);
        break;
      case 'File':
      case 'OldFile':
      case 'ContiguousFile':
        return await this.#folder.addFile(path, mode, size, entry);
      case 'SymbolicLink':
        await this.#folder.addSymbolicLink(path, linkpath);
        break;
      case 'Link':
        await this.#folder.addHardLink(path, linkpath);
        break;
      default:
        throw new UnpackError(`holds ${shown(path)}, a ${type}: only files, folders and links are unpacked`);
    }
    entry.resume();
  }
}
