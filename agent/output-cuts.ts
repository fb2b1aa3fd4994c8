import type { Clock, Timer } from '../io/clock.ts';
import type { Log } from '../io/log.ts';
import type { OutputFile } from '../io/output-file.ts';

const EVERY_MS = 1_000;
/** Starts whose outputs are cut at once: a cut is a process, and what holds one up holds up no other. */
const AT_ONCE = 8;

export interface OutputCutsWorld {
  readonly clock: Clock;
  readonly log: Log;
  readonly output: (folder: string, stream: 'stdout' | 'stderr') => OutputFile;
  /** Folders of the tasks that run now. */
  readonly running: () => Iterable<string>;
}

/** Looks at the outputs of running tasks once a second, and keeps them within their cap. Rests while nothing runs. */
export class OutputCuts {
  readonly #world: OutputCutsWorld;
  /** Folders of starts that are to be looked at, and those that are being. */
  readonly #due = new Set<string>();
  readonly #busy = new Set<string>();
  #timer: Timer | undefined;
  #stopped = false;

  constructor(world: OutputCutsWorld) {
    this.#world = world;
  }

  /** Something runs. */
  wake(): void {
    if (this.#timer !== undefined || this.#stopped) return;
    this.#timer = this.#world.clock.after(EVERY_MS, () => this.#round());
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  #round(): void {
    this.#timer = undefined;
    this.#due.clear();
    for (const folder of this.#world.running()) {
      this.#due.add(folder);
      this.wake();
    }
    this.#next();
  }

  #next(): void {
    for (const folder of this.#due) {
      if (this.#busy.size >= AT_ONCE) return;
      this.#due.delete(folder);
      if (this.#busy.has(folder)) continue;
      this.#busy.add(folder);
      void this.cut(folder).finally(() => {
        this.#busy.delete(folder);
        this.#next();
      });
    }
  }

  /** Both streams of a start, now: also the last time, when it has ended. Never rejects. */
  async cut(folder: string): Promise<void> {
    await Promise.all((['stdout', 'stderr'] as const).map((stream) => this.#cutOne(folder, stream)));
  }

  async #cutOne(folder: string, stream: 'stdout' | 'stderr'): Promise<void> {
    try {
      await this.#world.output(folder, stream).cut();
    } catch (error) {
      this.#world.log.warn('output not cut', { folder, stream, error: String(error) });
    }
  }
}
