import type { ContainerStart } from './containers.ts';

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
  /** What this machine can hold a task to: found out when the launcher was attached to. */
  readonly isolation: Isolation;
  /**
   * Makes the folder and hands it to the launcher process; resolves when it was sent. It starts at most once,
   * whatever is repeated, and perhaps never: `onStarted` and `onExit` tell, and `adopt` where they could not.
   * Rejects with a StorageError where the disk refuses the folder, with a {@link LauncherError} `NOT_SENDABLE` where
   * an argument or a name cannot be given to any program (a NUL, an empty name, a `=` in one), with `CLOSED` after
   * `close` or `stop`.
   */
  launch(task: TaskStart): Promise<void>;
  /**
   * Hands a folder that `adopt` found `unclaimed` to the launcher process once more. A control group that went with the
   * machine it has again, under the limits of its `launch`: who gave it others since gives them again.
   */
  resend(folder: string): Promise<void>;
  /** Calls `listener` when a task's process exists, just before it becomes the program. May be missed while detached. */
  onStarted(listener: (started: TaskStarted) => void): void;
  /**
   * Calls `listener` when a task's main process has ended and its `exit` file is written. What ends while no agent is
   * attached is told by `adopt` alone; what ends meanwhile may be told by both.
   */
  onExit(listener: (exit: TaskExit) => void): void;
  /**
   * Calls `listener` when a task that runs tells how far it is, in a few words. Absent where tasks are programs: those say
   * it in their output.
   */
  onProgress?(listener: (folder: string, text: string) => void): void;
  /** Calls `listener` with words about a start that takes its time: an image on its way. Absent where none does. */
  onFetching?(listener: (progress: TaskProgress) => void): void;
  /** Calls `listener` when an image has come that was not on this machine. Absent where none does. */
  onPulled?(listener: (image: string) => void): void;
  /** Calls `listener` after a dead launcher process was replaced; unclaimed folders have been sent again by then. */
  onRestarted(listener: () => void): void;
  /**
   * Sends a signal to the task's whole process group, also to what its ended main process left behind. False where
   * there is nothing to signal (not started, ended), or where the process with its number is not provably the task's.
   * With control groups SIGKILL, SIGSTOP and SIGCONT are for every process of the task at one stroke, wherever it went:
   * killed, frozen, thawed.
   */
  signal(folder: string, signal: TaskSignal): Promise<boolean>;
  /**
   * Holds a task, sent or running, to other limits than those of its `launch`; absent ones are lifted. No process is ended
   * by it: memory is not cut below what is used. `inUse`: all else holds, and the limit on memory is what it was, until
   * it is asked for again. `absent`: there are no control groups, or none (any more) of this task. Rejects with the
   * kernel's error where that refuses one.
   */
  limit(folder: string, limits: StartLimits): Promise<LimitChange>;
  /**
   * Kills what an ended task left behind, and removes its control group (by and by: a killed process takes a moment).
   * Without control groups: what is in its process group, and in any other what has `mark` (`NAME=value`) in its
   * environment, which the task was given and nobody else has; that looks at every process there is: for the rare case.
   */
  sweep(folder: string, mark?: string): Promise<void>;
  /** What the task uses now; undefined without control groups, and once it was swept. Asks the kernel: cheap, not free. */
  usage(folder: string): Promise<TaskUsage | undefined>;
  /** What became of a folder. It changes nothing, may be asked at any time, and tells a new process with an old number apart. */
  adopt(folder: string): Promise<TaskState>;
  /** Claims the folder in the launcher's stead: true means that it never started and never will, false that it was claimed before. */
  claim(folder: string): Promise<boolean>;
  /** Every task folder there is, whoever made it and when. */
  folders(): Promise<string[]>;
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
  readonly limits?: StartLimits;
  /** It runs in a container, and all of the above but the folder is without meaning: what runs is said here. */
  readonly container?: ContainerTask;
}

export interface ContainerTask extends ContainerStart {
  /** Whether the image is fetched: never, where it is not here, or each time. */
  readonly pull: 'never' | 'missing' | 'always';
}

export interface TaskProgress {
  readonly folder: string;
  readonly message: string;
}

/** What all processes of a task are held to, together. What the launcher cannot do of it, {@link Isolation} says before. */
export interface StartLimits {
  /** Thousandths of a CPU: its share where everybody wants more than there is. Default 1000. */
  readonly cpuShare?: number;
  /** Thousandths of a CPU: the most it gets, though the rest be idle. Default no limit. */
  readonly cpuMost?: number;
  /** Swap included. The kernel ends what goes beyond. Default no limit. */
  readonly memoryBytes?: number;
  /** Processes and threads. Default no limit. */
  readonly processes?: number;
}

export type LimitChange = 'held' | 'inUse' | 'absent';

export interface Isolation {
  readonly cgroups: 'v1' | 'v2' | 'none';
  /** CPU shares and the most CPU. */
  readonly cpu: boolean;
  /** `task`: all processes of a task together. `process`: each by itself, what it may allocate (RLIMIT_DATA). */
  readonly memory: 'task' | 'process';
  /** `task`: of each task. `user`: of all tasks together, which have a user of their own (RLIMIT_NPROC). */
  readonly processes: 'task' | 'user' | 'none';
  /** Whom tasks run as; undefined: as the agent's own user. */
  readonly user: string | undefined;
  /** What every task has for itself: of `mount` (its /tmp, and a /dev with its devices alone), `ipc`, `uts`, `net`. Absent: nothing. */
  readonly namespaces?: readonly string[];
  /** For people: what is missing, and why. */
  readonly notes: readonly string[];
}

/** What a task and all its processes have used. What the kernel does not count is undefined. */
export interface TaskUsage {
  readonly cpuMs: number | undefined;
  readonly memoryBytes: number | undefined;
  /** The most at any time, the page cache of its files included. */
  readonly memoryPeakBytes: number | undefined;
  /** Processes and threads. */
  readonly processes: number | undefined;
}

/** What can be said of a task's usage when it has ended. */
export type TaskSpent = Pick<TaskUsage, 'cpuMs' | 'memoryPeakBytes'>;

/** Whose memory had run out when the kernel ended a process of the task: its own limit, or the machine. */
export type OutOfMemory = 'limit' | 'machine';

export interface TaskStarted {
  readonly folder: string;
  /** Of the task's main process, and of its process group. */
  readonly pid: number;
}

export interface TaskExit {
  readonly folder: string;
  /**
   * As a shell sees it: 0 to 255; 127 no such program, 126 not executable, 125 could not be started at all (no
   * process to be had, or its limits could not be set), 128 + n ended by signal n, or so it says: only who sent the
   * signal knows.
   */
  readonly code: number;
  /** With a code other than 0: the kernel has ended a process of it. */
  readonly outOfMemory?: OutOfMemory;
  readonly usage?: TaskSpent;
  /** What more there is to say, for people. Absent: nothing but the code. */
  readonly message?: string;
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
  | {
      readonly state: 'exited';
      readonly code: number;
      readonly outOfMemory?: OutOfMemory;
      readonly usage?: TaskSpent;
      readonly message?: string;
    }
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
