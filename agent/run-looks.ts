import type { Clock, Timer } from '../io/clock.ts';
import type { Launcher, TaskSpent } from '../io/launcher.ts';
import type { Log } from '../io/log.ts';
import type { Run } from './checkpoint/state.ts';
import type { DurableState } from './durable-state.ts';
import { type Live, withdrawn } from './live-run.ts';
import type { RunArtifacts } from './run-artifacts.ts';
import { folderOf } from './run-starts.ts';
import type { Actual } from './tasks/plan.ts';

/** How often a task without a supervisor is asked after. */
const UNSUPERVISED_MS = 1_000;
/** How often every task is: a supervisor that somebody killed says nothing. */
const LOOK_MS = 60_000;

export interface RunLooksWorld {
  readonly clock: Clock;
  readonly log: Log;
  readonly launcher: Launcher;
  readonly durable: DurableState;
  readonly artifacts: RunArtifacts;
}

export interface RunLooksListener {
  readonly live: ReadonlyMap<string, Live>;
  readonly noticed: (folder: string, actual: Actual, usage?: TaskSpent) => void;
  /** It was accepted and never started. */
  readonly launch: (run: Run) => Promise<void>;
  /** The launcher has it. */
  readonly advance: (run: string) => void;
}

/** Finds out what became of starts of which no notice may come: after a restart, and where a supervisor was killed. */
export class RunLooks {
  readonly #world: RunLooksWorld;
  readonly #listener: RunLooksListener;
  #looking: Timer | undefined;
  #stopped = false;

  constructor(world: RunLooksWorld, listener: RunLooksListener) {
    this.#world = world;
    this.#listener = listener;
  }

  stop(): void {
    this.#stopped = true;
    this.#looking?.cancel();
  }

  /** What became of the newest start while nobody looked. */
  async lookAfter(run: Run, live: Live): Promise<void> {
    const { launcher, log } = this.#world;
    const folder = folderOf(run);
    // A reboot ends an attempt that is never restarted, also one that waited to begin.
    const over = live.rebooted && run.info.restart === 'never';
    try {
      const found = await launcher.adopt(folder);
      switch (found.state) {
        case 'missing':
          // Accepted, and the agent died before the folder was made: it never started.
          if (over) return this.#listener.noticed(folder, { kind: 'vanished' });
          if (live.kill === undefined) return void this.#listener.launch(run);
          return this.#listener.noticed(folder, withdrawn());
        case 'unclaimed':
          if (!over && live.kill === undefined) {
            await launcher.resend(folder);
            live.launchedMs ??= this.#world.clock.monotonic();
            return this.#listener.advance(run.run);
          }
          if (!(await launcher.claim(folder))) return await this.lookAfter(run, live);
          return this.#listener.noticed(folder, over ? { kind: 'vanished' } : withdrawn());
        case 'withdrawn':
          if (over) return this.#listener.noticed(folder, { kind: 'vanished' });
          // Nobody can start it any more: the next number starts in its place, unless it was to be killed.
          return this.#listener.noticed(folder, { kind: 'waiting', untilMs: this.#world.clock.monotonic() });
        case 'running':
          this.#listener.noticed(folder, { kind: 'running' });
          if (!found.supervised) this.#askAgain(run, live);
          return;
        case 'exited':
          return this.#listener.noticed(
            folder,
            { kind: 'exited', code: found.code, outOfMemory: found.outOfMemory, message: found.message },
            found.usage,
          );
        case 'vanished':
          return this.#listener.noticed(folder, { kind: 'vanished' });
      }
    } catch (error) {
      if (this.#stopped) return;
      log.warn('task not looked after', { run: run.run, error: String(error) });
      this.#askAgain(run, live);
    }
  }

  /** No notice will come of it, so its process is looked at. */
  #askAgain(run: Run, live: Live): void {
    live.asking ??= this.#world.clock.after(UNSUPERVISED_MS, () => {
      live.asking = undefined;
      this.#lookAgain(run.run, live);
    });
  }

  /** Looks at everything now and then; rests while nothing runs. */
  arm(): void {
    if (this.#stopped || this.#listener.live.size === 0) return;
    this.#looking ??= this.#world.clock.after(LOOK_MS, () => {
      this.#looking = undefined;
      this.lookAfterAll();
      this.arm();
    });
  }

  lookAfterAll(): void {
    for (const [name, live] of this.#listener.live) this.#lookAgain(name, live);
  }

  /** What is being made, taken back, or waits for its next start needs no look. */
  #lookAgain(name: string, live: Live): void {
    const run = this.#world.durable.state.runs.get(name);
    const { kind } = live.actual;
    if (this.#stopped || run === undefined || this.#listener.live.get(name) !== live) return;
    if (live.asking !== undefined || live.launching || this.#world.artifacts.isBusy(folderOf(run))) return;
    if (kind === 'running' || (kind === 'launched' && live.kill === undefined)) void this.lookAfter(run, live);
  }
}
