/**
 * Files of one data folder. Paths are relative to it, with `/`, and never leave it (see {@link isInside}); what does
 * not keep to that rejects with code `EINVAL`.
 * Every promise that says "durable" resolves only after fsync.
 * A failed write or sync rejects with a {@link StorageError}; the caller must stop, never retry a sync
 * (the kernel may have dropped the dirty pages).
 */
export interface Storage {
  /** The whole file, or undefined where there is none. */
  read(path: string): Promise<Uint8Array | undefined>;
  /** Creates or replaces the file atomically and durably: temporary file, fsync, rename, fsync of the folder. Mode 0600. */
  replace(path: string, bytes: Uint8Array): Promise<void>;
  /**
   * Renames a file within its folder atomically and durably, replacing `to`. Sync its content first. A folder with all in
   * it too, where there is no `to`.
   */
  rename(from: string, to: string): Promise<void>;
  /** Names (not paths) in a folder (`''` is the data folder itself), sorted, without temporary files; empty where the folder is missing. */
  list(folder: string): Promise<string[]>;
  /** Removes a file durably; no error where it is missing. */
  remove(path: string): Promise<void>;
  /** Opens for reading and writing at positions, creating it (durably, with its folder) where it is missing. */
  open(path: string): Promise<RandomAccessFile>;
  /** CRC-32 (IEEE) of `bytes`, continued from `seed` (default 0): the platform's own. */
  crc32(bytes: Uint8Array, seed?: number): number;
}

/** What `replace` writes before it renames. A crash may leave one: the next `replace` of that path writes over it. */
export const TEMPORARY_SUFFIX = '.tmp';

/** True for `a`, `a/b`, …: no empty, `.` or `..` part, not absolute, no NUL, and not a temporary file's name. */
export function isInside(path: string): boolean {
  if (path.includes('\0') || path.endsWith(TEMPORARY_SUFFIX)) return false;
  return path.split('/').every((part) => part !== '' && part !== '.' && part !== '..');
}

export interface RandomAccessFile {
  /** Current length in bytes. */
  size(): Promise<number>;
  /** Up to `length` bytes from `position`; shorter at the end. */
  read(position: number, length: number): Promise<Uint8Array>;
  /** Writes all of `bytes` at `position`; durable only after `sync`. */
  write(position: number, bytes: Uint8Array): Promise<void>;
  /** Writes all of `bytes` at `position`; durable when it resolves. Says nothing of what `write` wrote before. */
  writeDurably(position: number, bytes: Uint8Array): Promise<void>;
  /** Makes every write so far durable (fdatasync). */
  sync(): Promise<void>;
  /** Cuts the file to `size`; durable only after `sync`. */
  truncate(size: number): Promise<void>;
  close(): Promise<void>;
}

/** What the disk refused: `code` is the platform's (`ENOSPC`, `EIO`, …), `path` the file's. */
export class StorageError extends Error {
  readonly code: string;
  readonly path: string;

  constructor(code: string, path: string, options?: ErrorOptions) {
    super(`${code}: ${path}`, options);
    this.name = 'StorageError';
    this.code = code;
    this.path = path;
  }
}
