/** Opens what tasks have left in their sandboxes, and nothing else, whatever a task has put in the way. */
export interface SandboxFiles {
  /**
   * Opens the regular file at `path`, relative to the sandbox of the task in `folder`. `path` is checked already: not
   * absolute, no `..`, no NUL. Symbolic links are followed within the sandbox alone.
   */
  open(folder: string, path: string): Promise<SandboxFile | NoSandboxFile>;
}

/** Why there is nothing to read: no such file, a link that leads out, no regular file, or the system refuses. */
export type NoSandboxFile = 'missing' | 'outside' | 'irregular' | 'unreadable';

/** One open file; what is written over it by a rename meanwhile is another. */
export interface SandboxFile {
  /** Bytes, when it was opened. */
  readonly size: number;
  /** Tells it from another file that takes its path. */
  readonly inode: string;
  /** Up to `length` bytes from `offset`: fewer at the end there is now. */
  read(offset: number, length: number): Promise<Uint8Array>;
  close(): Promise<void>;
}
