/**
 * Folders whose content outlives tasks. Paths are relative to `root`, with `/`, without empty, `.` or `..` parts.
 * Rejects with a StorageError where the disk refuses.
 */
export interface VolumeFolders {
  /** Absolute. */
  readonly root: string;
  /** Makes the folder and those above it, durably, for this user alone; nothing where it is there. */
  make(path: string): Promise<void>;
  /** Removes the folder and all in it, durably; no error where it is missing. */
  remove(path: string): Promise<void>;
}
