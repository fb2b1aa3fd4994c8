/**
 * Starting tasks, watching them, and finding them again. The far side outlives the agent: a launcher process of its
 * own starts what it is told, and the truth is in files, so a restarted agent finds every task where it left it.
 *
 * A task lives in a folder of its own, named by a path relative to the launcher's root (one id a component). The
 * folder
 * holds `run` (what is executed), `work/` (the sandbox, the task's working directory), `stdout`, `stderr`,
 * `claimed` (who creates it decides whether the task starts; then it says which process the task is) and, at the end,
 * `exit`.
 *
 * Every task leads a process group of its own, has an empty standard input, default signal handling, and the
 * environment it was given on top of a minimal one (PATH, HOME, LANG, TZ, USER, SHELL), never the agent's.
 */
export interface Launcher {
  /**
   * Makes the folder and hands it to the launcher process; resolves when it was sent. It starts at most once,
   * whatever is repeated, and perhaps never: `onStarted` and `onExit` tell, and `adopt` where they could not.
   * Rejects with a StorageError where the disk refuses the folder, with a {@link LauncherError} `NOT_SENDABLE` where
   * an argument or a name cannot be given to any program (a NUL, an empty name, a `=` in one), with `CLOSED` after
   * `close` or `stop`.
   */
  launch(task: TaskStart): Promise<void>;
  /** Hands a folder that `adopt` found `unclaimed` to the launcher process once more. */
  resend(folder: string): Promise<void>;
  /** Calls `listener` when a task's process exists, just before it becomes the program. May be missed while detached. */
  onStarted(listener: (started: TaskStarted) => void): void;
  /**
   * Calls `listener` when a task's main process has ended and its `exit` file is written. What ends while no agent is
   * attached is told by `adopt` alone; what ends meanwhile may be told by both.
   */
  onExit(listener: (exit: TaskExit) => void): void;
  /** Calls `listener` after a dead launcher process was replaced; unclaimed folders have been sent again by then. */
  onRestarted(listener: () => void): void;
  /**
   * Sends a signal to the task's whole process group, also to what its ended main process left behind. False where
   * there is nothing to signal (not started, ended), or where the process with its number is not provably the task's.
   */
  signal(folder: string, signal: TaskSignal): Promise<boolean>;
  /**
   * Kills what an ended task left behind: in its process group, and in any other what has `mark` (`NAME=value`) in its
   * environment, which the task was given and nobody else has. Looks at every process there is: for the rare case.
   */
  sweep(folder: string, mark: string): Promise<void>;
  /** What became of a folder. It changes nothing, may be asked at any time, and tells a new process with an old number apart. */
  adopt(folder: string): Promise<TaskState>;
  /** Claims the folder in the launcher's stead: true means that it never started and never will, false that it was claimed before. */
  claim(folder: string): Promise<boolean>;
  /** Removes folders and all in them; no error where one is missing. Only for tasks that have ended or were withdrawn. */
  remove(...folders: readonly string[]): Promise<void>;
  /** Detaches: launcher process and tasks go on. */
  close(): Promise<void>;
  /** Ends the launcher process and detaches. Running tasks go on, and their exit status is still written. */
  stop(): Promise<void>;
}

export interface TaskStart {
  /** Relative to the launcher's root, `/` between components, each `[A-Za-z0-9][A-Za-z0-9._-]{0,63}`. */
  readonly folder: string;
  /** The program (looked up in the task's PATH) and its arguments, passed on byte by byte; or one line for `/bin/sh -c`. */
  readonly argv: readonly string[] | { readonly shell: string };
  /** On top of the launcher's minimal environment (and of SHLVL, which bash leaves behind). */
  readonly environment: Readonly<Record<string, string>>;
  /** Paths below `/dev`, files or folders, that are its own: for isolation. Default none. */
  readonly devices?: readonly string[];
  /** A program with arguments that executes the rest of its command line in its own place (`nice -n 5`, `prlimit …`). Default none. */
  readonly wrapper?: readonly string[];
}

export interface TaskStarted {
  readonly folder: string;
  /** Of the task's main process, and of its process group. */
  readonly pid: number;
}

export interface TaskExit {
  readonly folder: string;
  /**
   * As a shell sees it: 0 to 255; 127 no such program, 126 not executable, 125 could not be started at all (no
   * process to be had), 128 + n ended by signal n, or so it says: only who sent the signal knows.
   */
  readonly code: number;
}

export type TaskSignal =
  | 'SIGTERM'
  | 'SIGKILL'
  | 'SIGINT'
  | 'SIGHUP'
  | 'SIGQUIT'
  | 'SIGUSR1'
  | 'SIGUSR2'
  | 'SIGSTOP'
  | 'SIGCONT';

export type TaskState =
  /** No folder, or one that was never finished: nothing was sent. */
  | { readonly state: 'missing' }
  /** Sent or not, it has not started: `resend` or `claim` it. */
  | { readonly state: 'unclaimed' }
  /** Claimed by an agent: it never started and never will. */
  | { readonly state: 'withdrawn' }
  /**
   * It runs, or is about to (no pid yet). Without a supervisor, which somebody must have killed, no exit status will
   * be written and no notice sent: ask again from time to time.
   */
  | { readonly state: 'running'; readonly pid: number | undefined; readonly supervised: boolean }
  | { readonly state: 'exited'; readonly code: number }
  /** It was claimed, there is no process and no exit status: the machine went down, or the supervisor was killed first. */
  | { readonly state: 'vanished' };

export type LauncherErrorCode = 'NOT_SENDABLE' | 'UNAVAILABLE' | 'CLOSED';

/** `UNAVAILABLE`: the launcher process could not be started; the message says why. */
export class LauncherError extends Error {
  readonly code: LauncherErrorCode;

  constructor(code: LauncherErrorCode, message: string, cause?: unknown) {
    super(message, { cause });
    this.name = 'LauncherError';
    this.code = code;
  }
}
