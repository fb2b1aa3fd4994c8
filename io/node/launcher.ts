import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdir, readFile, realpath, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isMainThread } from 'node:worker_threads';
import {
  type Isolation,
  type Launcher,
  LauncherError,
  type LimitChange,
  type OutOfMemory,
  type StartLimits,
  type TaskExit,
  type TaskSignal,
  type TaskStart,
  type TaskStarted,
  type TaskState,
  type TaskUsage,
} from '../launcher.ts';
import type { Log } from '../log.ts';
import { type CgroupTrees, releaseCgroups } from './cgroup-trees.ts';
import { CGROUP_NAME_LENGTH, type Cgroups } from './cgroups.ts';
import { inherited } from './inherited-environment.ts';
import { isolationOf } from './isolation.ts';
import { LauncherProcess, RETRY_MAX_MS } from './launcher-process.ts';
import { inNamespaces, type Namespace } from './namespaces.ts';
import { findProcess, isMarked, listProcesses, workingFolder } from './processes.ts';
import { removeFolders } from './remove-folders.ts';
import { isWhole, limitsIn, runScript } from './run-script.ts';
import { takeIsolation } from './take-isolation.ts';
import { asStorageError, readExit, readText, WITHDRAWN, writeRun } from './task-files.ts';
import { makeFoldersAbove, makeTaskFolder } from './task-folder.ts';
import { taskFolders } from './task-folders.ts';
import { end, findSupervisor, type Identity, parseIdentity, signalTask } from './task-process.ts';
import type { SystemUser } from './users.ts';

export interface NodeLauncherOptions {
  /** Absolute; task folders are relative to it. */
  readonly root: string;
  /** The launcher's own folder, absolute: its pipes, script and log. Made where it is missing, for this user alone. */
  readonly folder: string;
  /** What tasks inherit; default those of PATH, HOME, LANG, TZ, USER and SHELL that this process has. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Gives every task a control group of its own, below `…/mesq/<this name>-<of the root>`. Default none. */
  readonly cgroups?: string;
  /** Whom tasks run as, their sandbox and outputs included; takes root. Default this process's own user. */
  readonly user?: SystemUser;
  /** What every task has for itself; takes root. Default nothing. */
  readonly namespaces?: readonly Namespace[];
  readonly log?: Log;
}

const FOLDER = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}(\/[A-Za-z0-9][A-Za-z0-9._-]{0,63}){0,7}$/;
/**
 * Attaches to the launcher process of `options.folder`, starting it where none runs, or where the one that runs is of
 * another version. Rejects with a LauncherError `UNAVAILABLE` where that fails (no bash 5, no flock, no mkfifo).
 * One agent at a time: the caller holds the lock of the data folder. Only in a process's main thread: at the end of a
 * worker thread, Node closes every descriptor number that `fs` ever opened there, whoever has it by then.
 */
export async function attachLauncher(options: NodeLauncherOptions): Promise<Launcher> {
  if (!isMainThread) throw new LauncherError('UNAVAILABLE', 'a launcher is attached to from the main thread only');
  const launcher = new NodeLauncher(options);
  try {
    await launcher.attach();
  } catch (error) {
    await launcher.close();
    throw error;
  }
  return launcher;
}

class NodeLauncher implements Launcher {
  isolation: Isolation = isolationOf({
    ...{ cgroups: undefined, reason: undefined, user: undefined, reachable: true, namespaces: [] },
  });
  /** Without symbolic links, as /proc tells paths. */
  #root: string;
  readonly #folder: string;
  readonly #environment: Readonly<Record<string, string>>;
  readonly #log: Log | undefined;
  readonly #user: SystemUser | undefined;
  readonly #namespaces: readonly Namespace[];
  readonly #cgroupName: string | undefined;
  #trees: CgroupTrees | undefined;
  #cgroups: Cgroups | undefined;
  readonly #startedListeners: ((started: TaskStarted) => void)[] = [];
  readonly #exitListeners: ((exit: TaskExit) => void)[] = [];
  readonly #restartedListeners: (() => void)[] = [];
  /** Handed over, and neither started nor ended as far as we know: what a new launcher process is told again. */
  readonly #sent = new Set<string>();
  readonly #identities = new Map<string, Identity>();
  #boot = '';
  #process: LauncherProcess | undefined;
  #closed = false;

  constructor(options: NodeLauncherOptions) {
    this.#root = options.root;
    this.#folder = options.folder;
    this.#environment = options.environment ?? inherited(process.env);
    this.#log = options.log;
    this.#user = options.user;
    this.#namespaces = options.namespaces ?? [];
    this.#cgroupName = options.cgroups;
  }

