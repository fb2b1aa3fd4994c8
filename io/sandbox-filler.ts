/**
 * Puts fetched files into the sandboxes of tasks that have not started. A task gets copies: whatever it does to them, the
 * files they were made of stay as they are. No task reaches a sandbox between `clear` and `handOver`: the way to it is
 * open to all of a machine, and whoever may write there may have root write elsewhere.
 *
 * `file` names a fetched file, relative to the folder they are kept in; `folder` is the task's, as a launcher knows it;
 * `path` is relative to the sandbox, `/` between its parts, none of them empty, `.` or `..`; '' is the sandbox itself.
 * All reject with a StorageError where the disk refuses.
 */
export interface SandboxFiller {
  /** Bytes that are free where files are kept, and the size of that disk. */
  space(): Promise<{ readonly freeBytes: number; readonly totalBytes: number }>;
  /** Makes an empty sandbox, of the agent's alone; what is in it, from a try before this one, goes. */
  clear(folder: string): Promise<void>;
  /** Copies the file to `path`, with the folders above it. Rejects with an UnpackError where something else is in the way. */
  copy(file: string, folder: string, path: string, executable: boolean): Promise<void>;
  /**
   * Unpacks a tar, also one that is compressed with gzip, or a zip into the folder `path`. Rejects with an {@link UnpackError} where
   * it is none, is beyond the limits, or would reach out of that folder.
   */
  unpack(file: string, folder: string, path: string, limits: UnpackLimits, signal: AbortSignal): Promise<void>;
  /** All that it is to hold is there: gives it to whom tasks run as. Nothing is put into it any more. */
  handOver(folder: string): Promise<void>;
}

export interface UnpackLimits {
  /** Of all files together, unpacked. */
  readonly bytes: number;
  /** Files, folders and links. */
  readonly entries: number;
}

/** Its message is for people, and ends a sentence that begins with what was to be unpacked. */
export class UnpackError extends Error {}
