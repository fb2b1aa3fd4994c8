import type { Clock, Timer } from '../../io/clock.ts';
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

/** What a simulated task does. */
export interface SimulatedProgram {
  /** Virtual milliseconds until its main process ends by itself. Default 1. */
  readonly runMs?: number;
  /** It does not end by itself. */
  readonly stays?: boolean;
  /** Default 0. */
  readonly code?: number;
  /** Written to `stdout` when it starts. */
  readonly output?: string;
  readonly ignoresTerm?: boolean;
  /** Leaves a child in its group that ends only by a signal. */
  readonly forks?: boolean;
  /** Leaves a child in a session of its own, which signals to the group do not reach. */
  readonly escapes?: boolean;
  /** MB of memory, from its first moment on; absent: nobody counts. */
  readonly uses?: number;
}

interface Folder {
  readonly program: SimulatedProgram;
  claimed?: 'launcher' | 'agent';
  pid?: number;
  /** The main process runs. */
  running: boolean;
  /** A forked child runs. */
  child: boolean;
  /** A child that left the group runs. */
  escaped: boolean;
  limits: StartLimits;
  outOfMemory: boolean;
  swept: boolean;
  stopped: boolean;
  /** Milliseconds that the main process still has to run. */
  leftMs: number;
  since: number;
  supervised: boolean;
  timer?: Timer;
  code?: number;
  stdout: string;
}

/** Virtual milliseconds until a line sent is read, and until a dead launcher process is replaced. */
const READ_MS = 1;
const REPLACE_MS = 5;

const MB = 1_048_576;

const DEADLY: Readonly<Record<TaskSignal, number | undefined>> = {
  SIGHUP: 129,
  SIGINT: 130,
  SIGQUIT: 131,
  SIGKILL: 137,
  SIGUSR1: 138,
  SIGUSR2: 140,
  SIGTERM: 143,
  SIGSTOP: undefined,
  SIGCONT: undefined,
};

/**
 * One machine's launcher process, task folders and processes, on virtual time: what outlives an agent. `programs` says
 * what a task does; by default its last argument is the {@link SimulatedProgram} as JSON.
 */
export class SimulatedMachine {
  /** Called when a task's process begins, whether an agent is attached or not. */
  onStart: (folder: string) => void = () => undefined;
  /** Called when a task's main process has ended, whoever watched it. */
  onEnd: (folder: string) => void = () => undefined;
  /** As a machine with everything: what its tasks are held to, and what their agent reads of it. */
  readonly isolation: Isolation = {
    cgroups: 'v2',
    cpu: true,
    memory: 'task',
    processes: 'task',
    user: undefined,
    notes: [],
  };
  /** How long the kernel reclaims memory before it has changed a limit, and how often one was changed. */
  limitMs = 0;
  limitsChanged = 0;
  /** What the disk says to new folders. */
  refusal: Error | undefined;
  readonly #clock: Clock;
  readonly #programs: (task: TaskStart) => SimulatedProgram;
  readonly #folders = new Map<string, Folder>();
  /** Lines in the pipe. */
  #lines: string[] = [];
  #up = false;
  #frozen = false;
  #pids = 100;
  #agent: SimulatedLauncher | undefined;

  constructor(clock: Clock, programs: (task: TaskStart) => SimulatedProgram = fromLastArgument) {
    this.#clock = clock;
    this.#programs = programs;
  }

  /**
   * What `attachLauncher` is on a real machine. An agent attached before is cut off, as if killed. `deliver` runs what
   * the agent is told, in its process.
   */
  attach(deliver: (tell: () => void) => void = (tell) => tell()): Launcher {
    this.#agent?.cut();
    this.#up = true;
    this.#agent = new SimulatedLauncher(this, deliver);
    return this.#agent;
  }

  /** The agent is killed: it hears and says nothing from now on. */
  killAgent(): void {
    this.#agent?.cut();
    this.#agent = undefined;
  }

