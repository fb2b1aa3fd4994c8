import type { Clock } from '../io/clock.ts';
import type { Launcher, TaskSpent, TaskStart } from '../io/launcher.ts';
import type { Log } from '../io/log.ts';
import type { Run } from './checkpoint/state.ts';
import type { OwnDevice } from './devices/choose-devices.ts';
import { deviceNodes } from './devices/device-environment.ts';
import { type DurableState, isFull } from './durable-state.ts';
import { environmentOf } from './executors/command.ts';
import { containerTask } from './executors/container-task.ts';
import { confinementOf } from './isolation/confinement.ts';
import type { Live } from './live-run.ts';
import type { RunArtifacts } from './run-artifacts.ts';
import type { Actual } from './tasks/plan.ts';

export interface RunStartsWorld {
  readonly clock: Clock;
  readonly log: Log;
  readonly launcher: Launcher;
  readonly durable: DurableState;
  readonly agentName: string;
  /** Absolute path of a task folder. */
  readonly pathOf: (folder: string) => string;
  /** Absolute path below which volumes are. */
  readonly volumesRoot: string;
  /** GPUs and accelerators of the machine. */
  readonly devices: () => readonly OwnDevice[];
  readonly artifacts: RunArtifacts;
}

export interface RunStartsListener {
  readonly live: (run: string) => Live | undefined;
  /** It came to nothing. */
  readonly noticed: (folder: string, actual: Actual, usage?: TaskSpent) => void;
  /** What it needs is being fetched. */
  readonly fetching: (folder: string, words: string) => void;
  /** The launcher has it. */
  readonly advance: (run: string) => void;
}

/** Makes starts of runs into what the launcher takes, with what they need beside them. */
export class RunStarts {
  readonly #world: RunStartsWorld;
  readonly #listener: RunStartsListener;
  /** Handed to the launcher, or about to be, and not seen to run. */
  readonly #unbegun = new Set<string>();
  #stopped = false;

  constructor(world: RunStartsWorld, listener: RunStartsListener) {
    this.#world = world;
    this.#listener = listener;
  }

  /** How many wait for the launcher. */
  get unbegun(): number {
    return this.#unbegun.size;
  }

  /** Its process was seen, or there will be none. */
  begun(run: string): void {
    this.#unbegun.delete(run);
  }

  stop(): void {
    this.#stopped = true;
  }

  /** Hands the newest start to the launcher, when what it needs is here. */
  async launch(run: Run): Promise<void> {
    const { launcher, log } = this.#world;
    const live = this.#listener.live(run.run);
    if (live === undefined) return;
    const folder = folderOf(run);
    if (run.info.artifacts !== undefined && !(await this.#bring(run, live, folder))) return;
    live.launching = true;
    this.#unbegun.add(run.run);
    try {
      const { limits } = confinementOf(run.info, launcher.isolation);
      await launcher.launch({
        folder,
        argv: run.info.argv,
        environment: this.environmentOf(run),
        devices: deviceNodes(run.devices),
        limits,
        ...this.#containerOf(run),
      });
    } catch (error) {
      live.launching = false;
      if (this.#stopped) return;
      log.warn('launch failed', { run: run.run, error: String(error) });
      this.#listener.noticed(folder, {
        kind: 'unstarted',
        reason: isFull(error) ? 'AGENT_DISK_FULL' : 'LAUNCH_FAILED',
        message: error instanceof Error ? error.message : String(error),
      });
      return;
    }
    live.launching = false;
    live.launchedMs = this.#world.clock.monotonic();
    this.#world.artifacts.started(run);
    // Its process may have been seen, or a kill asked for, while the folder was made.
    this.#listener.advance(run.run);
  }

  /** False where it is not to start: what it needs cannot be had, or it was ended meanwhile. */
  async #bring(run: Run, live: Live, folder: string): Promise<boolean> {
    if (live.kill !== undefined || this.#world.artifacts.isBusy(folder)) return false;
    const found = await this.#world.artifacts.bring(run, folder, (words) => this.#listener.fetching(folder, words));
    if (found !== undefined && found !== 'withdrawn') this.#listener.noticed(folder, { kind: 'unstarted', ...found });
    return found === undefined && !this.#stopped && live.kill === undefined && live.actual.kind === 'launched';
  }

  #containerOf(run: Run): Pick<TaskStart, 'container'> {
    const { container } = run.info;
    if (container === undefined) return {};
    const environment = this.environmentOf(run);
    const [sandbox, volumes, devices] = [this.sandboxOf(run), this.#world.volumesRoot, deviceNodes(run.devices)];
    return { container: containerTask(run.info, container, { environment, sandbox, volumes, devices }) };
  }

  environmentOf(run: Run): Record<string, string> {
    const { durable, agentName } = this.#world;
    return environmentOf(run, {
      agentName,
      agent: durable.state.agent ?? '',
      sandbox: this.sandboxOf(run),
      volumes: this.#world.volumesRoot,
      devices: this.#world.devices(),
    });
  }

  /** Absolute. */
  sandboxOf(run: Run): string {
    return `${this.#world.pathOf(folderOf(run))}/work`;
  }
}

/** Of its newest start, below the launcher's root. */
export function folderOf({ run, restart }: Run): string {
  return `${run}/${restart}`;
}
