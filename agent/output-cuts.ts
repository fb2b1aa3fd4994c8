import type { Clock, Timer } from '../io/clock.ts';
import type { Log } from '../io/log.ts';
import type { OutputFile } from '../io/output-file.ts';

const EVERY_MS = 1_000;

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
  #timer: Timer | undefined;
  #stopped = false;

  constructor(world: OutputCutsWorld) {
    this.#world = world;
  }

  /** Something runs. */
  wake(): void {
    if (this.#timer !== undefined || this.#stopped) return;
    this.#timer = this.#world.clock.after(EVERY_MS, () => void this.#cutAll());
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  async #cutAll(): Promise<void> {
    const folders = [...this.#world.running()];
    for (const folder of folders) await this.cut(folder);
    this.#timer = undefined;
    if (folders.length > 0) this.wake();
  }

  /** Both streams of a start, now: also the last time, when it has ended. */
  async cut(folder: string): Promise<void> {
    for (const stream of ['stdout', 'stderr'] as const) {
      try {
        await this.#world.output(folder, stream).cut();
      } catch (error) {
        this.#world.log.warn('output not cut', { folder, stream, error: String(error) });
      }
    }
  }
}
