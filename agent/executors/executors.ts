import type { Timer } from '../../io/clock.ts';
import type { LineConnection, LineListener } from '../../io/line-socket.ts';
import { type Random, randomWord } from '../../io/random.ts';
import type { AGENT_UP } from '../../protocol/agent-link.ts';
import type { Outgoing } from '../../protocol/envelope.ts';
import { EXECUTOR_DOWN, EXECUTOR_UP, readLine, writeLine } from '../../protocol/executor.ts';
import { Fault } from '../../protocol/faults.ts';
import { LIMITS } from '../../protocol/limits.ts';
import type { ExecutorInfo, TaskStatus } from '../../protocol/task.ts';
import { type ExecutorStart, hasEnded, type Run } from '../checkpoint/state.ts';
import { OutputCuts } from '../output-cuts.ts';
import type { RunsWorld } from '../runs.ts';
import { type Said, StatusReports } from '../status-reports.ts';
import type { Because } from '../tasks/plan.ts';
import { executorEnvironmentOf } from './executor-environment.ts';
import { RunningExecutor } from './running-executor.ts';

/** How long a connection may say nothing of itself. */
const SUBSCRIBE_MS = 10_000;
/** Connections that have not said who they are: whoever comes then takes the place of the oldest. */
const STRANGERS = 50;
/** How often every executor's process is looked at: a supervisor that somebody killed says nothing. */
const LOOK_MS = 60_000;

export interface ExecutorsWorld extends Omit<RunsWorld, 'prober'> {
  readonly random: Random;
  readonly lines: LineListener;
}

export interface ExecutorsListener {
  /** Durable: to be sent. */
  readonly reported: (run: string, status: TaskStatus) => void;
  /** A run has ended, or an executor. */
  readonly ended: (run: string | undefined) => void;
  /** Sends to the master, if there is one: at most once. */
  readonly send: (message: Word) => void;
}

/** What is said of executors to a master; the epoch is added when it is sent. */
type Word = DistributiveOmit<
  Extract<Outgoing<typeof AGENT_UP>, { type: 'MESSAGE' | 'EXECUTOR_ENDED' | 'IDLE_EXECUTORS' }>,
  'epoch'
>;
type DistributiveOmit<Message, Key extends PropertyKey> = Message extends unknown ? Omit<Message, Key> : never;

/**
 * The frameworks' own executors: one process for each (framework, executor id), started with its first task, and the
 * connections over which they speak. They outlive the agent, and find it again (docs/executors.md).
 */
export class Executors {
  readonly #world: ExecutorsWorld;
  readonly #listener: ExecutorsListener;
  readonly #reports: StatusReports;
  readonly #cuts: OutputCuts;
  /** By framework and executor id. */
  readonly #running = new Map<string, RunningExecutor>();
  readonly #strangers = new Set<LineConnection>();
  #looking: Timer | undefined;
  #telling = false;
  #stopped = false;

  constructor(world: ExecutorsWorld, listener: ExecutorsListener) {
    this.#world = world;
    this.#listener = listener;
    this.#reports = new StatusReports(world, listener.reported);
    this.#cuts = new OutputCuts({
      ...world,
      running: () => [...this.#running.values()].map(({ folder }) => folder),
    });
    const { launcher, lines } = world;
    launcher.onStarted(({ folder }) => this.#in(folder)?.noticed({ kind: 'running' }));
    launcher.onExit(({ folder, code, outOfMemory }) =>
      this.#in(folder)?.noticed({ kind: 'exited', code, outOfMemory }),
    );
    launcher.onRestarted(() => this.#lookAfterAll());
    lines.onConnection((connection) => this.#connected(connection));
  }

  /** How many run. */
  get size(): number {
    return this.#running.size;
  }

  /** Accepted, durably: now its executor may have it. */
  start(run: Run): void {
    const { executor: info } = run.info;
    if (info === undefined || hasEnded(run)) return;
    const running = this.#of(run.framework, info.executor);
    if (running === undefined) return this.#begin(run, info);
    if (sameInfo(running.record.info, info)) {
      if (running.size < LIMITS.tasksPerExecutor) return running.add(run);
      const message = `executor ${info.executor} has ${LIMITS.tasksPerExecutor} tasks`;
      return this.#refuse(run, { state: 'TASK_DROPPED', reason: 'LAUNCH_FAILED', message });
    }
    return this.#refuse(run, {
      state: 'TASK_ERROR',
      reason: 'TASK_INVALID',
      message: `executor ${info.executor} runs here with another command, environment or grace`,
    });
  }

