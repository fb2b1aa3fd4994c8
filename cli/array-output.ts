import { Fault } from '../protocol/faults.ts';
import type { TaskView } from '../protocol/job.ts';
import { isTerminal } from '../protocol/task.ts';
import type { Client } from '../sdk/index.ts';
import type { Progress } from './progress.ts';
import { StreamCopy } from './stream-copy.ts';
import type { Sink } from './terminal.ts';

/** Reads that are open at once: each holds as much as one reader is granted. */
const AT_ONCE = 8;

export interface ArrayOutputOptions {
  readonly client: Client;
  readonly out: Sink;
  readonly error: Sink;
  /** Drawn on the same terminal: out of the way while output is written. */
  readonly progress: Progress;
  readonly note: (text: string) => void;
  readonly onUnread: () => void;
}

/** Prints the output of each task of an array when it has ended: whole, never mixed with another's. */
export class ArrayOutput {
  readonly #options: ArrayOutputOptions;
  readonly #seen = new Set<string>();
  readonly #waiting: TaskView[] = [];
  #reading = 0;
  #turn: Promise<unknown> = Promise.resolve();
  #fault: Fault | undefined;
  #idle: (() => void) | undefined;

  constructor(options: ArrayOutputOptions) {
    this.#options = options;
  }

  changed(view: TaskView): void {
    if (!isTerminal(view.state) || view.output === null) return;
    const key = `${view.index}.${view.attempt}`;
    if (this.#seen.has(key)) return;
    this.#seen.add(key);
    if (view.output.stdout + view.output.stderr === 0) return;
    this.#waiting.push(view);
    this.#next();
  }

  /** Resolves when all of it is printed; with the first fault, if there was one. */
  async complete(): Promise<Fault | undefined> {
    if (this.#reading > 0 || this.#waiting.length > 0) {
      await new Promise<void>((resolve) => {
        this.#idle = resolve;
      });
    }
    return this.#fault;
  }

  #next(): void {
    while (this.#reading < AT_ONCE) {
      const view = this.#waiting.shift();
      if (view === undefined) break;
      this.#reading++;
      this.#print(view).then(
        () => {
          this.#reading--;
          this.#next();
        },
        (thrown: unknown) => {
          throw thrown;
        },
      );
    }
    if (this.#reading === 0) this.#idle?.();
  }

  /** The reading begins at once, and stops at what it was granted until it is this task's turn to be written. */
  async #print(view: TaskView): Promise<void> {
    const { client, out, error, progress, note, onUnread } = this.#options;
    const before = this.#turn;
    let finished: () => void = () => {};
    this.#turn = new Promise<void>((resolve) => {
      finished = resolve;
    });
    const copy = (stream: 'stdout' | 'stderr', sink: Sink): Promise<unknown> => {
      if ((view.output?.[stream] ?? 0) === 0) return Promise.resolve();
      const { isTerminal: terminal, columns, colours } = sink;
      const write = async (data: string | Uint8Array): Promise<boolean> => {
        await before;
        await progress.clear();
        return sink.write(data);
      };
      const { framework, id: task, attempt } = view;
      return new StreamCopy(
        client,
        { framework, task, attempt, stream },
        { isTerminal: terminal, columns, colours, write },
        (bytes) => note(`${bytes} bytes of ${stream} of ${task} were dropped by the agent`),
      ).ended.then((end) => {
        if (end instanceof Fault) this.#fault ??= end;
        if (end === 'unread' && stream === 'stdout') onUnread();
      });
    };
    await Promise.all([copy('stdout', out), copy('stderr', error)]);
    await before;
    finished();
    await progress.draw();
  }
}
