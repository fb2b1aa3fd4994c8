import { mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { LimitChange, OutOfMemory, StartLimits, TaskSpent, TaskUsage } from '../launcher.ts';
import { changeMemory, settingsOf } from './cgroup-limits.ts';
import type { CgroupTree, CgroupTrees } from './cgroup-trees.ts';

/** Names of tasks' groups begin with it: no folder's name is then taken for a file of the kernel's. */
const MARK = 't+';
/** NAME_MAX: a group's name holds the whole of a task folder's. */
export const CGROUP_NAME_LENGTH = 255 - MARK.length;
/** How long a killed process may take to be gone, before its group is left to the next start of the agent. */
const REMOVE_MS = 60_000;
/** How often all that is left is killed again, and how long it is waited for in between. */
const KILL_ROUNDS = 50;
const KILL_PAUSE_MS = 2;

/**
 * The control groups of tasks: one a task in each tree, named after its folder. What a task's process begins it begins in
 * there, and cannot leave without being root.
 */
export class Cgroups {
  readonly #trees: CgroupTrees;
  readonly #version: 'v1' | 'v2';
  readonly #cpu: CgroupTree | undefined;
  readonly #cpuacct: CgroupTree | undefined;
  readonly #memory: CgroupTree | undefined;
  readonly #pids: CgroupTree | undefined;
  /** Where processes are listed, frozen and killed; removed last. */
  readonly #main: CgroupTree;
  readonly #canFreeze: boolean;
  readonly #removals = new Map<string, NodeJS.Timeout>();

  constructor(trees: CgroupTrees) {
    this.#trees = trees;
    this.#version = trees.version;
    const [first] = trees.trees;
    if (first === undefined) throw new Error('broken invariant: control groups need a tree');
    const treeOf = (controller: string): CgroupTree | undefined =>
      trees.trees.find(({ controllers }) => controllers.includes(controller));
    this.#cpu = treeOf('cpu');
    this.#cpuacct = this.#version === 'v2' ? first : treeOf('cpuacct');
    this.#memory = treeOf('memory');
    this.#pids = treeOf('pids');
    const freezer = this.#version === 'v2' ? first : treeOf('freezer');
    this.#main = freezer ?? first;
    this.#canFreeze = freezer !== undefined;
  }

  get version(): 'v1' | 'v2' {
    return this.#version;
  }

  /** Absolute: in each of them a task's process enters its group. */
  get bases(): readonly string[] {
    return this.#trees.trees.map(({ base }) => base);
  }

  limits(controller: 'cpu' | 'memory' | 'pids'): boolean {
    return this.#treeOf(controller) !== undefined;
  }

  /**
   * Makes a task's groups, under these limits; those that are there are set to them. In one go, as they are removed: no disk
   * is behind them, and a trip to the thread pool costs twice what a group does.
   */
  make(folder: string, limits: StartLimits): void {
    for (const { base } of this.#trees.trees) makeGroup(join(base, nameOf(folder)));
    for (const { controller, file, value, isDefault } of settingsOf(this.#version, limits))
      if (!isDefault) this.#set(this.#treeOf(controller), folder, file, value);
    if (limits.memoryBytes !== undefined) this.#limitMemory(folder, limits.memoryBytes);
  }

  /**
   * Sets a task's groups to other limits; absent ones are lifted. `inUse`: memory could not be cut to so little, and its
   * limit is what it was. Rejects with the kernel's word where that refuses one.
   */
  async limit(folder: string, limits: StartLimits): Promise<LimitChange> {
    if (!this.has(folder)) return 'absent';
    try {
      for (const { controller, file, value, isDefault } of settingsOf(this.#version, limits)) {
        const tree = this.#treeOf(controller);
        const before = this.#read(tree, folder, file)?.trim();
        // A kernel without such a limit has nothing to lift.
        if (before !== value && !(isDefault && before === undefined)) this.#set(tree, folder, file, value);
      }
      const memory = this.#memory;
      if (memory === undefined) return 'held';
      const changed = await changeMemory(this.#version, join(memory.base, nameOf(folder)), limits.memoryBytes);
      return changed ? 'held' : 'inUse';
    } catch (error) {
      // It was removed meanwhile.
      if (!this.has(folder)) return 'absent';
      throw error;
    }
  }

  /** Whether the task has groups (still). */
  has(folder: string): boolean {
    return this.#read(this.#main, folder, 'cgroup.procs') !== undefined;
  }

  usage(folder: string): TaskUsage | undefined {
    const usage = {
      cpuMs: this.#cpuMs(folder),
      memoryBytes: this.#count(this.#memory, folder, 'memory.usage_in_bytes', 'memory.current'),
      memoryPeakBytes: this.#memoryPeakBytes(folder),
      processes: this.#count(this.#pids, folder, 'pids.current', 'pids.current'),
    };
    return Object.values(usage).every((each) => each === undefined) ? undefined : usage;
  }

  /** The part of {@link usage} that is left of a task which has ended. */
  spent(folder: string): TaskSpent | undefined {
    const spent = { cpuMs: this.#cpuMs(folder), memoryPeakBytes: this.#memoryPeakBytes(folder) };
    return spent.cpuMs === undefined && spent.memoryPeakBytes === undefined ? undefined : spent;
  }

  /** Whether the kernel ended a process of the task for want of memory, and whose. */
  outOfMemory(folder: string): OutOfMemory | undefined {
    const v2 = this.#version === 'v2';
    const kills = this.#field(this.#memory, folder, v2 ? 'memory.events' : 'memory.oom_control', 'oom_kill') ?? 0;
    if (kills === 0) return undefined;
    if (v2) return (this.#field(this.#memory, folder, 'memory.events', 'oom') ?? 0) > 0 ? 'limit' : 'machine';
    // `memory.failcnt` stays 0 on some kernels where memory and swap have the same limit.
    const [most, limit] = ['memory.max_usage_in_bytes', 'memory.limit_in_bytes'].map((file) =>
      number(this.#read(this.#memory, folder, file)),
    );
    return (most ?? 0) >= (limit ?? Number.POSITIVE_INFINITY) ? 'limit' : 'machine';
  }

  /** False where the group is empty, or cannot freeze. */
  freeze(folder: string, frozen: boolean): boolean {
    if (!this.#canFreeze || this.isEmpty(folder)) return false;
    this.#setFrozen(folder, frozen);
    return true;
  }

  /** Kills all that is in the group, with everything that it may fork meanwhile. False where nothing was. */
  async kill(folder: string): Promise<boolean> {
    if (this.isEmpty(folder)) return false;
    if (this.#version === 'v2' && this.#write(this.#main, folder, 'cgroup.kill', '1')) return true;
    // Version 1, and kernels before 5.14. What is frozen cannot fork, and its number cannot become another's.
    for (let round = 0; round < KILL_ROUNDS; round++) {
      this.#setFrozen(folder, true);
      for (let look = 0; look < KILL_ROUNDS && !this.#isFrozen(folder); look++) await pause();
      for (const pid of this.#processes(folder)) kill(pid);
      // In version 1 a signal waits until the thaw.
      this.#setFrozen(folder, false);
      await pause();
      if (this.isEmpty(folder)) return true;
    }
    return true;
  }

  /** Removes the task's groups where no process is in them: the usual case at an end, without a look before. */
  removeEmpty(folder: string): 'removed' | 'absent' | 'busy' {
    const name = nameOf(folder);
    const results = this.#inOrder().map(({ base }) => removeGroup(join(base, name)));
    if (results.includes('busy')) return 'busy';
    return results.includes('removed') ? 'removed' : 'absent';
  }

  /** Removes the task's groups, now or when what is being killed in them is gone. */
  remove(folder: string): void {
    clearTimeout(this.#removals.get(folder));
    this.#removals.delete(folder);
    this.#tryToRemove(folder, 1);
  }

  /** Those of the folders, and of all below them. */
  removeBelow(folders: readonly string[]): void {
    const wanted = new Set(folders);
    for (const folder of this.list()) {
      const parts = folder.split('/');
      if (parts.some((_, at) => wanted.has(parts.slice(0, at + 1).join('/')))) this.remove(folder);
    }
  }

  isEmpty(folder: string): boolean {
    return this.#processes(folder).length === 0;
  }

  /** The folders of all tasks that have groups. */
  list(): string[] {
    return readdirSync(this.#main.base)
      .filter((name) => name.startsWith(MARK))
      .map((name) => name.slice(MARK.length).replaceAll('+', '/'));
  }

  /** Waits for no removal any more. */
  close(): void {
    for (const timer of this.#removals.values()) clearTimeout(timer);
    this.#removals.clear();
  }

  #limitMemory(folder: string, bytes: number): void {
    if (this.#version === 'v2') {
      this.#set(this.#memory, folder, 'memory.max', bytes);
      // Swapping to an SD card instead would be slower than the end, and wear it. Absent without swap.
      this.#write(this.#memory, folder, 'memory.swap.max', '0');
      // A task that has lost one of its processes is of no use to anybody.
      this.#write(this.#memory, folder, 'memory.oom.group', '1');
      return;
    }
    this.#set(this.#memory, folder, 'memory.limit_in_bytes', bytes);
    this.#write(this.#memory, folder, 'memory.memsw.limit_in_bytes', String(bytes));
  }

  #treeOf(controller: 'cpu' | 'memory' | 'pids'): CgroupTree | undefined {
    return { cpu: this.#cpu, memory: this.#memory, pids: this.#pids }[controller];
  }

  #setFrozen(folder: string, frozen: boolean): void {
    if (this.#version === 'v2') this.#write(this.#main, folder, 'cgroup.freeze', frozen ? '1' : '0');
    else this.#write(this.#main, folder, 'freezer.state', frozen ? 'FROZEN' : 'THAWED');
  }

  #isFrozen(folder: string): boolean {
    if (!this.#canFreeze) return true;
    if (this.#version === 'v2') return this.#field(this.#main, folder, 'cgroup.events', 'frozen') !== 0;
    // Asking again is what moves it on from FREEZING.
    return this.#read(this.#main, folder, 'freezer.state')?.trim() !== 'FREEZING';
  }

  #cpuMs(folder: string): number | undefined {
    if (this.#version === 'v1') return scaled(number(this.#read(this.#cpuacct, folder, 'cpuacct.usage')), 1_000_000);
    return scaled(this.#field(this.#cpuacct, folder, 'cpu.stat', 'usage_usec'), 1_000);
  }

  #memoryPeakBytes(folder: string): number | undefined {
    return this.#count(this.#memory, folder, 'memory.max_usage_in_bytes', 'memory.peak');
  }

  #count(tree: CgroupTree | undefined, folder: string, ofV1: string, ofV2: string): number | undefined {
    return number(this.#read(tree, folder, this.#version === 'v2' ? ofV2 : ofV1));
  }

  #processes(folder: string): number[] {
    const listed = this.#read(this.#main, folder, 'cgroup.procs')?.split('\n') ?? [];
    return listed.filter((line) => line !== '').map(Number);
  }

  #tryToRemove(folder: string, waitMs: number): void {
    if (this.removeEmpty(folder) !== 'busy' || waitMs > REMOVE_MS) return;
    const timer = setTimeout(() => {
      this.#removals.delete(folder);
      this.#tryToRemove(folder, waitMs * 2);
    }, waitMs);
    timer.unref();
    this.#removals.set(folder, timer);
  }

  /** Where processes are listed comes last: as long as that is there, so is the task. */
  #inOrder(): CgroupTree[] {
    return [...this.#trees.trees.filter((tree) => tree !== this.#main), this.#main];
  }

  #set(tree: CgroupTree | undefined, folder: string, file: string, value: number | string): void {
    if (tree !== undefined) writeFileSync(join(tree.base, nameOf(folder), file), String(value));
  }

  /** False where there is no such file, or the kernel does not want it now. */
  #write(tree: CgroupTree | undefined, folder: string, file: string, value: string): boolean {
    if (tree === undefined) return false;
    try {
      writeFileSync(join(tree.base, nameOf(folder), file), value, { flag: 'r+' });
      return true;
    } catch {
      return false;
    }
  }

  #read(tree: CgroupTree | undefined, folder: string, file: string): string | undefined {
    if (tree === undefined) return undefined;
    try {
      // ASCII, all of it: as UTF-8 Node reads a file in one call, without asking for its size, in a third of the time.
      return readFileSync(join(tree.base, nameOf(folder), file), 'utf8');
    } catch {
      return undefined;
    }
  }

  /** A number out of lines like `usage_usec 1234`. */
  #field(tree: CgroupTree | undefined, folder: string, file: string, field: string): number | undefined {
    const line = this.#read(tree, folder, file)
      ?.split('\n')
      .find((each) => each.startsWith(`${field} `));
    return number(line?.slice(field.length + 1));
  }
}

/** A task's folder as the name of its group: `batch/job.0/0/0` is `t+batch+job.0+0+0`. */
export function nameOf(folder: string): string {
  return `${MARK}${folder.replaceAll('/', '+')}`;
}

function makeGroup(path: string): void {
  try {
    mkdirSync(path, { mode: 0o755 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

function removeGroup(path: string): 'removed' | 'absent' | 'busy' {
  try {
    rmdirSync(path);
    return 'removed';
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'absent' : 'busy';
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended by itself.
  }
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, KILL_PAUSE_MS));
}

function scaled(value: number | undefined, by: number): number | undefined {
  return value === undefined ? undefined : Math.round(value / by);
}

function number(text: string | undefined): number | undefined {
  const digits = text?.trim() ?? '';
  return /^\d{1,20}$/.test(digits) ? Number(digits) : undefined;
}
