import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import {
  type Isolation,
  type Launcher,
  LauncherError,
  type LimitChange,
  type StartLimits,
  type TaskExit,
  type TaskSignal,
  type TaskStart,
  type TaskStarted,
  type TaskState,
  type TaskUsage,
} from '../../io/launcher.ts';
import type { Call, HostOptions, Told } from './launcher-host.ts';

interface Answer {
  resolve(value: unknown): void;
  reject(error: unknown): void;
}

/** The real launcher, in a process of its own that can be killed: see launcher-host.ts. */
export class LauncherGuest implements Launcher {
  readonly isolation: Isolation;
  readonly #process: ChildProcess;
  readonly #startedListeners: ((started: TaskStarted) => void)[] = [];
  readonly #exitListeners: ((exit: TaskExit) => void)[] = [];
  readonly #restartedListeners: (() => void)[] = [];
  readonly #answers = new Map<number, Answer>();
  #asked = 0;

  /** Resolves when it is attached; `environment` is all that the agent's process has. */
  static async attach(
    root: string,
    folder: string,
    environment: NodeJS.ProcessEnv = process.env,
    options: HostOptions = {},
  ): Promise<LauncherGuest> {
    const host = fileURLToPath(new URL('launcher-host.js', import.meta.url));
    const child = fork(host, [root, folder, JSON.stringify(options)], {
      env: environment,
      execArgv: [],
      serialization: 'advanced',
    });
    const [told] = (await once(child, 'message')) as [Told];
    if (told.told === 'failed') throw new LauncherError('UNAVAILABLE', told.error.message);
    if (told.told !== 'attached') throw new Error(`the host says ${told.told} first`);
    const guest = new LauncherGuest(child, told.isolation);
    child.on('message', (message: Told) => guest.#told(message));
    return guest;
  }

  private constructor(child: ChildProcess, isolation: Isolation) {
    this.isolation = isolation;
    this.#process = child;
  }

  /** kill -9 of the agent. */
  async kill(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const exit = once(this.#process, 'exit');
    this.#process.kill('SIGKILL');
    await exit;
  }

  launch(task: TaskStart): Promise<void> {
    return this.#ask({ verb: 'launch', task });
  }

  resend(folder: string): Promise<void> {
    return this.#ask({ verb: 'resend', folder });
  }

  onStarted(listener: (started: TaskStarted) => void): void {
    this.#startedListeners.push(listener);
  }

  onExit(listener: (exit: TaskExit) => void): void {
    this.#exitListeners.push(listener);
  }

  onRestarted(listener: () => void): void {
    this.#restartedListeners.push(listener);
  }

  signal(folder: string, signal: TaskSignal): Promise<boolean> {
    return this.#ask({ verb: 'signal', folder, signal });
  }

  limit(folder: string, limits: StartLimits): Promise<LimitChange> {
    return this.#ask({ verb: 'limit', folder, limits });
  }

  sweep(folder: string, mark?: string): Promise<void> {
    return this.#ask({ verb: 'sweep', folder, mark });
  }

  usage(folder: string): Promise<TaskUsage | undefined> {
    return this.#ask({ verb: 'usage', folder });
  }

  adopt(folder: string): Promise<TaskState> {
    return this.#ask({ verb: 'adopt', folder });
  }

  claim(folder: string): Promise<boolean> {
    return this.#ask({ verb: 'claim', folder });
  }

  folders(): Promise<string[]> {
    return this.#ask({ verb: 'folders' });
  }

  remove(folder: string): Promise<void> {
    return this.#ask({ verb: 'remove', folder });
  }

  close(): Promise<void> {
    return this.#ask({ verb: 'close' });
  }

  stop(): Promise<void> {
    return this.#ask({ verb: 'stop' });
  }

  #ask<T>(call: Call): Promise<T> {
    const id = this.#asked++;
    return new Promise((resolve, reject) => {
      this.#answers.set(id, { resolve: resolve as (value: unknown) => void, reject });
      this.#process.send({ id, call });
    });
  }

  #told(message: Told): void {
    if (message.told === 'started')
      for (const listener of this.#startedListeners) listener({ folder: message.folder, pid: message.pid });
    if (message.told === 'exit') for (const listener of this.#exitListeners) listener(message.exit);
    if (message.told === 'restarted') for (const listener of this.#restartedListeners) listener();
    if (message.told !== 'answer') return;
    const answer = this.#answers.get(message.id);
    this.#answers.delete(message.id);
    if (message.error === undefined) answer?.resolve(message.value);
    else answer?.reject(Object.assign(new Error(message.error.message), { code: message.error.code }));
  }
}
