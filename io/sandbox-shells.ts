/**
 * Programs that a person starts beside a task: in its sandbox, as its user, in its environment, held to its limits, and
 * in its container where it has one. They end with this process.
 */
export interface SandboxShells {
  /** Starts a program. Rejects with a {@link ShellError}; a program that cannot be executed ends with 126 or 127. */
  open(start: ShellStart): Promise<SandboxShell>;
}

export interface ShellStart {
  /** The task's, relative to the root of task folders: the task runs. */
  readonly folder: string;
  readonly argv: readonly string[];
  /** On top of what every task has. In a container without meaning: it has its own. */
  readonly environment: Readonly<Record<string, string>>;
  /** Under a terminal of its own; undefined: three pipes. */
  readonly terminal: { readonly rows: number; readonly columns: number; readonly type: string } | undefined;
  /** Runs before the program can have written anything. The next bytes of any stream wait for the promise. */
  readonly onOutput: (stream: 'stdout' | 'stderr', bytes: Uint8Array) => Promise<void>;
}

export interface SandboxShell {
  /** Settles with its exit status as a shell gives it, once all it has written was taken. Never rejects. */
  readonly ended: Promise<number>;
  /** Resolves when its pipe took the bytes; also where nobody reads them any more. */
  write(bytes: Uint8Array): Promise<void>;
  /** There is no more input: without a terminal its pipe is closed. */
  endInput(): void;
  /** Tells its terminal, and by SIGWINCH whoever has it in the foreground. Without a terminal nothing happens. */
  resize(rows: number, columns: number): void;
  /** SIGHUP, as when a terminal is closed; SIGKILL with `force`. */
  hangUp(force: boolean): void;
}

/** `UNSUPPORTED`: the machine lacks what it takes, and the message says what. `FAILED`: it could not be started this time. */
export type ShellErrorCode = 'UNSUPPORTED' | 'FAILED';

export class ShellError extends Error {
  readonly code: ShellErrorCode;

  constructor(code: ShellErrorCode, message: string, cause?: unknown) {
    super(message, { cause });
    this.name = 'ShellError';
    this.code = code;
  }
}
