import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { appendFile, chmod, mkdir, readFile, realpath, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type ContainerEngine, type ContainerSummary, EngineError, StopRequest } from '../containers.ts';
import { EnginePatience } from '../engine-patience.ts';
import type { LateEngine } from '../late-engine.ts';
import {
  type ContainerTask,
  type Isolation,
  type Launcher,
  LauncherError,
  type LimitChange,
  type StartLimits,
  type TaskExit,
  type TaskProgress,
  type TaskSignal,
  type TaskStart,
  type TaskStarted,
  type TaskState,
  type TaskUsage,
} from '../launcher.ts';
import type { Log } from '../log.ts';
import type { OutputFile } from '../output-file.ts';
import { StorageError } from '../storage.ts';
import { fetchImage } from './image-fetch.ts';
import { makeFoldersAbove } from './task-folder.ts';

export interface ContainerLauncherOptions {
  readonly engine: ContainerEngine & Pick<LateEngine, 'there' | 'onAppeared'>;
  /** Absolute; task folders are relative to it, as those of `processes` are. */
  readonly root: string;
  /** What starts everything else. */
  readonly processes: Launcher;
  /** An output file of a task folder. */
  readonly output: (folder: string, stream: 'stdout' | 'stderr') => OutputFile;
  readonly log: Log;
}

/** In a task's folder: what runs in the container. Its presence says whose the folder is. */
const TASK_FILE = 'container';
const CLAIM_FILE = 'claimed';
const EXIT_FILE = 'exit';
const MEMORY_FILE = 'out-of-memory';
/** In `claimed`, where an agent was first: the same word as for processes. */
const WITHDRAWN = 'agent\n';
const STREAMS = ['stdout', 'stderr'] as const;
/** On a container: the folder of tasks that it is of, and the task's folder in there. */
const ROOT_LABEL = 'mesquite.root';
const FOLDER_LABEL = 'mesquite.folder';

/**
 * A launcher whose tasks may name a container: those it starts by an engine, and hands all others to `processes`.
 *
 * The engine is the far side that outlives the agent. A task's container has a name made of its folder, so that it is made
 * once whoever tries, and found again. It never ran while the engine says `created`; who writes `claimed` first decides
 * whether it ever does. The engine keeps what it writes from the first byte on, so a restarted agent goes on behind what
 * its files hold already: nothing is lost, and nothing is there twice.
 */
export async function launchContainers(options: ContainerLauncherOptions): Promise<Launcher> {
  const boot = (await readFile('/proc/sys/kernel/random/boot_id', 'latin1')).trim();
  const launcher = new ContainerLauncher({ ...options, root: await realpath(options.root) }, boot);
  if (options.engine.there) void launcher.prune();
  options.engine.onAppeared(() => launcher.appeared());
  return launcher;
}

/** From the end of a container to the engine's word on a SIGKILL that was sent to it. */
const KILL_ANSWER_MS = 2_000;

/** A container task that this process is busy with. */
interface Watched {
  readonly stop: StopRequest;
  /** SIGKILLs sent from here: had it run when it came? Also true if the engine did not say. */
  readonly kills: Promise<boolean>[];
}

class ContainerLauncher implements Launcher {
  readonly isolation: Isolation;
  readonly #options: ContainerLauncherOptions;
  readonly #boot: string;
  readonly #rootLabel: string;
  readonly #watched = new Map<string, Watched>();
  readonly #startedListeners: ((started: TaskStarted) => void)[] = [];
  readonly #exitListeners: ((exit: TaskExit) => void)[] = [];
  readonly #pulledListeners: ((image: string) => void)[] = [];
  readonly #progressListeners: ((progress: TaskProgress) => void)[] = [];
  readonly #timers = new Set<() => void>();
  #closed = false;

  constructor(options: ContainerLauncherOptions, boot: string) {
    this.#options = options;
    this.isolation = options.processes.isolation;
    this.#boot = boot;
    this.#rootLabel = labelOf(options.root);
  }

