import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, resolve } from 'node:path';
import { systemClock } from '../io/node/clock.ts';
import { fileStorage } from '../io/node/storage.ts';
import { StorageError } from '../io/storage.ts';
import { type Restored, readBackup, recreateLog, restoreLog, writeBackup } from '../master/backup.ts';
import type { Piece } from '../master/raft/progress.ts';
import { slicesOf } from '../master/snapshot-pieces.ts';
import { Fault } from '../protocol/faults.ts';
import { takeDataFolder } from './start-data-folder.ts';
import { missingFolder } from './start-file-words.ts';

/**
 * Whether a backup may be written there, before the cluster is asked for one: a mistyped path makes no folders. Faults:
 * BAD_USAGE.
 */
export async function checkBackupPlace(file: string): Promise<undefined | Fault> {
  const missing = missingFolder(file);
  if (missing !== undefined) return new Fault('BAD_USAGE', missing, 'Make it first, or name a file in another folder.');
  const there = await stat(file).catch(() => undefined);
  return there?.isDirectory() === true
    ? new Fault('BAD_USAGE', `${file} is a folder`, 'Name a file in it.')
    : undefined;
}

/** Writes a backup that only its owner may read. Faults: DISK. */
export function keepBackup(file: string, index: number, pieces: readonly Piece[]): Promise<undefined | Fault> {
  const path = resolve(file);
  return orDiskFault(path, async () => {
    const storage = fileStorage(dirname(path));
    const before = await readBackup(storage, basename(path));
    if (before instanceof Fault && before.code !== 'NOT_FOUND')
      return new Fault('EXISTS', `${file} is there, and is no backup that could be replaced`, 'Write to another file.');
    await writeBackup(storage, basename(path), index, slicesOf(pieces));
    return undefined;
  });
}

/** What a master leaves in its data folder: its log, damaged ones that were set aside, a token, a lock. */
const OURS = /^(log(\.corrupt-\d+)?|operator-token(\..*)?|lock\..*|lost\+found|master-id)$/;

export type RestoreOptions = { readonly data: string; readonly generation: number | undefined } & (
  | { readonly file: string }
  /** The cluster that a lost master led. */
  | { readonly recreate: string }
);

/** Makes the data folder of a cluster's only master; no master may run on it. Faults: IN_USE, DISK, and as of master/backup.ts. */
export async function restore(options: RestoreOptions): Promise<Restored | Fault> {
  const { data, generation } = options;
  const strange = await strangeIn(data);
  if (strange !== undefined)
    return new Fault(
      'EXISTS',
      `${data} is not empty, and no data folder of a master: it has ${strange}`,
      'Pass a new folder with --data; nothing was changed.',
    );
  const lock = await takeDataFolder(data);
  if (lock instanceof Fault) return lock;
  const target = fileStorage(data);
  try {
    return await orDiskFault(data, async () => {
      if ('recreate' in options) {
        const createdMs = Math.floor(systemClock.wall());
        return recreateLog(target, { uuid: options.recreate, generation: generation ?? 2, createdMs });
      }
      const path = resolve(options.file);
      const backup = await orDiskFault(path, () => readBackup(fileStorage(dirname(path)), basename(path)));
      if (backup instanceof Fault)
        return new Fault('BAD_USAGE', backup.message, 'Pass a file that mesq backup has made; nothing was changed.');
      return restoreLog(target, backup, generation);
    });
  } finally {
    await lock.release();
  }
}

/** A name in the folder that no master has put there; undefined where there is none, or no folder. */
async function strangeIn(data: string): Promise<string | undefined> {
  const names = await readdir(data).catch((error: NodeJS.ErrnoException) => {
    // What cannot be listed is told by whoever takes the folder.
    if (['ENOENT', 'EACCES', 'ENOTDIR'].includes(error.code ?? '')) return [];
    throw error;
  });
  return names.find((name) => !OURS.test(name));
}

async function orDiskFault<Value>(path: string, work: () => Promise<Value>): Promise<Value | Fault> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof StorageError)) throw error;
    return new Fault('DISK', `${path}: ${error.code}`, 'Check the path, the space and the permissions there.');
  }
}
