/**
 * Files of one data folder. Paths are relative to it, with `/`, and never leave it.
 * Every promise that says "durable" resolves only after fsync.
 * A failed write or sync rejects with a {@link StorageError}; the caller must stop, never retry a sync
 * (the kernel may have dropped the dirty pages).
 */
export interface Storage {
  /** The whole file, or undefined where there is none. */
  read(path: string): Promise<Uint8Array | undefined>;
  /** Creates or replaces the file atomically and durably: temporary file, fsync, rename, fsync of the folder. Mode 0600. */
  replace(path: string, bytes: Uint8Array): Promise<void>;
  /** Names (not paths) in a folder, sorted; empty where the folder is missing. */
  list(folder: string): Promise<string[]>;
  /** Removes a file durably; no error where it is missing. */
  remove(path: string): Promise<void>;
  /** Opens for reading and writing at positions, creating it (durably, with its folder) where it is missing. */
  open(path: string): Promise<RandomAccessFile>;
  /** CRC-32 (IEEE) of `bytes`, continued from `seed` (default 0): the platform's own. */
  crc32(bytes: Uint8Array, seed?: number): number;
}

export interface RandomAccessFile {
  /** Current length in bytes. */
  size(): Promise<number>;
  /** Up to `length` bytes from `position`; shorter at the end. */
  read(position: number, length: number): Promise<Uint8Array>;
  /** Writes all of `bytes` at `position`; durable only after `sync`. */
  write(position: number, bytes: Uint8Array): Promise<void>;
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

  constructor(code: string, path: string, cause?: unknown) {
    super(`${code}: ${path}`, { cause });
    this.name = 'StorageError';
    this.code = code;
    this.path = path;
  }
}