  async attach(): Promise<void> {
    this.#boot = (await readFile('/proc/sys/kernel/random/boot_id', 'latin1')).trim();
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    this.#root = await realpath(this.#root);
    const wishes = { root: this.#root, folder: this.#folder, cgroups: this.#cgroupName };
    const taken = await takeIsolation({ ...wishes, user: this.#user, namespaces: this.#namespaces });
    this.isolation = taken.isolation;
    this.#trees = taken.trees;
    this.#cgroups = taken.cgroups;
    this.#process = new LauncherProcess({
      root: this.#root,
      folder: this.#folder,
      environment: this.#environment,
      groups: taken.cgroups?.bases ?? [],
      nice: !taken.isolation.cpu,
      log: this.#log,
      noticed: (line) => this.#notice(line),
      unstarted: () => this.#sent,
      replaced: () => {
        for (const listener of this.#restartedListeners) listener();
      },
    });
    await this.#process.attach();
  }

  async launch(task: TaskStart): Promise<void> {
    const folder = this.#path(task.folder);
    this.#open();
    const user = this.#user;
    const own =
      user === undefined ? {} : { HOME: join(folder, 'work'), USER: user.name, LOGNAME: user.name, SHELL: '/bin/sh' };
    const script = runScript(
      { ...task, environment: { ...own, ...task.environment } },
      {
        user,
        namespaces: inNamespaces(this.#namespaces, task.devices ?? []),
        allocatedBytes: this.isolation.memory === 'process' ? task.limits?.memoryBytes : undefined,
        userProcesses: this.isolation.processes === 'user' ? task.limits?.processes : undefined,
      },
    );
    try {
      this.#cgroups?.make(task.folder, task.limits ?? {});
      await makeTaskFolder(folder, user);
      await writeRun(join(folder, 'run'), 'wx', script).catch(async (error: NodeJS.ErrnoException) => {
        if (error.code !== 'EEXIST') throw error;
        // Left by an agent that was killed meanwhile, perhaps half of it. Replaced at one stroke, for it may be running.
        await writeRun(join(folder, 'run.new'), 'w', script);
        await rename(join(folder, 'run.new'), join(folder, 'run'));
      });
    } catch (error) {
      throw asStorageError(error, folder);
    }
    await this.#send(task.folder);
  }

  async resend(folder: string): Promise<void> {
    const path = this.#path(folder);
    this.#open();
    // The machine may have been rebooted since: folders outlive that, control groups do not.
    if (this.#cgroups?.has(folder) === false)
      this.#cgroups.make(folder, limitsIn((await readText(join(path, 'run'))) ?? ''));
    await this.#send(folder);
  }

  async #send(folder: string): Promise<void> {
    this.#sent.add(folder);
    await this.#process?.write(`>${folder}`);
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

  async signal(folder: string, signal: TaskSignal): Promise<boolean> {
    const cgroups = this.#cgroups;
    if (cgroups !== undefined) {
      if (signal === 'SIGKILL' && (await cgroups.kill(folder))) return true;
      if ((signal === 'SIGSTOP' || signal === 'SIGCONT') && cgroups.freeze(folder, signal === 'SIGSTOP')) return true;
    }
    // Polite signals are for those whom the task has not sent away; and a task of an older agent has no control group.
    const identity = await this.#identity(folder);
    if (identity === undefined || identity.boot !== this.#boot) return false;
    return signalTask(identity, this.#path(folder), signal);
  }

  async limit(folder: string, limits: StartLimits): Promise<LimitChange> {
    this.#path(folder);
    return (await this.#cgroups?.limit(folder, limits)) ?? 'absent';
  }

  async sweep(folder: string, mark?: string): Promise<void> {
    const cgroups = this.#cgroups;
    const groups = cgroups?.removeEmpty(folder) ?? 'absent';
    if (groups === 'removed') return;
    if (cgroups !== undefined && groups === 'busy') {
      await cgroups.kill(folder);
      cgroups.remove(folder);
      return;
    }
    await this.signal(folder, 'SIGKILL');
    if (mark === undefined) return;
    for (const { pid, start } of listProcesses())
      if (isMarked(pid, mark) && findProcess(pid)?.start === start) end(pid);
  }

  usage(folder: string): Promise<TaskUsage | undefined> {
    this.#path(folder);
    return Promise.resolve(this.#cgroups?.usage(folder));
  }

  async adopt(folder: string): Promise<TaskState> {
    const path = this.#path(folder);
    const exit = await readExit(path);
    if (exit !== undefined) return { state: 'exited', ...this.#ending(folder, exit) };
    const claimed = await readText(join(path, 'claimed'));
    if (claimed === undefined) return { state: isWhole(await readText(join(path, 'run'))) ? 'unclaimed' : 'missing' };
    if (claimed === WITHDRAWN) return { state: 'withdrawn' };
    const identity = this.#identities.get(folder) ?? parseIdentity(claimed);
    const leader = identity?.boot === this.#boot ? findProcess(identity.pid) : undefined;
    const alive = leader !== undefined && leader.start === identity?.start && !leader.zombie;
    // The usual case, cheaply: the task's parent is the supervisor, and works in the task's folder.
    if (alive && workingFolder(leader.parent) === path) return { state: 'running', pid: leader.pid, supervised: true };
    const supervised = (identity === undefined || identity.boot === this.#boot) && findSupervisor(path) !== undefined;
    if (alive) return { state: 'running', pid: leader.pid, supervised };
    if (supervised) return { state: 'running', pid: identity?.pid, supervised };
    // Looked at last, for the supervisor may have ended between our first look and the search for it.
    const late = await readExit(path);
    return late === undefined ? { state: 'vanished' } : { state: 'exited', ...this.#ending(folder, late) };
  }

  /** What is known of an end beyond its code. The kernel's word goes with the control group: it is noted before that. */
  #ending(folder: string, code: number): Omit<TaskExit, 'folder'> {
    const cgroups = this.#cgroups;
    if (cgroups === undefined) return { code };
    const usage = cgroups.spent(folder);
    const outOfMemory = code === 0 ? undefined : this.#outOfMemory(cgroups, folder);
    return { code, ...(usage === undefined ? {} : { usage }), ...(outOfMemory === undefined ? {} : { outOfMemory }) };
  }

  #outOfMemory(cgroups: Cgroups, folder: string): OutOfMemory | undefined {
    const note = join(this.#path(folder), 'oom');
    const found = cgroups.outOfMemory(folder);
    try {
      if (found === undefined) {
        const noted = existsSync(note) ? readFileSync(note, 'latin1') : '';
        return noted === 'limit' || noted === 'machine' ? noted : undefined;
      }
      writeFileSync(note, found, { mode: 0o600 });
    } catch (error) {
      this.#log?.warn('out of memory not noted', { folder, reason: String(error) });
    }
    return found;
  }

  async claim(folder: string): Promise<boolean> {
    const path = this.#path(folder);
    try {
      await makeFoldersAbove(path);
      await mkdir(path, { recursive: true, mode: 0o700 });
      await writeFile(join(path, 'claimed'), WITHDRAWN, { flag: 'wx', mode: 0o600 });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
      throw asStorageError(error, path);
    }
    this.#sent.delete(folder);
    this.#cgroups?.remove(folder);
    return true;
  }

  folders(): Promise<string[]> {
    return taskFolders(this.#root);
  }

  async remove(...folders: readonly string[]): Promise<void> {
    const paths = folders.map((folder) => this.#path(folder));
    for (const folder of folders) {
      this.#sent.delete(folder);
      this.#identities.delete(folder);
    }
    this.#cgroups?.removeBelow(folders);
    try {
      await removeFolders(paths);
    } catch (error) {
      throw asStorageError(error, paths.join(' ').slice(0, 200));
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#process?.close();
    this.#cgroups?.close();
  }

  async stop(): Promise<void> {
    this.#open();
    this.#closed = true;
    await this.#process?.stop();
    await this.close();
    if (this.#trees !== undefined) releaseCgroups(this.#trees);
  }

  #notice(line: string): void {
    const [kind, first = '', second = '', third = ''] = line.split(' ');
    switch (kind) {
      case 's':
        this.#sent.delete(third);
        this.#identities.set(third, { pid: Number(first), start: second, boot: this.#boot });
        for (const listener of this.#startedListeners) listener({ folder: third, pid: Number(first) });
        break;
      case 'x':
        this.#sent.delete(second);
        {
          const exit = { folder: second, ...this.#ending(second, Number(first)) };
          for (const listener of this.#exitListeners) listener(exit);
        }
        break;
      case 'u':
        if (!this.#sent.has(first)) break;
        this.#log?.error('task not claimed', { folder: first, hint: 'is the disk full?' });
        this.#process?.later(RETRY_MAX_MS, () => {
          if (this.#sent.has(first)) void this.#process?.write(`>${first}`);
        });
        break;
      default:
        this.#log?.warn('notice not understood', { line: line.slice(0, 80) });
    }
  }

  async #identity(folder: string): Promise<Identity | undefined> {
    return this.#identities.get(folder) ?? parseIdentity((await readText(join(this.#path(folder), 'claimed'))) ?? '');
  }

  #path(folder: string): string {
    // The caller's bug: folders are made of ids.
    if (!FOLDER.test(folder) || folder.length > CGROUP_NAME_LENGTH)
      throw new Error(`broken invariant: ${JSON.stringify(folder)} is not a task folder`);
    return join(this.#root, folder);
  }

  #open(): void {
    if (this.#closed) throw new LauncherError('CLOSED', 'this launcher is closed');
  }
}
