import type { Clock, Timer } from '../io/clock.ts';
import type { Launcher } from '../io/launcher.ts';
import type { Log } from '../io/log.ts';
import type { DurableState } from './durable-state.ts';

/** Of ended runs whose end a master has heard. */
const KEPT = 200;
const KEPT_MS = 24 * 3_600_000;
/** However many there are, up to {@link MOST}: whoever reads the outputs of an array comes later than its tasks end. */
const YOUNG_MS = 600_000;
const PAUSE_MS = 1_000;
/** Beyond {@link MOST} with tasks ending all the time: each removal starts a process, which costs an agent tens of milliseconds. */
const BUSY_PAUSE_MS = 5_000;
/** Removed in one go: a folder is a dozen files to unlink, milliseconds on a slow medium. */
const AT_ONCE = 20;
/** While tasks end faster than that, tidying up waits, until this many are left over. Then it keeps pace with them. */
const MOST = 2_000;

export interface KeptFoldersWorld {
  readonly clock: Clock;
  readonly log: Log;
  readonly launcher: Launcher;
  readonly durable: DurableState;
}

/** Folders of ended runs, kept for readers of their output: for ten minutes, and the newest 200 for a day at most. Then the run is forgotten. */
export class KeptFolders {
  readonly #world: KeptFoldersWorld;
  /** Run → when it came here, oldest first. */
  readonly #kept = new Map<string, number>();
  #timer: Timer | undefined;
  /** Since the last look. */
  #added = 0;
  /** So many were, at the last look, that tasks end one behind the other. */
  #rush = false;
  #stopped = false;

  constructor(world: KeptFoldersWorld) {
    this.#world = world;
  }

  get size(): number {
    return this.#kept.size;
  }

  add(run: string): void {
    if (this.#kept.has(run)) return;
    this.#kept.set(run, this.#world.clock.monotonic());
    this.#added++;
    if (this.#timer === undefined || this.#kept.size === KEPT + 1 || this.#kept.size === MOST + 1) this.#arm();
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
    const { size } = this.#kept;
    const keptMs = size > MOST ? 0 : size > KEPT ? YOUNG_MS : KEPT_MS;
    const pauseMs = size > MOST && this.#rush ? BUSY_PAUSE_MS : PAUSE_MS;
    const wait = Math.max(pauseMs, oldest + keptMs - clock.monotonic());
    this.#timer = clock.after(Math.ceil(wait), () => void this.#sweep().finally(() => this.#arm()));
  }

  async #sweep(): Promise<void> {
    const { clock, launcher, durable, log } = this.#world;
    this.#rush = this.#added > AT_ONCE;
    const busy = this.#rush && this.#kept.size <= MOST;
    const enough = Math.max(AT_ONCE, Math.min(this.#added, this.#kept.size - MOST));
    this.#added = 0;
    if (busy) return;
    const old: string[] = [];
    for (const [run, sinceMs] of this.#kept) {
      const left = this.#kept.size - old.length;
      const keptMs = left > MOST ? 0 : left > KEPT ? YOUNG_MS : KEPT_MS;
      const isOver = sinceMs + keptMs <= clock.monotonic();
      if (old.length >= enough || !isOver) break;
      old.push(run);
    }
    if (old.length === 0) return;
    // What could not be removed is only litter: a run of that name never comes again.
    await launcher.remove(...old).catch((error: unknown) => log.warn('folders not removed', { error: String(error) }));
    for (const run of old) this.#kept.delete(run);
    durable.later(old.map((run) => ({ kind: 'FORGOTTEN', run })));
  }
}
