import { crc32 } from 'node:zlib';
import { type Entry, getFileNameLowLevel, openPromise, type ZipFile } from 'yauzl';
import { UnpackError, type UnpackLimits } from '../sandbox-filler.ts';
import { GuardedFolder, shown } from './guarded-folder.ts';

/** Who packed it writes modes as of stat(2) in the upper half of the attributes (APPNOTE.TXT §4.4.2: Unix, OS X). */
const UNIX = new Set([3, 19]);
/** `st_mode`'s kinds of files (inode(7)). */
const KIND = 0o170000;
const LINK = 0o120000;
const FOLDER = 0o040000;
const PLAIN = 0o100000;
const PLAIN_MODE = 0o644;
const STORED = 0;
const DEFLATED = 8;
/** Bytes of where a link leads (Linux: PATH_MAX). */
const TARGET_BYTES = 4_096;

/**
 * Unpacks a zip into `folder`, as a {@link GuardedFolder}: what its directory names, in that order. What is encrypted, or packed
 * otherwise than by deflate, and what is neither file nor folder nor symbolic link, ends it with an {@link UnpackError}.
 */
export async function unpackZip(
  file: string,
  folder: string,
  limits: UnpackLimits,
  signal: AbortSignal,
): Promise<void> {
  const guarded = new GuardedFolder(folder, limits);
  let zip: ZipFile | undefined;
  try {
    // Names are decoded here, so that one which leads out is refused in the words that are used for a tar.
    zip = await openPromise(file, { autoClose: false, decodeStrings: false });
    for await (const entry of zip.eachEntry()) {
      signal.throwIfAborted();
      await add(zip, entry, guarded, signal);
    }
  } catch (error) {
    throw signal.aborted || !isOfZip(error) ? error : damaged(error);
  } finally {
    zip?.close();
  }
}

async function add(zip: ZipFile, entry: Entry, folder: GuardedFolder, signal: AbortSignal): Promise<void> {
  const { generalPurposeBitFlag, fileNameRaw, extraFields, compressionMethod, uncompressedSize } = entry;
  const name = getFileNameLowLevel(generalPurposeBitFlag, fileNameRaw, extraFields, false);
  const mode = modeOf(entry);
  const kind = mode & KIND;
  if (name.endsWith('/') || kind === FOLDER) return await folder.addFolder(name);
  if (kind !== LINK && kind !== PLAIN && kind !== 0)
    throw new UnpackError(`holds ${shown(name)}, which is no plain file: only files, folders and links are unpacked`);
  if (entry.isEncrypted()) throw new UnpackError(`holds ${shown(name)}, which is encrypted`);
  if (compressionMethod !== STORED && compressionMethod !== DEFLATED)
    throw new UnpackError(`holds ${shown(name)}, packed by method ${compressionMethod}: only deflate is undone`);
  if (kind !== LINK) return await folder.addFile(name, mode, uncompressedSize, contentOf(zip, entry, name, signal));
  if (uncompressedSize > TARGET_BYTES) throw new UnpackError(`holds ${shown(name)}, a link to nothing that there is`);
  const target: Uint8Array[] = [];
  for await (const chunk of contentOf(zip, entry, name, signal)) target.push(chunk);
  await folder.addSymbolicLink(name, Buffer.concat(target).toString('utf8'));
}

/** Never more than the directory says, and no other content than it says. */
async function* contentOf(zip: ZipFile, entry: Entry, name: string, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const content = await zip.openReadStreamPromise(entry);
  let sum = 0;
  try {
    for await (const chunk of content as AsyncIterable<Buffer>) {
      signal.throwIfAborted();
      sum = crc32(chunk, sum);
      yield chunk;
    }
  } finally {
    content.destroy();
  }
  if (sum !== entry.crc32) throw new UnpackError(`is damaged: ${shown(name)} does not fit to its checksum`);
}

function modeOf({ versionMadeBy, externalFileAttributes }: Entry): number {
  return UNIX.has(versionMadeBy >>> 8) ? externalFileAttributes >>> 16 : PLAIN_MODE;
}

/** It is about what the file holds: the parser's own, and zlib's. The disk's have the name of a system call. */
function isOfZip(error: unknown): error is Error {
  return error instanceof Error && !(error instanceof UnpackError) && !('syscall' in error);
}

function damaged({ message }: Error): UnpackError {
  return new UnpackError(`is damaged, or no zip: ${message.slice(0, 80)}`);
}
