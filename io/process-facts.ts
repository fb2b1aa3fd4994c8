/** What the platform knows of this process, asked only when somebody wants to know. */
export interface ProcessFacts {
  /** Resident memory, in kB. */
  readonly rssKb: number;
  /** The same where shared pages count in proportion (proc(5) smaps_rollup); null where the platform does not tell. */
  readonly pssKb: number | null;
  /** Processor time so far, in milliseconds. */
  readonly processorMs: number;
  readonly openFiles: number | null;
  /** Bytes that this process has caused to be written to storage (proc(5) io); null where the platform does not tell. */
  readonly writtenBytes: number | null;
}
