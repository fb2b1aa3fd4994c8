import type { Clock, Timer } from '../io/clock.ts';
import type { Launcher } from '../io/launcher.ts';
import type { DurableState } from './durable-state.ts';

/** Of ended runs whose end a master has heard. */
const KEPT = 200;
const KEPT_MS = 24 * 3_600_000;
const PAUSE_MS = 1_000;
/** Removed in one go: a folder is a dozen files to unlink, milliseconds on a slow medium. */
const AT_ONCE = 20;
/** While tasks end faster than that, tidying up waits, until this many are left over. */
const MOST = 2_000;

/** Folders of ended runs, kept for readers of their output: the newest 200, for a day at most. Then the run is forgotten. */
export class KeptFolders {
  readonly #world: { readonly clock: Clock; readonly launcher: Launcher; readonly durable: DurableState };
  /** Run → when it came here, oldest first. */
  readonly #kept = new Map<string, number>();
  #timer: Timer | undefined;
  /** Since the last look. */
  #added = 0;
  #stopped = false;

  constructor(world: { readonly clock: Clock; readonly launcher: Launcher; readonly durable: DurableState }) {
    this.#world = world;
  }

  add(run: string): void {
    if (this.#kept.has(run)) return;
    this.#kept.set(run, this.#world.clock.monotonic());
    this.#added++;
    if (this.#timer === undefined || this.#kept.size === KEPT + 1) this.#arm();
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  #arm(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    const [oldest] = this.#kept.values();
    if (oldest === undefined || this.#stopped) return;
    const { clock } = this.#world;
    const wait = this.#kept.size > KEPT ? PAUSE_MS : Math.max(PAUSE_MS, oldest + KEPT_MS - clock.monotonic());
    this.#timer = clock.after(Math.ceil(wait), () => void this.#sweep().finally(() => this.#arm()));
  }

  async #sweep(): Promise<void> {
    const { clock, launcher, durable } = this.#world;
    const busy = this.#added > AT_ONCE && this.#kept.size <= MOST;
    this.#added = 0;
    if (busy) return;
    for (let count = 0; count < AT_ONCE; count++) {
      const [oldest] = this.#kept;
      if (oldest === undefined) return;
      const [run, sinceMs] = oldest;
      if (this.#kept.size <= KEPT && sinceMs + KEPT_MS > clock.monotonic()) return;
      this.#kept.delete(run);
      // What could not be removed is only litter: a run of that name never comes again.
      await launcher.remove(run).catch(() => undefined);
      durable.later([{ kind: 'FORGOTTEN', run }]);
    }
  }
}
