import {
  type Isolation,
  type Launcher,
  LauncherError,
  type LimitChange,
  type TaskExit,
  type TaskSignal,
  type TaskStart,
  type TaskStarted,
  type TaskState,
} from '../io/launcher.ts';
import type { Log } from '../io/log.ts';
import type { Storage } from '../io/storage.ts';
import { LIMITS } from '../protocol/limits.ts';
import { shortened } from '../protocol/shortened.ts';

/** An action under way. */
export interface ActionRun {
  readonly result: Promise<{ readonly code: number; readonly message: string; readonly output?: string }>;
  /** Gives it up; `result` need not settle any more. */
  stop(): void;
}

export interface ActionLauncherOptions {
  /** The folder of all task folders. */
  readonly storage: Storage;
  /** Every task folder there is. */
  readonly folders: () => Promise<string[]>;
  /** Removes task folders and all in them. */
  readonly remove: (folders: readonly string[]) => Promise<void>;
  /** Begins an action; `progress` is for people. */
  readonly run: (argv: readonly string[], progress: (text: string) => void) => ActionRun;
  /** The process that stands for all of them. */
  readonly pid: number;
  readonly log: Log;
}

const SIGNAL_NUMBERS: Readonly<Partial<Record<TaskSignal, number>>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGKILL: 9,
  SIGUSR1: 10,
  SIGUSR2: 12,
  SIGTERM: 15,
};
const OUTPUT_BYTES = 65_536;

type Task =
  | { readonly state: 'queued'; readonly argv: readonly string[] }
  | { readonly state: 'claiming' }
  | { readonly state: 'running'; readonly run: ActionRun }
  | { readonly state: 'ending' };

/**
 * Tasks that are actions of a device instead of processes. The claim is durable before the action begins, the end before
 * it is told, so that none begins twice; one that was under way when this process ended has vanished. Actions run one at
 * a time, as a device has one voice for all its answers, and only while it is there ({@link rest}, {@link wake}).
 */
export class ActionLauncher implements Launcher {
  /** What a device does cannot be held to anything. */
  readonly isolation: Isolation = {
    cgroups: 'none',
    cpu: false,
    memory: 'process',
    processes: 'none',
    user: undefined,
    notes: [],
  };
  readonly #options: ActionLauncherOptions;
  /** What has not ended, in the order of its launch. */
  readonly #tasks = new Map<string, Task>();
  readonly #started: ((started: TaskStarted) => void)[] = [];
  readonly #exited: ((exit: TaskExit) => void)[] = [];
  readonly #progress: ((folder: string, text: string) => void)[] = [];
  #awake = true;
  #closed = false;

  constructor(options: ActionLauncherOptions) {
    this.#options = options;
  }

  /** Begins nothing more until {@link wake}; what is under way goes on. */
  rest(): void {
    this.#awake = false;
  }

  wake(): void {
    this.#awake = true;
    this.#next();
  }