  /** The launcher process is killed: supervisors and tasks go on, the agent replaces it. */
  killLauncher(): void {
    this.#up = false;
    this.#frozen = false;
    this.#lines = [];
    this.#clock.after(REPLACE_MS, () => {
      if (this.#agent === undefined || this.#up) return;
      this.#up = true;
      this.#agent.restarted();
    });
  }

  /** The launcher process reads nothing until `thaw`. */
  freeze(): void {
    this.#frozen = true;
  }

  thaw(): void {
    this.#frozen = false;
    this.#clock.after(READ_MS, () => this.#readAll());
  }

  /** The machine goes down: no process is left, files are. */
  reboot(): void {
    this.killAgent();
    this.#up = false;
    this.#lines = [];
    for (const [name, folder] of this.#folders) {
      folder.timer?.cancel();
      if (folder.running) this.onEnd(name);
      folder.running = false;
      folder.child = false;
      folder.escaped = false;
    }
  }

  /** Launcher process and supervisors are killed together: tasks go on, and nobody will hear of their end. */
  killSupervisors(): void {
    for (const folder of this.#folders.values()) if (folder.running) folder.supervised = false;
    this.killLauncher();
  }

  /** One supervisor is killed: nobody hears of that either. */
  killSupervisor(name: string): void {
    const folder = this.#folders.get(name);
    if (folder !== undefined) folder.supervised = false;
  }

  /** Folders that there are. */
  get folders(): readonly string[] {
    return [...this.#folders.keys()];
  }

  /** How many processes the task has. */
  processes(folder: string): number {
    const found = this.#folders.get(folder);
    return Number(found?.running ?? false) + Number(found?.child ?? false) + Number(found?.escaped ?? false);
  }

  /** What the task is held to. */
  limits(folder: string): StartLimits | undefined {
    return this.#folders.get(folder)?.limits;
  }

  stdout(folder: string): string {
    return this.#folders.get(folder)?.stdout ?? '';
  }

  /** For {@link SimulatedLauncher}: what an agent's side does to the machine. */
  make(task: TaskStart): void {
    if (this.refusal !== undefined) throw this.refusal;
    const program = this.#programs(task);
    if (this.#folders.has(task.folder)) return;
    this.#folders.set(task.folder, folderFor(program, task.limits));
  }

  send(folder: string): void {
    this.#lines.push(folder);
    this.#clock.after(READ_MS, () => this.#readAll());
  }

  signal(name: string, signal: TaskSignal): boolean {
    const folder = this.#folders.get(name);
    if (folder === undefined) return false;
    if (signal === 'SIGKILL' && folder.escaped) folder.escaped = false;
    else if (!folder.running && !folder.child) return false;
    if (signal === 'SIGSTOP' && !folder.stopped) {
      folder.stopped = true;
      folder.timer?.cancel();
      folder.leftMs -= this.#clock.monotonic() - folder.since;
    }
    if (signal === 'SIGCONT' && folder.stopped) {
      folder.stopped = false;
      this.#run(name, folder);
    }
    const code = DEADLY[signal];
    if (code === undefined || (folder.stopped && signal !== 'SIGKILL')) return true;
    if (signal === 'SIGTERM' && folder.program.ignoresTerm === true) return true;
    folder.child = false;
    if (folder.running) {
      folder.timer?.cancel();
      folder.timer = this.#clock.after(0, () => this.#end(name, folder, code));
    }
    return true;
  }

  adopt(name: string): TaskState {
    const folder = this.#folders.get(name);
    if (folder === undefined) return { state: 'missing' };
    if (folder.code !== undefined) return { state: 'exited', ...this.#ending(folder, folder.code) };
    if (folder.claimed === undefined) return { state: 'unclaimed' };
    if (folder.claimed === 'agent') return { state: 'withdrawn' };
    return folder.running
      ? { state: 'running', pid: folder.pid, supervised: folder.supervised }
      : { state: 'vanished' };
  }

  claim(name: string): boolean {
    const folder = this.#folders.get(name) ?? folderFor({});
    this.#folders.set(name, folder);
    if (folder.claimed !== undefined) return false;
    folder.claimed = 'agent';
    return true;
  }

  async limit(name: string, limits: StartLimits): Promise<LimitChange> {
    if (this.limitMs > 0) await new Promise<void>((resolve) => this.#clock.after(this.limitMs, resolve));
    const folder = this.#folders.get(name);
    if (folder === undefined || folder.swept || this.isolation.cgroups === 'none') return 'absent';
    this.limitsChanged++;
    const used = folder.running ? (folder.program.uses ?? 0) * MB : 0;
    const fits = used <= (limits.memoryBytes ?? Number.POSITIVE_INFINITY);
    const { memoryBytes: _memoryBytes, ...others } = limits;
    const { memoryBytes } = fits ? limits : folder.limits;
    folder.limits = { ...others, ...(memoryBytes === undefined ? {} : { memoryBytes }) };
    return fits ? 'held' : 'inUse';
  }

  sweep(name: string): void {
    this.signal(name, 'SIGKILL');
    const folder = this.#folders.get(name);
    if (folder !== undefined) folder.swept = true;
  }

  usage(name: string): TaskUsage | undefined {
    const folder = this.#folders.get(name);
    return folder === undefined ? undefined : this.#usage(folder);
  }

  remove(name: string): void {
    for (const folder of this.#folders.keys())
      if (folder === name || folder.startsWith(`${name}/`)) this.#folders.delete(folder);
  }

  detach(agent: SimulatedLauncher): void {
    if (this.#agent === agent) this.#agent = undefined;
  }

  quit(): void {
    this.#up = false;
  }

  #readAll(): void {
    if (!this.#up || this.#frozen) return;
    for (const name of this.#lines.splice(0)) {
      const folder = this.#folders.get(name);
      if (folder === undefined || folder.claimed !== undefined) continue;
      folder.claimed = 'launcher';
      folder.pid = this.#pids++;
      folder.running = true;
      folder.child = folder.program.forks === true;
      folder.escaped = folder.program.escapes === true;
      folder.stdout += folder.program.output ?? '';
      this.#run(name, folder);
      this.onStart(name);
      this.#agent?.started({ folder: name, pid: folder.pid });
    }
  }

  #run(name: string, folder: Folder): void {
    folder.since = this.#clock.monotonic();
    if (folder.running && (folder.program.uses ?? 0) * MB > (folder.limits.memoryBytes ?? Number.POSITIVE_INFINITY)) {
      folder.outOfMemory = true;
      folder.timer = this.#clock.after(READ_MS, () => this.#end(name, folder, 137));
    } else if (folder.running && folder.program.stays !== true) {
      folder.timer = this.#clock.after(folder.leftMs, () => this.#end(name, folder, folder.program.code ?? 0));
    }
  }

  #end(name: string, folder: Folder, code: number): void {
    folder.running = false;
    this.onEnd(name);
    // Its supervisor writes the exit file.
    if (!folder.supervised) return;
    folder.code = code;
    this.#agent?.exited({ folder: name, ...this.#ending(folder, code) });
  }

  #ending(folder: Folder, code: number): Omit<TaskExit, 'folder'> {
    const usage = this.#usage(folder);
    const outOfMemory = folder.outOfMemory && code !== 0 ? ({ outOfMemory: 'limit' } as const) : {};
    return { code, ...(usage === undefined ? {} : { usage }), ...outOfMemory };
  }

  #usage({ program, swept, limits, running, child, escaped }: Folder): TaskUsage | undefined {
    if (program.uses === undefined || swept) return undefined;
    const most = Math.min(program.uses * MB, limits.memoryBytes ?? Number.POSITIVE_INFINITY);
    const processes = Number(running) + Number(child) + Number(escaped);
    return { cpuMs: 0, memoryBytes: processes > 0 ? most : 0, memoryPeakBytes: most, processes };
  }
}

function folderFor(program: SimulatedProgram, limits: StartLimits = {}): Folder {
  return {
    program,
    limits,
    running: false,
    child: false,
    escaped: false,
    outOfMemory: false,
    swept: false,
    stopped: false,
    leftMs: program.runMs ?? 1,
    since: 0,
    supervised: true,
    stdout: '',
  };
}

/** One agent's side of a {@link SimulatedMachine}. */
class SimulatedLauncher implements Launcher {
  readonly #machine: SimulatedMachine;
  readonly #startedListeners: ((started: TaskStarted) => void)[] = [];
  readonly #exitListeners: ((exit: TaskExit) => void)[] = [];
  readonly #restartedListeners: (() => void)[] = [];
  readonly #sent = new Set<string>();
  readonly #deliver: (tell: () => void) => void;
  #cut = false;

  constructor(machine: SimulatedMachine, deliver: (tell: () => void) => void) {
    this.#machine = machine;
    this.#deliver = deliver;
  }

  get isolation(): Isolation {
    return this.#machine.isolation;
  }

  cut(): void {
    this.#cut = true;
  }

  started(started: TaskStarted): void {
    this.#sent.delete(started.folder);
    for (const listener of this.#startedListeners) this.#deliver(() => listener(started));
  }

  exited(exit: TaskExit): void {
    for (const listener of this.#exitListeners) this.#deliver(() => listener(exit));
  }

  restarted(): void {
    for (const folder of this.#sent) this.#machine.send(folder);
    for (const listener of this.#restartedListeners) this.#deliver(listener);
  }

  launch(task: TaskStart): Promise<void> {
    return this.#do(() => {
      this.#machine.make(task);
      this.#send(task.folder);
    });
  }

  resend(folder: string): Promise<void> {
    return this.#do(() => this.#send(folder));
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
    return this.#do(() => this.#machine.signal(folder, signal));
  }

  limit(folder: string, limits: StartLimits): Promise<LimitChange> {
    return this.#do(() => undefined).then(() => this.#machine.limit(folder, limits));
  }

  sweep(folder: string): Promise<void> {
    return this.#do(() => this.#machine.sweep(folder));
  }

  usage(folder: string): Promise<TaskUsage | undefined> {
    return this.#do(() => this.#machine.usage(folder));
  }

  adopt(folder: string): Promise<TaskState> {
    return this.#do(() => this.#machine.adopt(folder));
  }

  claim(folder: string): Promise<boolean> {
    return this.#do(() => {
      this.#sent.delete(folder);
      return this.#machine.claim(folder);
    });
  }

  folders(): Promise<string[]> {
    return this.#do(() => [...this.#machine.folders]);
  }

  remove(...folders: readonly string[]): Promise<void> {
    return this.#do(() => {
      for (const folder of folders) {
        this.#sent.delete(folder);
        this.#machine.remove(folder);
      }
    });
  }

  close(): Promise<void> {
    this.#cut = true;
    this.#machine.detach(this);
    return Promise.resolve();
  }

  stop(): Promise<void> {
    return this.#do(() => {
      this.#machine.quit();
      void this.close();
    });
  }

  #send(folder: string): void {
    this.#sent.add(folder);
    this.#machine.send(folder);
  }

  /** A killed agent waits for ever; a closed one is told so. Both are a rejection here, which nobody hears when killed. */
  #do<T>(act: () => T): Promise<T> {
    if (this.#cut) return Promise.reject(new LauncherError('CLOSED', 'this launcher is closed'));
    return new Promise((resolve) => resolve(act()));
  }
}

/** What a task does: its last argument, as JSON. */
export function fromLastArgument(task: TaskStart): SimulatedProgram {
  if ('shell' in task.argv) return {};
  const last = task.argv.at(-1) ?? '{}';
  return last.startsWith('{') ? (JSON.parse(last) as SimulatedProgram) : {};
}