  /** After a restart of the agent: takes up every executor where it is, with its tasks. */
  async adopt(rebooted: boolean): Promise<void> {
    const { state } = this.#world.durable;
    for (const record of state.executors.values()) if (!record.ended) this.#make(record);
    const left: Run[] = [];
    for (const run of state.runs.values()) {
      if (run.info.executor === undefined || hasEnded(run)) continue;
      const running = this.#of(run.framework, run.info.executor.executor);
      if (running === undefined) left.push(run);
      else running.add(run, true);
    }
    for (const running of [...this.#running.values()]) await running.adopt(rebooted);
    for (const run of left) {
      // Accepted, and the agent died before the executor was to start.
      if (!rebooted) this.start(run);
      else this.#refuse(run, { state: 'TASK_FAILED', reason: 'AGENT_REBOOTED', message: 'the machine was rebooted' });
    }
    this.#forgetOld();
  }

  kill(run: Run, graceMs: number, because?: Because): void {
    const { executor } = run.info;
    if (executor !== undefined) this.#of(run.framework, executor.executor)?.kill(run, graceMs, because);
  }

  /** A word of the scheduler; lost where the executor does not run. */
  message(framework: string, executor: string, data: string): void {
    this.#of(framework, executor)?.tell(data);
  }

  shutDown(executors: readonly { framework: string; executor: string }[]): void {
    for (const { framework, executor } of executors) this.#of(framework, executor)?.shutDown('asked');
  }

  /** The agent ends for good. */
  shutDownAll(): void {
    for (const running of this.#running.values()) running.shutDown('asked');
  }

  /** A master is in contact (again). */
  established(): void {
    this.#tellIdle();
  }

  /** Where the output of a run is: its executor's, also once that has ended. Undefined where several have, and nobody knows which it was. */
  folderOf(run: Run): string | undefined {
    const executor = run.info.executor?.executor;
    if (executor === undefined) return undefined;
    const running = this.#of(run.framework, executor)?.folder;
    if (running !== undefined) return running;
    const ended = [...this.#world.durable.state.executors.values()].filter(
      ({ framework, info }) => framework === run.framework && info.executor === executor,
    );
    const [only] = ended;
    return only === undefined || ended.length > 1 ? undefined : folderOf(only);
  }

  /** Where the files of a run are: its executor's sandbox, unless it has one of its own (or no executor): then undefined. */
  filesOf(run: Run): string | undefined {
    return run.info.artifacts === undefined ? this.folderOf(run) : undefined;
  }

  /** Lets go of everything; what runs goes on. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#looking?.cancel();
    this.#cuts.stop();
    for (const running of this.#running.values()) running.stop();
    await this.#world.lines.close();
  }

  #of(framework: string, executor: string): RunningExecutor | undefined {
    return this.#running.get(`${framework}/${executor}`);
  }

  #in(folder: string): RunningExecutor | undefined {
    const [framework = '', , executor = ''] = folder.split('/');
    const running = this.#of(framework, executor);
    return running?.folder === folder ? running : undefined;
  }

  /** The start is durable before it happens: an agent that dies meanwhile finds what it began. */
  #begin(run: Run, info: ExecutorInfo): void {
    const { durable, random } = this.#world;
    if (this.#running.size >= LIMITS.executorsPerAgent)
      return this.#refuse(run, {
        state: 'TASK_DROPPED',
        reason: 'LAUNCH_FAILED',
        message: `${LIMITS.executorsPerAgent} executors run here already`,
      });
    const { framework } = run;
    const [start, secret] = [randomWord(random, 16), randomWord(random, 32)];
    const running = this.#make({ framework, info, start, secret, ended: false });
    running.add(run);
    durable.promise([{ kind: 'EXECUTOR', framework, info, start, secret }]).then(
      () => (this.#stopped ? undefined : running.launch()),
      (error: unknown) => running.refused(error),
    );
    return undefined;
  }

  #make(record: ExecutorStart): RunningExecutor {
    const { framework, info } = record;
    const { agentName, durable, pathOf, lines } = this.#world;
    const folder = folderOf(record);
    const sandbox = `${pathOf(folder)}/work`;
    const agent = durable.state.agent ?? '';
    const key = `${framework}/${info.executor}`;
    const about = { framework, executor: info.executor };
    const running = new RunningExecutor(
      record,
      {
        ...this.#world,
        reports: this.#reports,
        folder,
        agent,
        environment: executorEnvironmentOf(record, {
          agent,
          agentName,
          sandbox,
          volumes: this.#world.volumesRoot,
          socket: lines.pathFrom(sandbox),
        }),
      },
      {
        message: (data) => this.#listener.send({ type: 'MESSAGE', ...about, data }),
        taskEnded: (run) => {
          if (running.idle) this.#tellIdle();
          this.#listener.ended(run);
        },
        ended: (status) => {
          this.#running.delete(key);
          this.#listener.send({ type: 'EXECUTOR_ENDED', ...about, status: status ?? null });
          void this.#cuts.cut(folder);
          this.#forgetOld();
          this.#listener.ended(undefined);
        },
      },
    );
    this.#running.set(key, running);
    this.#cuts.wake();
    this.#armLook();
    return running;
  }

  #refuse(run: Run, said: Said): void {
    void this.#reports.report(run, said, 0);
  }

