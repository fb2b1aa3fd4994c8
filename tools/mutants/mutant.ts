/** A bug that is planted into the compiled build, to see which test notices. */
export interface Mutant {
  /** The bug, as the field calls it. */
  readonly name: string;
  /** Below build/. */
  readonly file: string;
  readonly from: string;
  readonly to: string;
  /** Below build/test/: where it is to be noticed. */
  readonly tests: readonly string[];
  /** Only tests of that title (AVA's `--match`). Default all. */
  readonly match?: string;
  /** Why no test can notice it, where that is so. */
  readonly unnoticed?: string;
}

/** Raft's core and its shell. */
export const CORE = ['master/raft.test.js', 'master/raft-voters.test.js', 'master/raft-rules.test.js'];
export const FENCING = ['master/registry.test.js', 'master/tasks.test.js', 'master/master.test.js'];
