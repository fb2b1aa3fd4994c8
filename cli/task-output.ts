import { Fault } from '../protocol/faults.ts';
import type { TaskView } from '../protocol/job.ts';
import { isTerminal } from '../protocol/task.ts';
import type { Client, Clock, Timer } from '../sdk/index.ts';
import { type CopyEnd, StreamCopy } from './stream-copy.ts';
import type { Sink } from './terminal.ts';

/** A task that ends sooner is read once, and not at all if it wrote nothing. */
const FOLLOW_AFTER_MS = 30;
/** For what is still on its way, where a task's end does not say how much it wrote. */
const UNKNOWN_END_MS = 1_000;

const STREAMS = ['stdout', 'stderr'] as const;

export interface TaskOutputOptions {
  readonly client: Client;
  readonly clock: Clock;
  /** Its restart policy may start the task again. */
  readonly restarts: boolean;
  readonly out: Sink;
  readonly error: Sink;
  /** Says something about the output to people. */
  readonly note: (text: string) => void;
  /** Standard output is closed. */
  readonly onUnread: () => void;
}

/** One start of an attempt. */
interface Attempt {
  readonly view: TaskView;
  /** Null: the newest there is. */
  readonly restart: number | null;
  /** What it wrote may be kept no more, which is nothing wrong. */
  mayBeGone: boolean;
  readonly copies: Map<'stdout' | 'stderr', StreamCopy>;
  timer: Timer | undefined;
}

/**
 * Follows the output of a job's only task through its attempts and their restarts, and loses nothing of one before the
 * next begins. Of a start that began and ended between two looks it shows what is kept: the one before the newest.
 */
export class TaskOutput {
  readonly #options: TaskOutputOptions;
  #attempt: Attempt | undefined;
  #earlier: Promise<unknown> = Promise.resolve();
  #copied: Promise<CopyEnd>[] = [];
  #ended = -1;
  /** The newest attempt that a view was of, and the newest restart of it. */
  #seen = -1;
  #seenRestart = -1;

  constructor(options: TaskOutputOptions) {
    this.#options = options;
  }

  /** The task as it is now. */
  changed(view: TaskView): void {
    if (view.attempt <= this.#ended) return;
    if (this.#attempt !== undefined && view.attempt > this.#attempt.view.attempt) this.#end(this.#attempt, null);
    // Quick ones began and ended between two looks.
    for (let missed = this.#seen + 1; missed < view.attempt; missed++)
      this.#endMissed({ ...view, attempt: missed }, null);
    this.#sawStart(view);
    if (isTerminal(view.state)) {
      if (view.started !== null || view.output !== null) this.#end(this.#attempt ?? newAttempt(view), view.output);
      else if (this.#attempt !== undefined) this.#end(this.#attempt, view.output);
      this.#ended = view.attempt;
      return;
    }
    if (this.#attempt !== undefined || view.state !== 'TASK_RUNNING') return;
    const attempt = newAttempt(view);
    this.#attempt = attempt;
    attempt.timer = this.#options.clock.after(FOLLOW_AFTER_MS, () => {
      for (const stream of STREAMS) this.#copy(attempt, stream, true);
    });
  }

  /** Resolves when all output of the attempts that have ended is written; with the first fault, if there was one. */
  async complete(): Promise<Fault | undefined> {
    const ends = await Promise.all(this.#copied);
    return ends.find((end) => end instanceof Fault);
  }

  /** Where it is a new start of the same attempt, the one before it has ended, and so have any between them. */
  #sawStart(view: TaskView): void {
    const { attempt, restart } = view;
    if (attempt > this.#seen) this.#seenRestart = -1;
    this.#seen = Math.max(this.#seen, attempt);
    const before = this.#seenRestart;
    this.#seenRestart = Math.max(before, restart);
    if (!this.#options.restarts || restart <= before) return;
    const current = this.#attempt;
    this.#attempt = undefined;
    const unread = current === undefined ? Math.max(0, before) : before + 1;
    if (current !== undefined) this.#endStart(current);
    if (restart - 1 >= unread) this.#endMissed(view, restart - 1);
    if (restart - 2 >= unread)
      this.#options.note(
        `restart ${restart} of task ${view.id}: what starts ${unread} to ${restart - 2} wrote is not kept`,
      );
  }

  /** The agent tells its end; how much it wrote, nobody does. */
  #endStart(attempt: Attempt): void {
    attempt.timer?.cancel();
    attempt.mayBeGone = true;
    for (const stream of STREAMS) if (!attempt.copies.has(stream)) this.#copy(attempt, stream, false);
    this.#earlier = Promise.all(this.#copied);
  }

  #end(attempt: Attempt, sizes: TaskView['output']): void {
    this.#attempt = undefined;
    attempt.timer?.cancel();
    for (const stream of STREAMS) {
      const copy = attempt.copies.get(stream);
      if (copy === undefined && (sizes?.[stream] ?? 1) > 0) this.#copy(attempt, stream, false);
      else if (sizes !== null) copy?.endAt(sizes[stream]);
      else this.#options.clock.after(UNKNOWN_END_MS, () => copy?.stop());
    }
    this.#earlier = Promise.all(this.#copied);
  }

  /** An attempt, or one start of it, that may never have run: then there is nothing to show, and nothing wrong. */
  #endMissed(view: TaskView, restart: number | null): void {
    const attempt = newAttempt(view, restart, true);
    for (const stream of STREAMS) this.#copy(attempt, stream, false);
    this.#earlier = Promise.all(this.#copied);
  }

  #copy(attempt: Attempt, stream: 'stdout' | 'stderr', follow: boolean): void {
    const { client, out, error, note, onUnread, restarts } = this.#options;
    const { framework, id, attempt: number } = attempt.view;
    const start = restarts && attempt.restart !== null ? { restart: attempt.restart } : {};
    const sink = stream === 'stdout' ? out : error;
    const before = this.#earlier;
    const waiting: Sink = {
      ...sinkShape(sink),
      write: async (data) => {
        await before;
        return sink.write(data);
      },
    };
    const of = { framework, task: id, attempt: number, ...start, stream, follow };
    const copy = new StreamCopy(client, of, waiting, (bytes) =>
      note(`${bytes} bytes of ${stream} were dropped by the agent`),
    );
    attempt.copies.set(stream, copy);
    this.#copied.push(
      copy.ended.then((end) => (attempt.mayBeGone && end instanceof Fault && end.code === 'NOT_FOUND' ? 'done' : end)),
    );
    copy.ended.then(
      (end) => {
        if (end === 'unread' && stream === 'stdout') onUnread();
      },
      (thrown: unknown) => {
        throw thrown;
      },
    );
  }
}

function newAttempt(view: TaskView, restart: number | null = view.restart, mayBeGone = false): Attempt {
  return { view, restart, mayBeGone, copies: new Map(), timer: undefined };
}

function sinkShape({ isTerminal: terminal, columns, colours }: Sink): Omit<Sink, 'write'> {
  return { isTerminal: terminal, columns, colours };
}