  async launch({ folder, argv }: TaskStart): Promise<void> {
    if (this.#closed) throw new LauncherError('CLOSED', 'the launcher is closed');
    if (this.#tasks.has(folder) || (await this.#claimed(folder)) !== undefined) return;
    // Two launches of one folder may both have looked.
    if (this.#tasks.has(folder)) return;
    this.#tasks.set(folder, { state: 'queued', argv: 'shell' in argv ? argv.shell.split(/\s+/) : argv });
    this.#next();
  }

  usage(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  /** Whatever is queued will come to its turn. */
  resend(): Promise<void> {
    return Promise.resolve();
  }

  onStarted(listener: (started: TaskStarted) => void): void {
    this.#started.push(listener);
  }

  onExit(listener: (exit: TaskExit) => void): void {
    this.#exited.push(listener);
  }

  /** It is this process: where that ends, nobody is left to hear of it. */
  onRestarted(): void {}

  onProgress(listener: (folder: string, text: string) => void): void {
    this.#progress.push(listener);
  }

  async signal(folder: string, signal: TaskSignal): Promise<boolean> {
    const task = this.#tasks.get(folder);
    const number = SIGNAL_NUMBERS[signal];
    if (task?.state !== 'running' || number === undefined) return false;
    task.run.stop();
    await this.#end(folder, { code: 128 + number, message: 'given up; what the device has begun may go on' });
    return true;
  }

  limit(): Promise<LimitChange> {
    return Promise.resolve('absent');
  }

  /** No action leaves a process behind. */
  sweep(): Promise<void> {
    return Promise.resolve();
  }

  async adopt(folder: string): Promise<TaskState> {
    const task = this.#tasks.get(folder);
    if (task?.state === 'queued') return { state: 'unclaimed' };
    if (task !== undefined) return { state: 'running', pid: this.#options.pid, supervised: true };
    const end = await this.#options.storage.read(`${folder}/exit`);
    const exit = end === undefined ? undefined : exitOf(new TextDecoder().decode(end));
    if (exit !== undefined) return { state: 'exited', ...exit };
    const claimed = await this.#claimed(folder);
    if (claimed === undefined) return { state: 'missing' };
    return { state: claimed === 'agent' ? 'withdrawn' : 'vanished' };
  }

  async claim(folder: string): Promise<boolean> {
    const task = this.#tasks.get(folder);
    if (task !== undefined && task.state !== 'queued') return false;
    // In this turn of the loop, so that it cannot begin meanwhile.
    this.#tasks.delete(folder);
    if ((await this.#claimed(folder)) !== undefined) return false;
    await this.#write(`${folder}/claimed`, 'agent');
    return true;
  }

  folders(): Promise<string[]> {
    return this.#options.folders();
  }

  async remove(...folders: readonly string[]): Promise<void> {
    for (const folder of folders) this.#tasks.delete(folder);
    await this.#options.remove(folders);
  }

  close(): Promise<void> {
    this.#closed = true;
    for (const task of this.#tasks.values()) if (task.state === 'running') task.run.stop();
    this.#tasks.clear();
    return Promise.resolve();
  }

  stop(): Promise<void> {
    return this.close();
  }

  #next(): void {
    if (!this.#awake || this.#closed) return;
    // The oldest of those that have not ended: while it is under way, the others wait.
    const [first] = this.#tasks;
    if (first === undefined) return;
    const [folder, task] = first;
    if (task.state !== 'queued') return;
    this.#tasks.set(folder, { state: 'claiming' });
    this.#begin(folder, task.argv).catch((error: unknown) => {
      // The disk took no claim, so it has not begun; its agent takes the launch back in time.
      this.#options.log.error('action not begun', { folder, error: String(error) });
      this.#tasks.set(folder, task);
    });
  }

  async #begin(folder: string, argv: readonly string[]): Promise<void> {
    await this.#write(`${folder}/claimed`, 'launcher');
    if (this.#closed) return;
    const run = this.#options.run(argv, (text) => {
      for (const listener of this.#progress) listener(folder, shortened(text, LIMITS.messageLength));
    });
    this.#tasks.set(folder, { state: 'running', run });
    for (const listener of this.#started) listener({ folder, pid: this.#options.pid });
    void run.result.then(({ code, message, output }) => {
      if (this.#tasks.get(folder)?.state === 'running')
        void this.#end(folder, { code, message: shortened(message, LIMITS.messageLength) }, output);
    });
  }

  async #end(folder: string, end: { code: number; message: string }, output = ''): Promise<void> {
    this.#tasks.set(folder, { state: 'ending' });
    try {
      await this.#write(`${folder}/stdout`, output.slice(0, OUTPUT_BYTES));
      await this.#write(`${folder}/exit`, JSON.stringify(end));
    } catch (error) {
      // Told all the same: the checkpoint of its agent has the end as well.
      this.#options.log.error('end of an action not written', { folder, error: String(error) });
    }
    this.#tasks.delete(folder);
    if (this.#closed) return;
    for (const listener of this.#exited) listener({ folder, ...end });
    this.#next();
  }

  async #claimed(folder: string): Promise<string | undefined> {
    const bytes = await this.#options.storage.read(`${folder}/claimed`);
    return bytes === undefined ? undefined : new TextDecoder().decode(bytes);
  }

  #write(path: string, text: string): Promise<void> {
    return this.#options.storage.replace(path, new TextEncoder().encode(text));
  }
}

/** What was written at the end of an action; undefined where it cannot be read. */
function exitOf(text: string): { code: number; message: string } | undefined {
  try {
    const end: unknown = JSON.parse(text);
    if (typeof end !== 'object' || end === null || !('code' in end) || !('message' in end)) return undefined;
    const { code, message } = end;
    return typeof code === 'number' && typeof message === 'string' ? { code, message } : undefined;
  } catch {
    return undefined;
  }
}
