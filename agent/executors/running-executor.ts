import type { Clock, Timer } from '../../io/clock.ts';
import type { Launcher } from '../../io/launcher.ts';
import type { LineConnection } from '../../io/line-socket.ts';
import type { Log } from '../../io/log.ts';
import type { MessageOf } from '../../protocol/envelope.ts';
import { EXECUTOR_UP, readLine } from '../../protocol/executor.ts';
import { Fault } from '../../protocol/faults.ts';
import { LIMITS, TIMES } from '../../protocol/limits.ts';
import type { ExecutorStart, Run } from '../checkpoint/state.ts';
import { deviceEnvironment } from '../devices/device-environment.ts';
import { type DurableState, isFull } from '../durable-state.ts';
import type { RunArtifacts } from '../run-artifacts.ts';
import type { StatusReports } from '../status-reports.ts';
import { type Ending, type ExecutorFacts, type ExecutorStep, executorPlan, heardOf } from '../tasks/executor-plan.ts';
import { type Because, stateOfUnstarted } from '../tasks/plan.ts';
import { ExecutorLimits } from './executor-limits.ts';
import { ExecutorPace } from './executor-pace.ts';
import { ExecutorTasks, type Task } from './executor-tasks.ts';
import { ExecutorWords } from './executor-words.ts';

type Up = MessageOf<typeof EXECUTOR_UP>;
type Writable<Type> = { -readonly [Key in keyof Type]: Type[Key] };

/** How often a process that nobody watches is looked at. */
const UNSUPERVISED_MS = 1_000;

export interface RunningExecutorWorld {
  readonly clock: Clock;
  readonly log: Log;
  readonly launcher: Launcher;
  readonly durable: DurableState;
  readonly reports: StatusReports;
  readonly boot: string;
  /** Of this start, below the launcher's root. */
  readonly folder: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly agent: string;
  readonly agentName: string;
  readonly artifacts: RunArtifacts;
  /** Absolute path of a task folder. */
  readonly pathOf: (folder: string) => string;
}

export interface RunningExecutorListener {
  /** It speaks to its scheduler. */
  readonly message: (data: string) => void;
  /** One of its tasks has ended. */
  readonly taskEnded: (run: string) => void;
  /** Its process is gone, its tasks are reported. `status` is undefined where it is not known. */
  readonly ended: (status: number | undefined) => void;
}

/** One start of an executor: its process, its connection and its tasks. What to do is decided by `executorPlan`, and done here. */
export class RunningExecutor {
  readonly record: ExecutorStart;
  readonly #world: RunningExecutorWorld;
  readonly #listener: RunningExecutorListener;
  readonly #tasks: ExecutorTasks;
  readonly #words: ExecutorWords;
  readonly #pace: ExecutorPace;
  readonly #limits: ExecutorLimits;
  #actual: ExecutorFacts['actual'] = { kind: 'launched' };
  #subscribeByMs: number;
  #again = false;
  #rebooted = false;
  #shutdown: Writable<NonNullable<ExecutorFacts['shutdown']>> | undefined;
  #launching = false;
  #timer: Timer | undefined;
  #looking: Timer | undefined;
  #busy = false;
  #changed = false;
  /** Its process has ended, or nobody here looks after it any more. */
  #over = false;

  constructor(record: ExecutorStart, world: RunningExecutorWorld, listener: RunningExecutorListener) {
    this.record = record;
    this.#world = world;
    this.#listener = listener;
    this.#tasks = new ExecutorTasks(record, world, (run) => this.#taskEnded(run));
    this.#words = new ExecutorWords(world.clock);
    this.#pace = new ExecutorPace(world.clock);
    this.#limits = new ExecutorLimits(world, () => (this.#over ? [] : this.#tasks.runs()));
    this.#subscribeByMs = this.#now() + TIMES.executorRegisterMs;
  }

  get folder(): string {
    return this.#world.folder;
  }

  /** How many tasks it has. */
  get size(): number {
    return this.#tasks.size;
  }

