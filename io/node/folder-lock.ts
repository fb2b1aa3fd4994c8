import { randomBytes } from 'node:crypto';
import { open, readdir, unlink } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { makeFolders } from './make-folders.ts';
import { storageError } from './storage.ts';

/** One process holds a data folder: until `release`, or until it dies in whatever way. */
export interface FolderLock {
  release(): Promise<void>;
}

export interface FolderInUse {
  /** Process id of the holder, as it sees itself (inside a container: the container's). */
  readonly heldBy: number;
}

const NAME = /^lock\.(\d+)\.[0-9a-f]+$/;

/**
 * Takes the folder `path` (made if missing, mode 0700) for this process alone.
 *
 * Node offers no flock, and process ids mean nothing across containers that share a volume. So the lock is a
 * listening Unix socket in the folder, `lock.<pid>.<random>`: the kernel closes it with the process, and whether it
 * still listens is visible from every namespace. Each contender first listens, then looks at the others: of two at the
 * same moment, at least one sees the other (both may, then both are refused). A name is never used twice, so removing
 * one whose owner is dead can not hit a living one.
 * @throws {StorageError} where the folder cannot be made or holds no sockets (FAT, some network mounts).
 */
export async function lockFolder(path: string): Promise<FolderLock | FolderInUse> {
  try {
    await makeFolders(path);
    // A socket's path may have 107 bytes only; through the open folder's number it is short whatever the folder's is.
    const folder = await open(path, 'r');
    const near = `/proc/self/fd/${folder.fd}/`;
    const own = `lock.${process.pid}.${randomBytes(6).toString('hex')}`;
    let server: Server | undefined;
    const release = async (): Promise<void> => {
      if (server !== undefined) await closed(server);
      await folder.close();
    };
    try {
      server = await listening(near + own);
      for (const name of await readdir(path)) {
        const pid = NAME.exec(name)?.[1];
        if (pid === undefined || name === own) continue;
        if (await answers(near + name)) {
          await release();
          return { heldBy: Number(pid) };
        }
        await unlink(near + name).catch(() => undefined);
      }
    } catch (error) {
      await release();
      throw error;
    }
    return { release };
  } catch (error) {
    throw storageError(path, error);
  }
}

function listening(path: string): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.once('error', reject);
    server.listen(path, () => {
      server.unref();
      resolve(server);
    });
  });
}

/** Only a refusal (or no file) proves that nobody listens; any other trouble counts as held. */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => {
      resolve(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT');
    });
  });
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}
