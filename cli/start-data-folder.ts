import { type FolderLock, lockFolder } from '../io/node/folder-lock.ts';
import { StorageError } from '../io/storage.ts';
import { Fault } from '../protocol/faults.ts';

/** Makes a data folder where there is none, and takes it for this process alone. Faults: IN_USE, DISK. */
export async function takeDataFolder(data: string): Promise<FolderLock | Fault> {
  try {
    const lock = await lockFolder(data);
    if (!('heldBy' in lock)) return lock;
    return new Fault(
      'IN_USE',
      `the data folder ${data} is held by process ${lock.heldBy}`,
      'Stop that process, or pass another --data.',
    );
  } catch (error) {
    if (!(error instanceof StorageError)) throw error;
    return new Fault(
      'DISK',
      `the data folder ${data} cannot be used: ${error.code}`,
      'Pass a --data that you may write to.',
    );
  }
}
