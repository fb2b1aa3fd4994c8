import { Fault } from '../protocol/faults.ts';
import type { JobSpec, JobView, TaskView } from '../protocol/job.ts';
import { isTerminal } from '../protocol/task.ts';
import type { Timer } from '../sdk/index.ts';
import { ArrayOutput } from './array-output.ts';
import { BATCH } from './ask.ts';
import { EXIT, exitCodeOfAll } from './exit-codes.ts';
import { explain, neverFits, whyWaiting } from './explanation.ts';
import { tellLosses } from './losses.ts';
import { notice } from './output.ts';
import { Progress } from './progress.ts';
import { type Settleable, settleable } from './settleable.ts';
import { submitJob } from './submit-job.ts';
import { TaskOutput } from './task-output.ts';
import type { Connection, Signal } from './terminal.ts';
import type { Context } from './verb.ts';

/** Most tasks are placed by then; why one is not is asked only afterwards, */
const FIRST_EXPLAIN_MS = 500;
/** and again, in case the answer has changed. */
const EXPLAIN_AGAIN_MS = 5_000;

/**
 * Submits a job and follows it, and gives what `mesq run` exits with. Its output goes to ours; why it waits, and what
 * goes wrong, to standard error. Ctrl-C cancels it and waits for its end, a second one leaves it, and so do a lost
 * terminal and a closed standard output. It is listened for before the job is on its way: none is left behind unknown.
 */
export function runJob(context: Context, connection: Connection, spec: JobSpec): Promise<number | Fault> {
  const submitted = submitJob(connection.client, spec, context.answerMs());
  return follow(context, new Following(context, connection, spec, submitted, 'runner'));
}

/** The same for a job that somebody has submitted before. Whoever leaves leaves the job alone. */
export function followJob(context: Context, connection: Connection, spec: JobSpec): Promise<number | Fault> {
  return follow(context, new Following(context, connection, spec, Promise.resolve(spec), 'onlooker'));
}

async function follow(context: Context, following: Following): Promise<number | Fault> {
  const signals: readonly Signal[] = ['SIGINT', 'SIGTERM', 'SIGHUP'];
  const quiet = signals.map((signal) => context.terminal.onSignal(signal, () => following.signal(signal)));
  try {
    return await Promise.race([following.toItsEnd(), following.left]);
  } finally {
    following.close();
    for (const remove of quiet) remove();
  }
}

interface Output {
  changed(view: TaskView): void;
  complete(): Promise<Fault | undefined>;
}

class Following {
  readonly #context: Context;
  readonly #connection: Connection;
  readonly #spec: JobSpec;
  /** A runner that goes takes the job along, unless it says otherwise; an onlooker does not. */
  readonly #who: 'runner' | 'onlooker';
  #owner: string | undefined;
  readonly #progress: Progress;
  readonly #output: Output;
  readonly #tasks = new Map<number, TaskView>();
  readonly #left: Settleable<number> = settleable();
  readonly #submitted: Promise<{ job: string } | Fault>;
  #timer: Timer | undefined;
  #said = '';
  #interrupted = false;
  /** The answer to a request to cancel it, once there was one. */
  #cancelled: Promise<void> | undefined;
  #never: Fault | undefined;
  #closed = false;
  /** Nobody is told of a lost connection any more. */
  readonly #forget: () => void;

  constructor(
    context: Context,
    connection: Connection,
    spec: JobSpec,
    submitted: Promise<{ job: string } | Fault>,
    who: 'runner' | 'onlooker',
  ) {
    this.#who = who;
    this.#context = context;
    this.#connection = connection;
    this.#spec = spec;
    const { clock, out, error } = context.terminal;
    this.#progress = new Progress(error, context.options.quiet);
    const shared = {
      client: connection.client,
      out,
      error,
      note: (text: string) => this.#say(text),
      onUnread: () => this.#unread(),
    };
    this.#output =
      spec.count === 1
        ? new TaskOutput({ ...shared, clock, restarts: spec.restart !== 'never' })
        : new ArrayOutput({ ...shared, progress: this.#progress });
    this.#forget = tellLosses(clock, connection.bus, (event) =>
      this.#say(
        event === 'lost'
          ? 'the connection to the cluster is lost; trying again. What was accepted goes on.'
          : 'connected again',
      ),
    );
    this.#submitted = submitted;
  }

  /** The exit code of whoever leaves before the end. */
  get left(): Promise<number> {
    return this.#left.promise;
  }

