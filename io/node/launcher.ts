import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  closeSync,
  existsSync,
  openSync,
  open as openWithCallback,
  readFileSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { chmod, mkdir, readdir, readFile, realpath, rename, writeFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { setPriority } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { isMainThread } from 'node:worker_threads';
import {
  type Isolation,
  type Launcher,
  LauncherError,
  type OutOfMemory,
  type TaskExit,
  type TaskSignal,
  type TaskStart,
  type TaskStarted,
  type TaskState,
  type TaskUsage,
} from '../launcher.ts';
import type { Log } from '../log.ts';
import { StorageError } from '../storage.ts';
import { areThere, type CgroupTrees, releaseCgroups, takeCgroups } from './cgroup-trees.ts';
import { CGROUP_NAME_LENGTH, Cgroups } from './cgroups.ts';
import { makeFifos, openFifo, watchWriters } from './fifo.ts';
import { inherited } from './inherited-environment.ts';
import { isolationOf } from './isolation.ts';
import { LAUNCHER_SCRIPT, launcherVersion } from './launcher-script.ts';
import { checkNamespaces, inNamespaces, type Namespace } from './namespaces.ts';
import { belongsTo, findProcess, isMarked, listProcesses, type Process, workingFolder } from './processes.ts';
import { removeFolders } from './remove-folders.ts';
import { isWhole, limitsIn, runScript } from './run-script.ts';
import { makeTaskFolder, PASSABLE } from './task-folder.ts';
import { taskFolders } from './task-folders.ts';
import { checkUserChange, type SystemUser } from './users.ts';

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

/** Which process a task is: its number, its start in ticks since boot, and the boot itself. */
interface Identity {
  readonly pid: number;
  readonly start: string;
  readonly boot: string;
}

/** On the path of every start: what may wait for the disk's journal goes to the thread pool, and nothing else does. */
const openFile = promisify(openWithCallback);

/** In `claimed`, where an agent was first. */
const WITHDRAWN = 'agent\n';
const FOLDER = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}(\/[A-Za-z0-9][A-Za-z0-9._-]{0,63}){0,7}$/;
/** Between two tries to replace a launcher process that does not stay, or to claim a folder on a full disk. */
const RETRY_MS = 100;
const RETRY_MAX_MS = 10_000;
/** Where no control group shares the CPU out, tasks stand behind the agent and the system. */
const NICE = 5;

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
  #starts: Socket | undefined;
  #notices: Socket | undefined;
  #alive: Socket | undefined;
  /** The end of a chunk of notices that is not a whole line yet. */
  #rest = '';
  /** Called once with the next `+` notice. */
  #onUp: (() => void) | undefined;
  #closed = false;
  #retryMs = 0;
  readonly #timers = new Set<NodeJS.Timeout>();
  /** Lines of this turn of the event loop, written together. */
  #lines: string[] = [];
  #written: Promise<void> | undefined;

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
    await this.#isolate();
    await makeFifos(['starts', 'notices', 'alive'].map((name) => join(this.#folder, name)));
    this.#starts = await openFifo(join(this.#folder, 'starts'), 'write');
    this.#starts.on('error', (error) =>
      this.#log?.error('launcher pipe failed', { pipe: 'starts', reason: error.message }),
    );
    // An agent that was killed in the middle of a line may have left its beginning: it ends here, and is skipped.
    await this.#write('');
    this.#notices = await openFifo(join(this.#folder, 'notices'), 'read');
    this.#notices.on('error', (error) =>
      this.#log?.error('launcher pipe failed', { pipe: 'notices', reason: error.message }),
    );
    this.#notices.setEncoding('latin1');
    this.#notices.on('data', (chunk: string) => this.#read(chunk));
    if ((await this.#watch()) && !(await this.#isCurrent())) {
      const ended = this.#ended();
      await this.#write('quit');
      await ended;
    }
    if (this.#alive === undefined) await this.#start();
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
      const groups = this.#cgroups?.make(task.folder, task.limits ?? {});
      // Looked at below; a failure must not be unheard until then.
      groups?.catch(() => undefined);
      await makeTaskFolder(folder, user);
      await groups;
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
      await this.#cgroups.make(folder, limitsIn((await readText(join(path, 'run'))) ?? ''));
    await this.#send(folder);
  }

  async #send(folder: string): Promise<void> {
    this.#sent.add(folder);
    await this.#write(`>${folder}`);
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
    // The usual case at the end of a task, with one system call: nobody is left, its leader included.
    if (!isGroup(identity.pid)) return false;
    const leader = findProcess(identity.pid);
    if (leader !== undefined) return leader.start === identity.start && sendToGroup(identity.pid, signal);
    // No process has the number, so whoever is in the group joined before the leader ended, or descends from one who
    // did; but the number may have been used by another leader in between, who is gone too.
    const path = this.#path(folder);
    const ours = listProcesses().some((each) => each.group === identity.pid && belongsTo(each.pid, path));
    return ours && sendToGroup(identity.pid, signal);
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
    const usage = cgroups.usage(folder);
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
    for (const timer of this.#timers) clearTimeout(timer);
    await this.#written;
    this.#cgroups?.close();
    this.#starts?.destroy();
    this.#notices?.destroy();
    this.#alive?.destroy();
  }

  async stop(): Promise<void> {
    this.#open();
    this.#closed = true;
    if (this.#alive !== undefined) {
      const ended = this.#ended();
      await this.#write('quit');
      await ended;
    }
    await this.close();
    if (this.#trees !== undefined) releaseCgroups(this.#trees);
  }

  /** Takes control groups, and the user, or notes why not. */
  async #isolate(): Promise<void> {
    const user = this.#user;
    if (this.#namespaces.length > 0) await checkNamespaces(this.#namespaces, await this.#trialFolder());
    const { reachable } = user === undefined ? { reachable: true } : await this.#openUp(user);
    const found = await this.#takeCgroups();
    if (found !== undefined && 'trees' in found) {
      this.#trees = found;
      this.#cgroups = new Cgroups(found);
      // Of folders that are gone: whoever removed them cannot have known.
      for (const folder of this.#cgroups.list())
        if (!existsSync(join(this.#root, folder)) && this.#cgroups.isEmpty(folder)) this.#cgroups.remove(folder);
    }
    const reason = found !== undefined && 'reason' in found ? found.reason : undefined;
    this.isolation = isolationOf({ cgroups: this.#cgroups, reason, user, reachable, namespaces: this.#namespaces });
  }

  /** Where a sandbox might be, for a trial. */
  async #trialFolder(): Promise<string> {
    const folder = join(this.#folder, 'trial/sandbox');
    await mkdir(folder, { recursive: true, mode: 0o700 });
    return folder;
  }

  /** The user's way to the sandboxes, and whether it can go it. */
  async #openUp(user: SystemUser): Promise<{ reachable: boolean }> {
    await chmod(this.#root, PASSABLE);
    // Made by an agent whose tasks had no user of their own.
    for (const entry of await readdir(this.#root, { withFileTypes: true }))
      if (entry.isDirectory()) await chmod(join(this.#root, entry.name), PASSABLE);
    return checkUserChange(user, this.#root);
  }

  /** Those of the agent before this one, where they are still there: tasks may be in them. */
  async #takeCgroups(): Promise<ReturnType<typeof takeCgroups> | undefined> {
    if (this.#cgroupName === undefined) return undefined;
    const note = join(this.#folder, 'cgroups');
    const noted = parseTrees((await readText(note)) ?? '');
    if (noted !== undefined && areThere(noted)) return noted;
    const suffix = createHash('sha256').update(this.#root).digest('hex').slice(0, 8);
    const found = takeCgroups(`${this.#cgroupName}-${suffix}`);
    if ('trees' in found) await writeFile(note, JSON.stringify(found), { mode: 0o600 });
    return found;
  }

  /** Looks whether a launcher process runs, and watches it if so. */
  async #watch(): Promise<boolean> {
    const alive = await watchWriters(join(this.#folder, 'alive'));
    if (alive === undefined) return false;
    this.#alive = alive;
    alive.on('error', (error) => this.#log?.error('launcher pipe failed', { pipe: 'alive', reason: error.message }));
    alive.once('end', () => {
      if (this.#alive !== alive) return;
      this.#alive = undefined;
      alive.destroy();
      if (!this.#closed) this.#restart('the launcher process ended');
    });
    alive.resume();
    return true;
  }

  /** Resolves when the launcher process that is watched has ended; it is not replaced. */
  #ended(): Promise<void> {
    const alive = this.#alive;
    this.#alive = undefined;
    if (alive === undefined || alive.destroyed || alive.readableEnded) return Promise.resolve();
    return new Promise((resolve) => {
      alive.once('end', () => {
        alive.destroy();
        resolve();
      });
      alive.once('close', () => resolve());
    });
  }

  async #isCurrent(): Promise<boolean> {
    const [, version] = ((await readText(join(this.#folder, 'launcher.pid'))) ?? '').trim().split(' ');
    return version === launcherVersion(this.#cgroups?.bases ?? []);
  }

  async #start(): Promise<void> {
    const script = join(this.#folder, 'launcher.sh');
    const groups = this.#cgroups?.bases ?? [];
    // A new file, never the old one changed: a launcher reads its script while it runs.
    await writeFile(`${script}.new`, LAUNCHER_SCRIPT, { mode: 0o600 });
    await rename(`${script}.new`, script);
    const log = openSync(join(this.#folder, 'launcher.log'), 'w', 0o600);
    try {
      await new Promise<void>((resolve, reject) => {
        this.#onUp = resolve;
        const child = spawn(
          'bash',
          [...['--noprofile', '--norc', '--', script, this.#root, this.#folder, launcherVersion(groups), ...groups]],
          {
            cwd: this.#folder,
            detached: true,
            env: { ...this.#environment },
            stdio: ['ignore', log, log],
          },
        );
        child.once('error', (error) =>
          reject(new LauncherError('UNAVAILABLE', `bash cannot be started: ${error.message}`, error)),
        );
        child.once('exit', (code, signal) =>
          reject(
            new LauncherError(
              'UNAVAILABLE',
              `the launcher process ended at once (${signal ?? code}): see ${join(this.#folder, 'launcher.log')}`,
            ),
          ),
        );
        child.unref();
        if (!this.isolation.cpu && child.pid !== undefined) makeNice(child.pid);
      });
    } finally {
      this.#onUp = undefined;
      closeSync(log);
    }
    if (!(await this.#watch())) throw new LauncherError('UNAVAILABLE', 'the launcher process ended at once');
    this.#log?.info('launcher started');
  }

  #restart(reason: string): void {
    this.#log?.warn('launcher lost', { reason, unstarted: this.#sent.size });
    this.#later(this.#retryMs, async () => {
      this.#retryMs = Math.min(RETRY_MAX_MS, Math.max(RETRY_MS, this.#retryMs * 2));
      try {
        await this.#start();
        // Claims decide: what was started already is not started again.
        for (const folder of this.#sent) void this.#write(`>${folder}`);
        await this.#written;
      } catch (error) {
        if (!this.#closed) this.#restart(error instanceof Error ? error.message : String(error));
        return;
      }
      this.#later(RETRY_MAX_MS, () => {
        this.#retryMs = 0;
      });
      for (const listener of this.#restartedListeners) listener();
    });
  }

  #later(ms: number, callback: () => void | Promise<void>): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      if (!this.#closed) void callback();
    }, ms);
    timer.unref();
    this.#timers.add(timer);
  }

  /** Writes a line, together with the others of this turn; resolves when the pipe has it. */
  #write(line: string): Promise<void> {
    this.#lines.push(`${line}\n`);
    if (this.#lines.length > 1 && this.#written !== undefined) return this.#written;
    this.#written = new Promise((resolve, reject) => {
      setImmediate(() => {
        const text = this.#lines.join('');
        this.#lines = [];
        this.#starts?.write(text, 'latin1', (error) =>
          error ? reject(new LauncherError('CLOSED', error.message, error)) : resolve(),
        );
      });
    });
    return this.#written;
  }

  #read(chunk: string): void {
    const lines = (this.#rest + chunk).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) this.#notice(line);
  }

  #notice(line: string): void {
    const [kind, first = '', second = '', third = ''] = line.split(' ');
    switch (kind) {
      case '+':
        this.#onUp?.();
        break;
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
        this.#later(RETRY_MAX_MS, () => {
          if (this.#sent.has(first)) void this.#write(`>${first}`);
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

async function writeRun(path: string, flags: 'w' | 'wx', script: string): Promise<void> {
  const descriptor = await openFile(path, flags, 0o700);
  try {
    // A few kB into the page cache, and all of it: less was written only where the disk is full.
    if (writeSync(descriptor, script) < Buffer.byteLength(script))
      throw Object.assign(new Error('the disk is full'), { code: 'ENOSPC' });
  } finally {
    closeSync(descriptor);
  }
}

/** What the launcher process writes into `claimed`; undefined while it is empty. */
function parseIdentity(text: string): Identity | undefined {
  const [, pid, start, boot] = /^(\d+) (\d+) (\S+)\n$/.exec(text) ?? [];
  if (pid === undefined || start === undefined || boot === undefined) return undefined;
  return { pid: Number(pid), start, boot };
}

/** What `takeCgroups` found, as an agent before this one noted it; undefined where that cannot be read. */
function parseTrees(text: string): CgroupTrees | undefined {
  try {
    const { version, trees } = JSON.parse(text) as CgroupTrees;
    const whole = trees.every(({ base, controllers }) => base.startsWith('/') && Array.isArray(controllers));
    return whole && (version === 'v1' || version === 'v2') ? { version, trees } : undefined;
  } catch {
    return undefined;
  }
}

function makeNice(pid: number): void {
  try {
    setPriority(pid, NICE);
  } catch {
    // It ended at once, which is heard of.
  }
}

/** Whether any process is in that group, ours to signal or not. */
function isGroup(group: number): boolean {
  try {
    process.kill(-group, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}

/** The group exists from before the task's program runs until its last member has been waited for. */
function sendToGroup(group: number, signal: TaskSignal): boolean {
  try {
    return process.kill(-group, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}

function end(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended by itself, or is another user's by now.
  }
}

/** The process that waits for the task of `path`: the one of ours that works in the task's folder itself. */
function findSupervisor(path: string): Process | undefined {
  return listProcesses().find((each) => !each.zombie && workingFolder(each.pid) === path);
}

/** The exit status, once all of it is written: the line's end says so. */
async function readExit(path: string): Promise<number | undefined> {
  const match = /^(\d{1,3})\n$/.exec((await readText(join(path, 'exit'))) ?? '');
  return match === null ? undefined : Number(match[1]);
}

async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'latin1');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw asStorageError(error, dirname(path));
  }
}

function asStorageError(error: unknown, path: string): StorageError {
  if (error instanceof StorageError) return error;
  return new StorageError((error as NodeJS.ErrnoException).code ?? 'EIO', path, { cause: error });
}
