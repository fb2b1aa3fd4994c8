/**
 * One output stream of one task, kept to a cap while the task appends to it. An offset is absolute: the number of bytes
 * that the task had written before that one, whatever has been dropped since, also across restarts of the agent.
 * Every call rejects with a StorageError where the disk refuses, and says `undefined` where there is no such file:
 * the task has not begun, or its folder was removed.
 */
export interface OutputFile {
  /** The offset after the last byte. Never goes back. */
  size(): Promise<number | undefined>;
  /**
   * Up to `length` bytes from `offset`, or from the first byte kept after it: `offset` of the answer says where they
   * begin, and what lies between the two was dropped. Fewer where the kept parts meet, none at the end.
   */
  read(offset: number, length: number): Promise<OutputChunk | undefined>;
  /**
   * To be called now and then while the task runs, and after its end: where more than the cap is kept, all but the last
   * half-cap bytes are dropped, and counted, whatever the task writes meanwhile. True where it did. Between two calls the
   * file grows without bound.
   * Where the file system cannot give back the beginning of a file, less is kept (256 kB at least), and what the task
   * writes in the microseconds between the last look at the file and its truncation is lost and not counted.
   */
  cut(): Promise<boolean | undefined>;
  /** Calls `listener` (which then reads) after every change, and once it vanished, until the returned function is called. Changes in quick succession may be told as one. */
  watch(listener: () => void): () => void;
}

export interface OutputChunk {
  readonly offset: number;
  readonly bytes: Uint8Array;
  /** The file's size at the time. */
  readonly end: number;
}