  async toItsEnd(): Promise<number | Fault> {
    const { job, count } = this.#spec;
    const submitted = await this.#submitted;
    if (submitted instanceof Fault) return submitted;
    this.#explainIn(FIRST_EXPLAIN_MS);
    let last: JobView | undefined;
    const parts = this.#connection.client.watch(job, { framework: BATCH, timeoutMs: this.#context.answerMs() });
    for await (const part of parts) {
      if (part instanceof Fault) return part;
      last = part.job;
      this.#owner = part.job.owner;
      for (const view of part.changed) this.#changed(view);
      if (count > 1) await this.#progress.changed(part.job.tasks);
    }
    this.#timer?.cancel();
    const fault = await this.#output.complete();
    await this.#cancelled;
    await this.#progress.clear();
    if (this.#never !== undefined) return this.#never;
    if (this.#interrupted) return EXIT.interrupted;
    // What the task did counts, though not all of its output may cross the link now.
    if (fault?.code === 'BUDGET_SPENT')
      this.#say(`not all of the output is shown: ${fault.message}; see it with mesq logs --over-budget ${job}`);
    else if (fault !== undefined) return fault;
    return this.#exitCode(last);
  }

  signal(signal: Signal): void {
    if (signal === 'SIGHUP') this.#left.settle(EXIT.hungUp);
    else if (this.#interrupted || this.#who === 'onlooker') this.#leave();
    else {
      this.#interrupted = true;
      this.#say(`cancelling job ${this.#spec.job}; once more leaves it to the cluster`);
      this.#cancel();
    }
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    this.#forget();
  }

  #changed(view: TaskView): void {
    const known = this.#tasks.get(view.index);
    this.#tasks.set(view.index, view);
    this.#output.changed(view);
    if (view.state === 'TASK_STARTING' && view.message !== null && view.message !== known?.message)
      this.#say(`task ${view.id}: ${view.message}`);
    if (known?.state === view.state) return;
    if (view.state === 'TASK_UNREACHABLE')
      this.#say(`agent ${view.agent ?? '?'} is out of reach; task ${view.id} may go on there, and is waited for`);
    else if (isTerminal(view.state) && view.state !== 'TASK_FINISHED' && view.message !== null && !this.#interrupted)
      this.#say(`task ${view.id}: ${view.message}`);
  }

  /** A task that does not start, and no word why, looks like a hang. */
  #explainIn(ms: number): void {
    if (this.#closed) return;
    this.#timer = this.#context.terminal.clock.after(ms, () => void this.#explain());
  }

  async #explain(): Promise<void> {
    const begun = [...this.#tasks.values()].some(({ state }) => state !== 'TASK_STAGING');
    if (begun || this.#interrupted || this.#closed) return;
    const placed = await this.#placed();
    const answer =
      placed ?? (await explain(this.#connection.client, this.#spec, this.#owner, this.#context.answerMs()));
    if (this.#closed || [...this.#tasks.values()].some(({ state }) => state !== 'TASK_STAGING')) return;
    const text =
      typeof answer === 'string' ? answer : answer instanceof Fault ? `waiting: ${answer.message}` : whyWaiting(answer);
    const never = typeof answer === 'string' || answer instanceof Fault ? undefined : neverFits(answer);
    if (never !== undefined && this.#who === 'runner') {
      this.#never = never;
      this.#cancel();
      return;
    }
    if (text !== this.#said) this.#say(text);
    this.#said = text;
    this.#explainIn(EXPLAIN_AGAIN_MS);
  }

  /** Of a job of one task: where it was placed, and has not begun; undefined where it waits for a place. */
  async #placed(): Promise<string | undefined> {
    const { job, count } = this.#spec;
    if (count > 1) return undefined;
    const answer = await this.#connection.client.request(
      'tasks',
      { job },
      { framework: BATCH, timeoutMs: this.#context.answerMs() },
    );
    const [view] = answer instanceof Fault ? [] : answer.tasks;
    if (view?.state !== 'TASK_STAGING' || view.agent === null) return undefined;
    return `placed on agent ${view.agent}, which has not begun it yet`;
  }

  #cancel(): void {
    this.#cancelled = this.#askToCancel();
  }

  async #askToCancel(): Promise<void> {
    const { job } = this.#spec;
    if ((await this.#submitted) instanceof Fault) return;
    const answer = await this.#connection.client.request(
      'cancel',
      { job },
      { framework: BATCH, timeoutMs: this.#context.answerMs() },
    );
    if (answer instanceof Fault) this.#say(`job ${job} is not cancelled: ${answer.message}`);
  }

  /** As a shell's pipe would: nobody reads it any more, so it ends. */
  #unread(): void {
    if (this.#who === 'onlooker') return this.#left.settle(EXIT.brokenPipe);
    this.#cancel();
    const leave = (): void => this.#left.settle(EXIT.brokenPipe);
    this.#cancelled?.then(leave, leave);
  }

  #leave(): void {
    const { job, count } = this.#spec;
    const again = count === 1 ? `mesq logs -f ${job}` : `mesq wait ${job}`;
    this.#say(`left job ${job} to the cluster; see how it goes: ${again}`);
    this.#left.settle(EXIT.interrupted);
  }

  #exitCode(last: JobView | undefined): number {
    const code = exitCodeOfAll(this.#tasks.values());
    // Tasks that ended before anybody could watch them, of a very large array, and those that never started.
    const untold = this.#tasks.size < this.#spec.count && (last === undefined || last.state !== 'finished');
    return untold && code === 0 ? EXIT.cluster : code;
  }

  #say(text: string): void {
    const say = async (): Promise<void> => {
      await this.#progress.clear();
      await notice(this.#context, text);
      await this.#progress.draw();
    };
    void say();
  }
}
