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
  readonly out: Sink;
  readonly error: Sink;
  /** Says something about the output to people. */
  readonly note: (text: string) => void;
  /** Standard output is closed. */
  readonly onUnread: () => void;
}

interface Attempt {
  readonly view: TaskView;
  readonly copies: Map<'stdout' | 'stderr', StreamCopy>;
  timer: Timer | undefined;
}

/** Follows the output of a job's only task through its attempts, and loses nothing of one before the next begins. */
export class TaskOutput {
  readonly #options: TaskOutputOptions;
  #attempt: Attempt | undefined;
  #earlier: Promise<unknown> = Promise.resolve();
  #copied: Promise<CopyEnd>[] = [];
  #ended = -1;
  /** The newest attempt that a view was of. */
  #seen = -1;

  constructor(options: TaskOutputOptions) {
    this.#options = options;
  }

  /** The task as it is now. */
  changed(view: TaskView): void {
    if (view.attempt <= this.#ended) return;
    if (this.#attempt !== undefined && view.attempt > this.#attempt.view.attempt) this.#end(this.#attempt, null);
    // Quick ones began and ended between two looks.
    for (let missed = this.#seen + 1; missed < view.attempt; missed++) this.#endMissed({ ...view, attempt: missed });
    this.#seen = Math.max(this.#seen, view.attempt);
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

  /** An attempt that may never have run: then there is nothing to show, and nothing wrong. */
  #endMissed(view: TaskView): void {
    const attempt = newAttempt(view);
    const before = this.#copied.length;
    for (const stream of STREAMS) this.#copy(attempt, stream, false);
    const missed = this.#copied
      .splice(before)
      .map((copied) =>
        copied.then((end): CopyEnd => (end instanceof Fault && end.code === 'NOT_FOUND' ? 'done' : end)),
      );
    this.#copied.push(...missed);
    this.#earlier = Promise.all(this.#copied);
  }

  #copy(attempt: Attempt, stream: 'stdout' | 'stderr', follow: boolean): void {
    const { client, out, error, note, onUnread } = this.#options;
    const { framework, id, attempt: number } = attempt.view;
    const sink = stream === 'stdout' ? out : error;
    const start = this.#earlier;
    const waiting: Sink = {
      ...sinkShape(sink),
      write: async (data) => {
        await start;
        return sink.write(data);
      },
    };
    const copy = new StreamCopy(client, { framework, task: id, attempt: number, stream, follow }, waiting, (bytes) =>
      note(`${bytes} bytes of ${stream} were dropped by the agent`),
    );
    attempt.copies.set(stream, copy);
    this.#copied.push(copy.ended);
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

function newAttempt(view: TaskView): Attempt {
  return { view, copies: new Map(), timer: undefined };
}

function sinkShape({ isTerminal: terminal, columns, colours }: Sink): Omit<Sink, 'write'> {
  return { isTerminal: terminal, columns, colours };
}