  /** Somebody answers again: those who wait ask now. */
  appeared(): void {
    for (const wake of this.#timers) wake();
    void this.prune();
  }

  /** Removes containers of tasks that have ended, or are gone: an agent or an engine was killed before it could. */
  async prune(): Promise<void> {
    const { engine, log } = this.#options;
    try {
      for (const { name, labels } of await engine.list(ROOT_LABEL, this.#rootLabel)) {
        const folder = labels[FOLDER_LABEL] ?? '';
        if (name !== this.#nameOf(folder) || this.#watched.has(folder)) continue;
        const claimed = await readText(join(this.#path(folder), CLAIM_FILE));
        const needed = this.#isContainer(folder) && claimed !== WITHDRAWN;
        if (!needed || (await this.#exitOf(folder)) !== undefined) await this.#discard(folder);
      }
    } catch (error) {
      log.warn('left containers not looked for', { error: String(error) });
    }
  }

  async launch(task: TaskStart): Promise<void> {
    if (task.container === undefined) return await this.#options.processes.launch(task);
    if (this.#closed) throw new LauncherError('CLOSED', 'this launcher is closed');
    const folder = this.#path(task.folder);
    await onDisk(folder, async () => {
      await makeFoldersAbove(folder);
      await mkdir(join(folder, 'work'), { recursive: true, mode: 0o700 });
      // Made passable where artifacts were put into it: what root in the container leaves there is for no user of the machine.
      await chmod(folder, 0o700);
      await replace(join(folder, TASK_FILE), JSON.stringify(task.container));
      for (const stream of STREAMS) await writeFile(join(folder, stream), '', { flag: 'a', mode: 0o600 });
    });
    this.#watch(task.folder);
  }

  async resend(folder: string): Promise<void> {
    if (!this.#isContainer(folder)) return await this.#options.processes.resend(folder);
    this.#watch(folder);
  }

  onStarted(listener: (started: TaskStarted) => void): void {
    this.#startedListeners.push(listener);
    this.#options.processes.onStarted(listener);
  }

  onExit(listener: (exit: TaskExit) => void): void {
    this.#exitListeners.push(listener);
    this.#options.processes.onExit(listener);
  }

  onFetching(listener: (progress: TaskProgress) => void): void {
    this.#progressListeners.push(listener);
  }

  onPulled(listener: (image: string) => void): void {
    this.#pulledListeners.push(listener);
  }

  onRestarted(listener: () => void): void {
    this.#options.processes.onRestarted(listener);
  }

  async signal(folder: string, signal: TaskSignal): Promise<boolean> {
    if (!this.#isContainer(folder)) return await this.#options.processes.signal(folder, signal);
    if ((await this.#exitOf(folder)) !== undefined) return false;
    const sent = this.#options.engine.signal(this.#nameOf(folder), signal);
    const watched = this.#watched.get(folder);
    // Noted before the engine answers: its end may be heard of first.
    if (signal === 'SIGKILL' && watched !== undefined)
      watched.kills.push(sent.catch((error: unknown) => !isAnswer(error)));
    return await sent;
  }

  /** Containers have theirs from the engine, and for as long as they run: nobody changes them. */
  limit(folder: string, limits: StartLimits): Promise<LimitChange> {
    return this.#options.processes.limit(folder, limits);
  }

  usage(folder: string): Promise<TaskUsage | undefined> {
    return this.#options.processes.usage(folder);
  }

  async sweep(folder: string, mark?: string): Promise<void> {
    // Whatever was in a container ended with its main process.
    if (!this.#isContainer(folder)) await this.#options.processes.sweep(folder, mark);
  }

  async adopt(folder: string): Promise<TaskState> {
    if (!this.#isContainer(folder)) return await this.#options.processes.adopt(folder);
    const exit = await this.#exitOf(folder);
    if (exit !== undefined) return { state: 'exited', ...exit };
    const claimed = await readText(join(this.#path(folder), CLAIM_FILE));
    // Half of what it is to run, or none, as a power cut may leave it: it is handed over once more.
    if (claimed === undefined) return { state: (await this.#taskOf(folder)) === undefined ? 'missing' : 'unclaimed' };
    if (claimed === WITHDRAWN) return { state: 'withdrawn' };
    const found = await this.#options.engine.inspect(this.#nameOf(folder));
    if (found === undefined) return (await this.#adoptedExit(folder)) ?? { state: 'vanished' };
    if (found.state === 'running') {
      this.#watch(folder);
      return { state: 'running', pid: found.pid, supervised: true };
    }
    // What an engine says of a container that went down with its machine is no exit status.
    if (claimed.trim() !== this.#boot) return { state: 'vanished' };
    if (this.#watched.has(folder)) return { state: 'running', pid: undefined, supervised: true };
    if (found.state === 'created') return { state: 'unclaimed' };
    await this.#finish(folder, new StopRequest());
    return (await this.#adoptedExit(folder)) ?? { state: 'vanished' };
  }

  async claim(folder: string): Promise<boolean> {
    if (!this.#isContainer(folder)) return await this.#options.processes.claim(folder);
    const path = this.#path(folder);
    const first = await this.#claimAs(path, WITHDRAWN);
    if (!first) {
      if ((await readText(join(path, CLAIM_FILE))) === WITHDRAWN) return false;
      const found = await this.#options.engine.inspect(this.#nameOf(folder));
      // Between its claim and its start, and nobody is at it: it never ran, and without a container never will.
      if (found?.state !== 'created' || this.#watched.has(folder)) return false;
      await replace(join(path, CLAIM_FILE), WITHDRAWN);
    }
    this.#watched.get(folder)?.stop.stop();
    this.#watched.delete(folder);
    await this.#discard(folder);
    return true;
  }

  folders(): Promise<string[]> {
    return this.#options.processes.folders();
  }

  async remove(...folders: readonly string[]): Promise<void> {
    for (const folder of folders) {
      if (!this.#isContainer(folder)) continue;
      this.#watched.get(folder)?.stop.stop();
      this.#watched.delete(folder);
      await this.#discard(folder);
    }
    await this.#options.processes.remove(...folders);
  }

  async close(): Promise<void> {
    this.#detach();
    await this.#options.processes.close();
  }

  async stop(): Promise<void> {
    this.#detach();
    await this.#options.processes.stop();
  }

  #detach(): void {
    this.#closed = true;
    for (const { stop } of this.#watched.values()) stop.stop();
    this.#watched.clear();
    for (const wake of this.#timers) wake();
  }

  /** Brings a task from wherever it is to its end, beside whatever else happens. Once at a time. */
  #watch(folder: string): void {
    if (this.#watched.has(folder) || this.#closed) return;
    const watched: Watched = { stop: new StopRequest(), kills: [] };
    this.#watched.set(folder, watched);
    void this.#attend(folder, watched).finally(() => {
      if (this.#watched.get(folder) === watched) this.#watched.delete(folder);
    });
  }

  async #attend(folder: string, { stop }: Watched): Promise<void> {
    const { log } = this.#options;
    const patience = new EnginePatience();
    let runs = false;
    while (!stop.stopped) {
      try {
        if (!(await this.#begin(folder, stop))) return;
        runs = true;
        patience.rewarded();
        await this.#follow(folder, stop);
        await this.#finish(folder, stop);
        return;
      } catch (error) {
        if (stop.stopped) return;
        const words = error instanceof Error ? error.message : String(error);
        const { pauseMs, news } = patience.failed(error, runs);
        if (pauseMs === undefined) {
          await this.#failed(folder, words).catch((reason: unknown) =>
            log.error('container task not ended', { folder, error: String(reason) }),
          );
          return;
        }
        if (news) {
          log.warn('container engine', { folder, error: words, retryMs: pauseMs });
          if (!runs) this.#say(folder, `no container yet, again in ${pauseMs / 1_000} s: ${words.slice(0, 200)}`);
        }
        await this.#pause(pauseMs);
      }
    }
  }

  #say(folder: string, message: string): void {
    for (const listener of this.#progressListeners) listener({ folder, message });
  }

  /** Has it run, unless it was withdrawn (then false). Every step may have been done before. */
  async #begin(folder: string, stop: StopRequest): Promise<boolean> {
    const { engine, log } = this.#options;
    const task = await this.#taskOf(folder);
    if (task === undefined) return false;
    const name = this.#nameOf(folder);
    const path = this.#path(folder);
    let found = await engine.inspect(name);
    if (found === undefined) {
      const claimed = await readText(join(path, CLAIM_FILE));
      // Somebody removed what ran: it is for `adopt` to say so.
      if (claimed !== undefined) return false;
      const say = (message: string): void => this.#say(folder, message);
      const world = { engine, log, say, stop, pause: (ms: number) => this.#pause(ms) };
      const isNew = await fetchImage(world, task.image, task.pull);
      if (isNew) for (const listener of this.#pulledListeners) listener(task.image);
      const { pull: _, ...start } = task;
      await engine.create({
        ...start,
        name,
        labels: { [ROOT_LABEL]: this.#rootLabel, [FOLDER_LABEL]: folder },
      });
      found = await engine.inspect(name);
    }
    if (stop.stopped) return false;
    if (found?.state === 'created') {
      const first = await this.#claimAs(path, `${this.#boot}\n`);
      if (!first && (await readText(join(path, CLAIM_FILE))) === WITHDRAWN) {
        await this.#discard(folder);
        return false;
      }
      const problem = await startProblem(engine, name);
      if (problem !== undefined) {
        await this.#failed(folder, problem.message, problem.code);
        return false;
      }
      found = await engine.inspect(name);
    }
    for (const listener of this.#startedListeners) listener({ folder, pid: found?.pid ?? 0 });
    return true;
  }

  /** Its output goes to its files, from where they end, until it ends. */
  async #follow(folder: string, stop: StopRequest): Promise<void> {
    await this.#copy(folder, true, stop);
    await this.#options.engine.wait(this.#nameOf(folder), stop);
  }

  async #copy(folder: string, follow: boolean, stop: StopRequest): Promise<void> {
    const { engine, output } = this.#options;
    const path = this.#path(folder);
    const there = { stdout: 0, stderr: 0 };
    for (const stream of STREAMS) there[stream] = (await output(folder, stream).size()) ?? 0;
    await engine.logs(
      this.#nameOf(folder),
      follow,
      async (stream, bytes) => {
        const known = Math.min(there[stream], bytes.length);
        there[stream] -= known;
        if (known < bytes.length && !stop.stopped)
          await onDisk(path, () => appendFile(join(path, stream), bytes.subarray(known), { mode: 0o600 }));
      },
      stop,
    );
  }

  /** It does not run any more: the rest of its output, its exit status, then it is no longer needed. */
  async #finish(folder: string, stop: StopRequest): Promise<void> {
    const { engine } = this.#options;
    const found = await engine.inspect(this.#nameOf(folder));
    if (found === undefined || stop.stopped) return;
    await this.#copy(folder, false, stop);
    if (stop.stopped) return;
    const task = await this.#taskOf(folder);
    const limited = task?.limits.memoryBytes !== undefined;
    // Engines that do not hear of it (Podman 4.3 with control groups of version 1) leave one sign: killed, and not from here.
    const killedByKernel = limited && found.exitCode === 137 && (await this.#killedHere(folder)) === false;
    await this.#ended(folder, found.exitCode, found.outOfMemory || killedByKernel);
  }

  /** Undefined where nobody has watched. An engine that does not say whether it sent SIGKILL is not waited for: it may have. */
  async #killedHere(folder: string): Promise<boolean | undefined> {
    const kills = this.#watched.get(folder)?.kills;
    if (kills === undefined) return undefined;
    const silent = this.#pause(KILL_ANSWER_MS).then(() => true);
    return await Promise.race([Promise.all(kills).then((sent) => sent.includes(true)), silent]);
  }

  async #failed(folder: string, message: string, code = 125): Promise<void> {
    const path = this.#path(folder);
    await onDisk(path, () => appendFile(join(path, 'stderr'), `mesq: ${message}\n`, { mode: 0o600 }));
    await this.#claimAs(path, `${this.#boot}\n`);
    if ((await readText(join(path, CLAIM_FILE))) === WITHDRAWN) return;
    await this.#ended(folder, code, false);
  }

  /** The exit status is a file first, then told. */
  async #ended(folder: string, code: number, outOfMemory: boolean): Promise<void> {
    const path = this.#path(folder);
    await onDisk(path, async () => {
      if (outOfMemory) await writeFile(join(path, MEMORY_FILE), '');
      await replace(join(path, EXIT_FILE), `${code}\n`);
    });
    const exit = { folder, code, ...(outOfMemory ? { outOfMemory: 'limit' as const } : {}) };
    for (const listener of this.#exitListeners) listener(exit);
    await this.#discard(folder);
  }

  /** What is left over is removed with the task's folder. */
  async #discard(folder: string): Promise<void> {
    const { engine, log } = this.#options;
    await engine
      .remove(this.#nameOf(folder))
      .catch((error: unknown) => log.warn('container not removed', { folder, error: String(error) }));
  }

  async #exitOf(folder: string): Promise<Pick<TaskExit, 'code'> | undefined> {
    const path = this.#path(folder);
    const [, code] = /^(\d{1,3})\n$/.exec((await readText(join(path, EXIT_FILE))) ?? '') ?? [];
    if (code === undefined) return undefined;
    const memory = (await readText(join(path, MEMORY_FILE))) !== undefined;
    return { code: Number(code), ...(memory ? { outOfMemory: 'limit' as const } : {}) };
  }

  async #adoptedExit(folder: string): Promise<TaskState | undefined> {
    const exit = await this.#exitOf(folder);
    return exit === undefined ? undefined : { state: 'exited', ...exit };
  }

  async #claimAs(path: string, who: string): Promise<boolean> {
    try {
      await writeFile(join(path, CLAIM_FILE), who, { flag: 'wx', mode: 0o600 });
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
      throw asStorageError(error, path);
    }
  }

  #isContainer(folder: string): boolean {
    return existsSync(join(this.#path(folder), TASK_FILE));
  }

  /** Undefined where there is none, or a power cut left it unreadable. */
  async #taskOf(folder: string): Promise<ContainerTask | undefined> {
    const text = await readText(join(this.#path(folder), TASK_FILE));
    try {
      return text === undefined ? undefined : (JSON.parse(text) as ContainerTask);
    } catch {
      return undefined;
    }
  }

  #nameOf(folder: string): string {
    return nameOf(this.#rootLabel, folder);
  }

  #path(folder: string): string {
    return join(this.#options.root, folder);
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        this.#timers.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, ms);
      timer.unref();
      this.#timers.add(wake);
    });
  }
}

/** The engine has heard it, and will not: no signal was sent. */
function isAnswer(error: unknown): boolean {
  return error instanceof EngineError && (error.code === 'NOT_FOUND' || error.code === 'REFUSED');
}

/** The name of the container of the task in `folder`; undefined where that task is none. `root` as in the options. */
export async function containerOf(root: string, folder: string): Promise<string | undefined> {
  const text = await readText(join(root, folder, TASK_FILE));
  return text === undefined ? undefined : nameOf(labelOf(await realpath(root)), folder);
}

/** All of the engine's that tasks in `root` have, whatever became of them. `root` as in the options. */
export async function containersIn(engine: ContainerEngine, root: string): Promise<readonly ContainerSummary[]> {
  return await engine.list(ROOT_LABEL, labelOf(await realpath(root)));
}

function labelOf(root: string): string {
  return createHash('sha256').update(root).digest('hex').slice(0, 32);
}

function nameOf(label: string, folder: string): string {
  return `mesq-${createHash('sha256').update(`${label} ${folder}`).digest('hex').slice(0, 32)}`;
}

/** Starts it; where that can never succeed, why, and as which exit status a shell would say it. */
async function startProblem(
  engine: ContainerEngine,
  name: string,
): Promise<{ readonly message: string; readonly code: number } | undefined> {
  try {
    await engine.start(name);
    return undefined;
  } catch (error) {
    if (!(error instanceof EngineError) || error.code === 'UNAVAILABLE') throw error;
    const { message } = error;
    if (/permission denied/i.test(message)) return { message, code: 126 };
    return { message, code: /not found|no such file/i.test(message) ? 127 : 125 };
  }
}

async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw asStorageError(error, path);
  }
}

/** At one stroke: whoever reads it finds all of it, or what was there before. */
async function replace(path: string, text: string): Promise<void> {
  await writeFile(`${path}.new`, text, { mode: 0o600 });
  await rename(`${path}.new`, path);
}

async function onDisk(path: string, write: () => Promise<void>): Promise<void> {
  try {
    await write();
  } catch (error) {
    throw asStorageError(error, path);
  }
}

function asStorageError(error: unknown, path: string): StorageError {
  if (error instanceof StorageError) return error;
  return new StorageError((error as NodeJS.ErrnoException).code ?? 'EIO', path, { cause: error });
}
