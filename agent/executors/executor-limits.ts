import type { Launcher, StartLimits } from '../../io/launcher.ts';
import type { Log } from '../../io/log.ts';
import type { Run } from '../checkpoint/state.ts';
import { executorConfinement } from '../isolation/confinement.ts';

export interface ExecutorLimitsWorld {
  readonly launcher: Launcher;
  readonly log: Log;
  readonly folder: string;
}

/**
 * What an executor's process is held to: what its live tasks are, together (Mesos: the container of an executor is updated
 * as tasks come and go). Kept nowhere: it follows from the tasks, which are durable, and the kernel has it. An executor
 * without tasks stays as the last of them left it.
 */
export class ExecutorLimits {
  readonly #world: ExecutorLimitsWorld;
  readonly #live: () => readonly Run[];
  /** The tasks that the last change was made for, whatever came of it. */
  #counted: ReadonlySet<string> = new Set();
  /** What holds; undefined where that is not known, or not what it should be. */
  #held: string | undefined;
  /** One change at a time: the last one is the one that stays. */
  #turn: Promise<void> = Promise.resolve();
  #next: Promise<void> | undefined;
  #warned = false;

  /** `live`: its tasks that have not ended; none once nobody looks after it any more. */
  constructor(world: ExecutorLimitsWorld, live: () => readonly Run[]) {
    this.#world = world;
    this.#live = live;
  }

  /** Starts its process under what its tasks need now. Rejects as `launch` does. */
  start(launch: (limits: StartLimits) => Promise<void>): Promise<void> {
    return this.#inTurn(async () => {
      const runs = this.#live();
      const limits = this.#limitsOf(runs);
      await launch(limits);
      this.#counted = namesOf(runs);
      this.#held = JSON.stringify(limits);
    });
  }

  /** Whether its limits were made for these tasks among others: before that it is not to have them. */
  covers(runs: readonly Run[]): boolean {
    return this.#world.launcher.isolation.cgroups === 'none' || runs.every(({ run }) => this.#counted.has(run));
  }

  /** Resolves when it is held to what its live tasks need, or cannot be. */
  follow(): Promise<void> {
    this.#next ??= this.#inTurn(() => {
      this.#next = undefined;
      return this.#change();
    });
    return this.#next;
  }

  async #change(): Promise<void> {
    const { launcher, folder } = this.#world;
    const runs = this.#live();
    if (runs.length === 0 || launcher.isolation.cgroups === 'none') return;
    const limits = this.#limitsOf(runs);
    const wanted = JSON.stringify(limits);
    if (wanted !== this.#held) {
      this.#held = undefined;
      try {
        const change = await launcher.limit(folder, limits);
        if (change === 'held') this.#held = wanted;
        if (change === 'absent') this.#warn('it has no control group (any more)');
      } catch (error) {
        this.#warn(String(error));
      }
    }
    this.#counted = namesOf(runs);
  }

  #limitsOf(runs: readonly Run[]): StartLimits {
    return executorConfinement(
      runs.map(({ info }) => info),
      this.#world.launcher.isolation,
    );
  }

  /** Once: what cannot be done for one task cannot be done for the next. */
  #warn(reason: string): void {
    if (this.#warned || this.#live().length === 0) return;
    this.#warned = true;
    this.#world.log.warn('limits of an executor do not follow its tasks', { folder: this.#world.folder, reason });
  }

  #inTurn(act: () => Promise<void>): Promise<void> {
    const turn = this.#turn.then(act);
    this.#turn = turn.catch(() => undefined);
    return turn;
  }
}

function namesOf(runs: readonly Run[]): ReadonlySet<string> {
  return new Set(runs.map(({ run }) => run));
}