  /** Its first line says who it is. */
  #connected(connection: LineConnection): void {
    let running: RunningExecutor | undefined;
    const late = this.#world.clock.after(SUBSCRIBE_MS, () => connection.close());
    const [oldest] = this.#strangers;
    if (oldest !== undefined && this.#strangers.size >= STRANGERS) {
      this.#strangers.delete(oldest);
      oldest.close();
    }
    this.#strangers.add(connection);
    connection.onClosed(() => {
      late.cancel();
      this.#strangers.delete(connection);
    });
    connection.onLine((line) => {
      if (running !== undefined) return running.heard(line);
      const message = readLine(EXECUTOR_UP, line);
      const fault = message instanceof Fault ? message : undefined;
      if (!(message instanceof Fault) && message.type === 'SUBSCRIBE') {
        running = [...this.#running.values()].find(({ record }) => record.secret === message.secret);
        if (running !== undefined) {
          late.cancel();
          this.#strangers.delete(connection);
          return running.subscribed(connection, message.tasks);
        }
      }
      const {
        code,
        message: words,
        hint,
      } = fault ?? new Fault('NOT_ALLOWED', 'the first line is SUBSCRIBE with the secret of an executor of this agent');
      connection.send(writeLine(EXECUTOR_DOWN, { type: 'ERROR', fault: { code, message: words, hint } }) ?? '');
      return connection.close();
    });
  }

  /** Once for all that became idle in this turn of the loop. */
  #tellIdle(): void {
    if (this.#telling) return;
    this.#telling = true;
    queueMicrotask(() => {
      this.#telling = false;
      const idle = [...this.#running.values()].filter((running) => running.idle);
      if (idle.length === 0 || this.#stopped) return;
      const executors = idle.map(({ record }) => ({ framework: record.framework, executor: record.info.executor }));
      this.#listener.send({ type: 'IDLE_EXECUTORS', executors });
    });
  }

  /** The newest that have ended stay, with their output, for a person who wonders why. */
  #forgetOld(): void {
    const { durable, launcher, log } = this.#world;
    const ended = [...durable.state.executors.values()].filter((record) => record.ended);
    for (const { framework, info, start } of ended.slice(0, Math.max(0, ended.length - LIMITS.executorsKept))) {
      launcher
        .remove(folderOf({ framework, info, start }))
        .catch((error: unknown) => log.warn('folder not removed', { error: String(error) }));
      durable.later([{ kind: 'EXECUTOR_FORGOTTEN', framework, executor: info.executor, start }]);
    }
  }

  /** Rests while none runs. */
  #armLook(): void {
    if (this.#stopped || this.#running.size === 0) return;
    this.#looking ??= this.#world.clock.after(LOOK_MS, () => {
      this.#looking = undefined;
      this.#lookAfterAll();
      this.#armLook();
    });
  }

  #lookAfterAll(): void {
    for (const running of this.#running.values()) void running.look();
  }
}

function folderOf({ framework, info, start }: Pick<ExecutorStart, 'framework' | 'info' | 'start'>): string {
  return `${framework}/executors/${info.executor}/${start}`;
}

function sameInfo(left: ExecutorInfo, right: ExecutorInfo): boolean {
  const canonical = ({ argv, environment = {}, shutdownGraceMs }: ExecutorInfo): string =>
    JSON.stringify([argv, Object.entries(environment).sort(), shutdownGraceMs]);
  return canonical(left) === canonical(right);
}
