import type { Command } from 'commander';
import type { Fault } from '../protocol/faults.ts';
import type { Connection, Terminal } from './terminal.ts';

/** What every verb takes, read. */
export interface CommonOptions {
  readonly urls: readonly string[];
  readonly prefix: string;
  readonly name: string;
  /** `name:secret`, as it was given. */
  readonly token: string | undefined;
  readonly ca: string | undefined;
  readonly json: boolean;
  readonly quiet: boolean;
  /** Longest wait for the cluster, and for each answer. */
  readonly timeoutMs: number;
}

/** What a verb works with. */
export interface Context {
  readonly terminal: Terminal;
  readonly options: CommonOptions;
  /** The cluster; the same connection every time, closed after the verb. */
  connect(): Promise<Connection | Fault>;
  /**
   * Longest wait for the next answer, in ms: `--timeout`, of which connecting has had its part where nothing was asked
   * since. At least 1.
   */
  answerMs(): number;
}

/** A verb as it is listed, before its file is loaded. */
export interface VerbEntry {
  /** One line of `mesq help`. */
  readonly summary: string;
  readonly load: () => Promise<Verb>;
}

/** One verb, in a file of its own: loaded when it is asked for. */
export interface Verb {
  /** Shell lines, shown before anything else in its help. */
  readonly examples: readonly string[];
  /** Exit code for every fault, where the verb passes other exit codes on; default: by the fault's code. */
  readonly faultExit?: number;
  /**
   * What it exits with, for docs/cli.md: of a verb that passes other exit codes on, all of them; of any other, what goes
   * beyond the common ones. `n` stands for a program's own code.
   */
  readonly exits?: Readonly<Record<string, string>>;
  /** Adds its arguments and options. */
  configure(command: Command): void;
  /** Verbs below it, by their word: `mesq agent install`. */
  readonly verbs?: Readonly<Record<string, VerbEntry>>;
  /** Does it; `command` holds what was parsed. Gives the exit code, or what went wrong. */
  run(context: Context, command: Command): Promise<number | Fault>;
}