  /** It runs, and has no task. */
  get idle(): boolean {
    const { kind } = this.#actual;
    return this.#tasks.size === 0 && (kind === 'launched' || kind === 'running');
  }

  /** Starts its process: the start is durable. */
  async launch(): Promise<void> {
    if (this.#over) return;
    const { launcher, folder, environment, log } = this.#world;
    this.#subscribeByMs = this.#now() + TIMES.executorRegisterMs;
    this.#launching = true;
    try {
      const { argv } = this.record.info;
      await this.#limits.start((limits) => launcher.launch({ folder, argv, environment, limits }));
    } catch (error) {
      log.warn('executor not launched', { folder, error: String(error) });
      this.refused(error);
    }
    this.#launching = false;
    this.#advance();
  }

  /** It cannot be started. */
  refused(error: unknown): void {
    this.#actual = {
      kind: 'unstarted',
      reason: isFull(error) ? 'AGENT_DISK_FULL' : 'LAUNCH_FAILED',
      message: `its executor was not started: ${error instanceof Error ? error.message : String(error)}`,
    };
    this.#advance();
  }

  /** Takes it up after a restart of the agent, with the tasks that were added. */
  async adopt(rebooted: boolean): Promise<void> {
    const { launcher, folder } = this.#world;
    this.#rebooted = rebooted;
    const found = await launcher.adopt(folder);
    const started = found.state !== 'missing' && found.state !== 'unclaimed';
    for (const task of this.#tasks.values()) task.delivered = started;
    if (!started && (rebooted || this.size === 0)) {
      await launcher.claim(folder);
      return this.noticed({ kind: 'vanished' });
    }
    switch (found.state) {
      case 'missing':
        return this.launch();
      case 'unclaimed':
        await launcher.resend(folder);
        void this.#limits.follow();
        return undefined;
      case 'running':
        this.#again = [...this.#tasks.values()].some(({ run }) => this.#tasks.wasHeardOf(run));
        this.#subscribeByMs = this.#now() + (this.#again ? TIMES.executorReregisterMs : TIMES.executorRegisterMs);
        this.noticed({ kind: 'running' });
        if (!found.supervised) this.#lookSoon();
        void this.#limits.follow();
        return undefined;
      case 'exited':
        return this.noticed({ kind: 'exited', code: found.code, outOfMemory: found.outOfMemory });
      default:
        return this.noticed({ kind: 'vanished' });
    }
  }

  /** A task for it, accepted durably. `delivered`: it may have it, from an agent before this one. */
  add(run: Run, delivered = false): void {
    this.#tasks.add(run, delivered);
    // Those that come together are told together.
    queueMicrotask(() => this.#advance());
  }

  /** Ends a task; a later request can only shorten the grace. */
  kill(run: Run, graceMs: number, because: Because | undefined): void {
    if (this.#tasks.kill(run, graceMs, because)) this.#advance();
  }

  /** A word of its scheduler; the oldest are kept for one that has not subscribed. */
  tell(data: string): void {
    this.#words.tell(data);
  }

  shutDown(why: Ending): void {
    this.#shutdown ??= { why, sinceMs: this.#now(), told: false, terminated: false, killed: false };
    this.#advance();
  }

  /** It has shown its secret on this connection. `has`: the tasks that it has. */
  subscribed(connection: LineConnection, has: Extract<Up, { type: 'SUBSCRIBE' }>['tasks']): void {
    const { framework, info } = this.record;
    this.#words.connect(connection);
    connection.onClosed(() => this.#disconnected(connection));
    this.#again = true;
    if (this.#actual.kind === 'launched') this.#actual = { kind: 'running' };
    const { agent, agentName } = this.#world;
    this.#words.send({ type: 'SUBSCRIBED', framework, executor: info.executor, agent, agentName });
    this.#words.tellKept();
    const listed = new Set(has.map(({ task, attempt }) => this.#tasks.find(task, attempt)));
    for (const task of this.#tasks.values()) {
      task.delivered = listed.has(task.run);
      if (task.kill !== undefined) task.kill = { ...task.kill, told: 'nothing' };
      // It was told, it said something of it, and has lost it.
      if (!task.delivered && this.#tasks.wasHeardOf(task.run))
        void this.#tasks.report(task, {
          state: 'TASK_FAILED',
          reason: 'EXECUTOR_TERMINATED',
          message: 'its executor subscribed again, and had lost it',
        });
    }
    if (this.#shutdown !== undefined) this.#shutdown.told = false;
    this.#advance();
  }

  /** A line of its connection; the next one may wait. */
  heard(line: string): Promise<void> | undefined {
    this.#pace.line();
    this.#take(line);
    return this.#pace.next();
  }

  #take(line: string): void {
    const message = readLine(EXECUTOR_UP, line);
    if (message instanceof Fault) return this.#words.refuse(message);
    switch (message.type) {
      case 'SUBSCRIBE':
        return this.#words.refuse(new Fault('EXISTS', 'this connection has subscribed'));
      case 'UPDATE':
        return this.#updated(message);
      case 'MESSAGE':
        return this.#spoke(message.data);
      case 'HEARTBEAT':
        this.#words.send({ type: 'HEARTBEAT' });
        return undefined;
    }
  }

  /** Something was seen of its process. */
  noticed(actual: ExecutorFacts['actual']): void {
    const { kind } = this.#actual;
    if (this.#over || (kind !== 'launched' && kind !== 'running')) return;
    if (actual.kind === 'launched' || (actual.kind === 'running' && kind === 'running')) return;
    this.#actual = actual;
    this.#advance();
  }

  /** Asks after its process. */
  async look(): Promise<void> {
    const { launcher, folder, log } = this.#world;
    if (this.#over || this.#launching) return;
    try {
      const found = await launcher.adopt(folder);
      if (found.state === 'exited') this.noticed({ kind: 'exited', code: found.code, outOfMemory: found.outOfMemory });
      else if (found.state === 'vanished') this.noticed({ kind: 'vanished' });
      else if (found.state === 'running') {
        this.noticed({ kind: 'running' });
        if (!found.supervised) this.#lookSoon();
      }
    } catch (error) {
      if (!this.#over) log.warn('executor not looked after', { folder, error: String(error) });
    }
  }

  /** Lets go of it: its process goes on. */
  stop(): void {
    this.#over = true;
    this.#timer?.cancel();
    this.#looking?.cancel();
    this.#words.close();
  }

  #disconnected(connection: LineConnection): void {
    if (this.#over || !this.#words.lost(connection)) return;
    this.#subscribeByMs = this.#now() + TIMES.executorReregisterMs;
    // Nearly always its process has ended.
    void this.look();
    this.#advance();
  }

  #updated(update: Extract<Up, { type: 'UPDATE' }>): void {
    const name = this.#tasks.find(update.task, update.attempt);
    const run = name === undefined ? undefined : this.#tasks.run(name);
    const task = name === undefined ? undefined : this.#tasks.get(name);
    const acknowledge = (): void => {
      const { task: about, attempt, uuid } = update;
      if (uuid !== undefined)
        this.#words.send({ type: 'ACKNOWLEDGED', task: about, uuid, ...(attempt === undefined ? {} : { attempt }) });
    };
    if (update.uuid !== undefined && run?.said.includes(update.uuid) === true) return acknowledge();
    if (run === undefined || task === undefined) {
      this.#words.refuse(new Fault('NOT_FOUND', `this executor has no live task ${update.task}`));
      return acknowledge();
    }
    const said = heardOf({ ...task, reported: run.latest?.state }, update);
    if (said === 'unlikely') {
      this.#words.refuse(new Fault('BAD_SHAPE', `task ${update.task} cannot become ${update.state} any more`));
      return acknowledge();
    }
    task.delivered = true;
    if (said.state === 'TASK_RUNNING') task.startedMs ??= this.#now();
    const more = {
      ...(update.exitCode === undefined ? {} : { exitCode: update.exitCode }),
      ...(update.data === undefined ? {} : { data: update.data }),
    };
    const repeated = said.state === run.latest?.state;
    const written = this.#tasks.heard(task, { ...said, ...more }, update.uuid);
    this.#pace.update(written, repeated);
    void written.then((durable) => {
      if (durable) acknowledge();
    });
    // It has begun with what it was given: nobody gives it that again.
    this.#world.artifacts.ended(run);
    return this.#advance();
  }

  #spoke(data: string): void {
    const fault = this.#words.speaks();
    if (fault !== undefined) return this.#words.refuse(fault);
    return this.#listener.message(data);
  }

  #now(): number {
    return this.#world.clock.monotonic();
  }

  #lookSoon(): void {
    this.#looking?.cancel();
    this.#looking = this.#world.clock.after(UNSUPERVISED_MS, () => void this.look());
  }

  #facts(): ExecutorFacts {
    return {
      actual: this.#actual,
      rebooted: this.#rebooted,
      subscribed: this.#words.connected,
      subscribeByMs: this.#subscribeByMs,
      again: this.#again,
      shutdownGraceMs: this.record.info.shutdownGraceMs,
      shutdown: this.#shutdown,
      tasks: this.#tasks.facts(),
    };
  }

  /** Plans and does until there is nothing left to do now. */
  #advance(): void {
    if (this.#over || this.#launching) return;
    this.#changed = true;
    if (!this.#busy) void this.#work();
  }

  async #work(): Promise<void> {
    this.#busy = true;
    while (this.#changed && !this.#over) {
      this.#changed = false;
      this.#timer?.cancel();
      const nowMs = this.#now();
      const { steps, wakeMs } = executorPlan(this.#facts(), nowMs);
      if (wakeMs !== undefined)
        this.#timer = this.#world.clock.after(Math.max(0, Math.ceil(wakeMs - nowMs)), () => this.#advance());
      for (const step of steps) {
        try {
          await this.#executors[step.kind](step as never);
        } catch (error) {
          if (!this.#over)
            this.#world.log.warn('executor step failed', {
              folder: this.folder,
              step: step.kind,
              error: String(error),
            });
        }
        if (this.#over) return;
      }
    }
    this.#busy = false;
  }

  /** What does each kind of step: complete, or it does not compile. */
  readonly #executors: {
    readonly [Kind in ExecutorStep['kind']]: (step: Extract<ExecutorStep, { kind: Kind }>) => void | Promise<void>;
  } = {
    launch: ({ runs, group }) => this.#handOver(runs, group),
    fetch: ({ run }) => {
      const task = this.#tasks.get(run);
      if (task !== undefined) void this.#fetch(task);
    },
    killTask: ({ run, graceMs, told }) => {
      const task = this.#tasks.get(run);
      const info = this.#tasks.run(run)?.info;
      if (task?.kill === undefined || info === undefined) return;
      task.kill = { ...task.kill, told };
      this.#words.send({ type: 'KILL', task: info.task, attempt: info.attempt, graceMs });
    },
    timeOut: ({ run }) => {
      const task = this.#tasks.get(run);
      if (task === undefined) return;
      task.timeUp = true;
      task.kill = { sinceMs: this.#now(), graceMs: 0, told: 'nothing' };
      this.#changed = true;
    },
    report: ({ kind: _kind, run, ...said }) => {
      const task = this.#tasks.get(run);
      if (task !== undefined) void this.#tasks.report(task, said);
    },
    shutDown: ({ why }) => {
      this.#world.log.warn('executor ended', { folder: this.folder, why });
      this.shutDown(why);
    },
    tellShutdown: ({ graceMs }) => {
      if (this.#shutdown !== undefined) this.#shutdown.told = true;
      this.#words.send({ type: 'SHUTDOWN', graceMs });
    },
    terminate: () => this.#signal('SIGTERM'),
    kill: () => this.#signal('SIGKILL'),
    end: async () => {
      this.stop();
      const { launcher, folder, durable, log } = this.#world;
      // What it started for its tasks, which are over.
      await launcher
        .sweep(folder, `MESQ_EXECUTOR_SECRET=${this.record.secret}`)
        .catch((error: unknown) => log.warn('executor not swept', { folder, error: String(error) }));
      const { framework, info, start } = this.record;
      durable.commit([{ kind: 'EXECUTOR_ENDED', framework, executor: info.executor, start }]).catch(() => undefined);
      this.#listener.ended(this.#actual.kind === 'exited' ? this.#actual.code : undefined);
    },
  };

  /** All that a task asks for, into a sandbox of its own; others use its executor's. */
  async #fetch(task: Task): Promise<void> {
    const run = this.#tasks.run(task.run);
    if (run === undefined) return;
    const isWanted = (): boolean => !this.#over && this.#tasks.get(task.run) === task && !task.delivered;
    task.files = 'coming';
    const found = await this.#world.artifacts.bring(run, sandboxFolder(run), (message) => {
      if (isWanted()) void this.#tasks.report(task, { state: 'TASK_STARTING', message });
    });
    if (found === 'withdrawn' || !isWanted()) return;
    if (found === undefined) task.files = 'there';
    else void this.#tasks.report(task, { state: stateOfUnstarted(found.reason), ...found });
    this.#advance();
  }

  #taskEnded(name: string): void {
    const run = this.#tasks.run(name);
    if (run?.info.artifacts !== undefined) {
      this.#world.artifacts.withdraw(sandboxFolder(run));
      this.#world.artifacts.ended(run);
    }
    const { kind } = this.#actual;
    if (kind === 'launched' || kind === 'running') void this.#limits.follow();
    this.#listener.taskEnded(name);
  }

  #handOver(names: readonly string[], group: string | undefined): void {
    const runs = names.flatMap((name) => this.#tasks.run(name) ?? []);
    // It has room for them first; then it is planned again, for they may have been killed meanwhile.
    if (!this.#limits.covers(runs)) return void this.#limits.follow().then(() => this.#advance());
    const infos = runs.map((accepted) => {
      const { executor: _executor, group: _group, restart: _restart, artifacts, ...task } = accepted.info;
      const environment = { ...task.environment, ...deviceEnvironment(accepted.devices) };
      return {
        ...task,
        ...(Object.keys(environment).length === 0 ? {} : { environment }),
        ...(artifacts === undefined ? {} : { sandbox: `${this.#world.pathOf(sandboxFolder(accepted))}/work` }),
      };
    });
    const [first] = infos;
    if (first === undefined) return;
    const [id = ''] = group?.split(' ') ?? [];
    const sent = this.#words.send(
      group === undefined ? { type: 'LAUNCH', ...first } : { type: 'LAUNCH_GROUP', group: id, tasks: infos },
    );
    for (const { run } of runs) {
      const task = this.#tasks.get(run);
      if (task === undefined) continue;
      if (sent) task.delivered = true;
      else
        void this.#tasks.report(task, {
          state: 'TASK_ERROR',
          reason: 'TASK_INVALID',
          message: `it takes more than the ${LIMITS.lineBytes} bytes of a line to its executor`,
        });
    }
  }

  /** A start that the launcher process has not begun is taken back instead. */
  async #signal(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const { launcher, folder } = this.#world;
    if (this.#actual.kind === 'launched' && (await launcher.claim(folder))) return this.noticed({ kind: 'vanished' });
    const signalled = await launcher.signal(folder, signal);
    if (this.#shutdown !== undefined) {
      if (signal === 'SIGTERM') this.#shutdown.terminated = true;
      else this.#shutdown.killed = signalled;
    }
    // Nobody may be there to tell of its end.
    this.#lookSoon();
  }
}

/** Of a task's own. It goes as that of a command does (kept-folders.ts). */
function sandboxFolder({ run, restart }: Run): string {
  return `${run}/${restart}`;
}
