import type { Clock } from '../../io/clock.ts';
import { isTerminal } from '../../protocol/task.ts';
import { type ExecutorStart, type Run, runName } from '../checkpoint/state.ts';
import type { DurableState } from '../durable-state.ts';
import type { Said, StatusReports } from '../status-reports.ts';
import type { ExecutorTask } from '../tasks/executor-plan.ts';
import type { Because } from '../tasks/plan.ts';

/** Stands for the name of an update that its executor gave none. */
const UNNAMED = '-';
/** A beginning may wait this long to be written with others. */
const GATHER_MS = 20;

/** What is known of a task beside its run. */
export type Task = { -readonly [Key in keyof Omit<ExecutorTask, 'reported'>]: ExecutorTask[Key] };

export interface ExecutorTasksWorld {
  readonly clock: Clock;
  readonly durable: DurableState;
  readonly reports: StatusReports;
  readonly boot: string;
}

/** The tasks of one executor that have not ended. */
export class ExecutorTasks {
  readonly #world: ExecutorTasksWorld;
  readonly #record: ExecutorStart;
  readonly #ended: (run: string) => void;
  readonly #tasks = new Map<string, Task>();

  /** `ended`: a task has. */
  constructor(record: ExecutorStart, world: ExecutorTasksWorld, ended: (run: string) => void) {
    this.#record = record;
    this.#world = world;
    this.#ended = ended;
  }

  get size(): number {
    return this.#tasks.size;
  }

  get(run: string): Task | undefined {
    return this.#tasks.get(run);
  }

  values(): Iterable<Task> {
    return this.#tasks.values();
  }

  /** As the plan sees them. */
  facts(): ExecutorTask[] {
    return [...this.#tasks.values()].map((task) => ({ ...task, reported: this.run(task.run)?.latest?.state }));
  }

  runs(): Run[] {
    return [...this.#tasks.keys()].flatMap((run) => this.run(run) ?? []);
  }

  run(run: string): Run | undefined {
    return this.#world.durable.state.runs.get(run);
  }

  /** Its executor has said something of it. That it is fetched for, the agent says itself. */
  wasHeardOf(run: string): boolean {
    const known = this.run(run);
    return known?.info.artifacts === undefined ? known?.latest !== undefined : known.said.length > 0;
  }

  /** The run of that task that is meant: of several attempts, the live one. */
  find(task: string, attempt: number | undefined): string | undefined {
    const { framework, info } = this.#record;
    if (attempt !== undefined) {
      const run = this.run(runName(framework, task, attempt));
      return run?.info.executor?.executor === info.executor ? run.run : undefined;
    }
    return [...this.#tasks.keys()].find((run) => this.run(run)?.info.task === task);
  }

  add(run: Run, delivered: boolean): void {
    const { boot } = this.#world;
    const { latest, kill, info } = run;
    const ran = latest?.state === 'TASK_RUNNING' && boot !== '' && latest.at?.boot === boot ? latest.at : undefined;
    this.#tasks.set(run.run, {
      run: run.run,
      group: info.group === undefined ? undefined : `${info.group} ${info.attempt}`,
      delivered,
      files: info.artifacts === undefined ? 'there' : 'wanted',
      startedMs: ran === undefined ? undefined : Math.min(ran.monotonicMs, this.#now()),
      maxCompletionMs: info.maxCompletionMs,
      timeUp: false,
      kill: kill === undefined ? undefined : { ...kill, sinceMs: this.#now(), told: 'nothing' },
    });
  }

  /** A later request can only shorten the grace. False where there is no such task. */
  kill(run: Run, graceMs: number, because: Because | undefined): boolean {
    const task = this.#tasks.get(run.run);
    if (task === undefined) return false;
    const before = task.kill;
    const left = before === undefined ? graceMs : Math.min(before.sinceMs + before.graceMs - this.#now(), graceMs);
    if (run.kill === undefined || graceMs < run.kill.graceMs) {
      this.#world.durable
        .commit([{ kind: 'KILL', run: run.run, graceMs, because: run.kill === undefined ? because : run.kill.because }])
        .catch(() => undefined);
    }
    // A shorter grace is worth another word.
    const shorter = before?.told === 'kill' && left < before.sinceMs + before.graceMs - this.#now();
    task.kill = {
      sinceMs: this.#now(),
      graceMs: Math.max(0, left),
      told: before === undefined || shorter ? 'nothing' : before.told,
      because: before === undefined ? because : before.because,
    };
    return true;
  }

  /** As its executor says it, under `uuid` or no name. True once it is durable. */
  heard(task: Task, said: Said, uuid: string | undefined): Promise<boolean> {
    const fetched = this.run(task.run)?.info.artifacts !== undefined;
    return this.report(task, said, uuid ?? (fetched ? UNNAMED : undefined));
  }

  /** True once it is durable; `uuid`: under which the executor said it. */
  report(task: Task, said: Said, uuid?: string): Promise<boolean> {
    const run = this.run(task.run);
    if (run === undefined) return Promise.resolve(false);
    const ended = isTerminal(said.state);
    if (ended) this.#tasks.delete(task.run);
    const durable = this.#world.reports.report(run, said, ended ? 0 : GATHER_MS, uuid);
    if (ended) this.#ended(task.run);
    return durable;
  }

  #now(): number {
    return this.#world.clock.monotonic();
  }
}
