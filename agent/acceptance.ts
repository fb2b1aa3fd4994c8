import type { Clock, Timer } from '../io/clock.ts';
import type { LateEngine } from '../io/late-engine.ts';
import type { Log } from '../io/log.ts';
import type { AGENT_UP } from '../protocol/agent-link.ts';
import { cut, type Outgoing } from '../protocol/envelope.ts';
import { Fault } from '../protocol/faults.ts';
import { LIMITS } from '../protocol/limits.ts';
import type { Resources } from '../protocol/resources.ts';
import type { TaskKey } from '../protocol/task.ts';
import { hasEnded, type Run, runName } from './checkpoint/state.ts';
import {
  chooseDevices,
  type GivenDevice,
  type HeldDevice,
  type OwnDevice,
  wantedDevices,
} from './devices/choose-devices.ts';
import { type DurableState, isFull } from './durable-state.ts';
import { containerBar } from './executors/container-task.ts';
import type { ImageWorld } from './image-keeper.ts';
import { type ArtifactOptions, artifactBar } from './run-artifacts.ts';
import type { Command, Session } from './session.ts';
import type { Volumes } from './volumes.ts';

/** How long the word that a launch was accepted may wait: a report about the run, which comes sooner, says it as well. */
const ANSWER_MS = 100;
/** The same where reports wait for each other. */
const METERED_ANSWER_MS = 2_500;

export type Launch = Extract<Command, { type: 'RUN' }>['tasks'][number];

/** Where containers run: their engine, which may come and go, what they may be given, the room for fetched images. */
export interface ContainerWorld extends ImageWorld {
  readonly engine: ImageWorld['engine'] & Pick<LateEngine, 'there' | 'look'>;
  /** Paths of the machine. */
  readonly mounts: readonly string[];
}

/** A kill that came for a launch before it was accepted. */
export interface EarlyKill {
  readonly graceMs: number;
  /** The framework hears TASK_KILLING. */
  readonly tell: boolean;
}

/** A launch on its way to the disk. */
interface Accepting {
  readonly graceMs: number;
  kill: EarlyKill | undefined;
  readonly resources: Resources;
  readonly devices: readonly GivenDevice[];
}

export interface AcceptanceWorld {
  readonly clock: Clock;
  readonly log: Log;
  readonly durable: DurableState;
  readonly agentName: string;
  readonly metered: boolean;
  readonly containers: ContainerWorld | undefined;
  readonly artifacts: ArtifactOptions | undefined;
  readonly volumes: Pick<Volumes, 'make'>;
  /** What there is to choose from. */
  readonly found: () => { readonly devices: readonly OwnDevice[]; readonly kinds: ReadonlySet<string> };
  /** Runs that are remembered only until they can be forgotten. */
  readonly forgettable: () => number;
  /** To the leader, as {@link Session.send}. */
  readonly send: (message: Outgoing<typeof AGENT_UP>, isAnswered?: boolean) => boolean;
}

export interface AcceptanceListener {
  /** Durable, and to be started; or, where a kill came meanwhile, started and ended. */
  readonly accepted: (run: Run, kill: EarlyKill | undefined) => void;
  readonly refused: (launch: Launch) => void;
  /** These were accepted before: their reports may not have been heard. */
  readonly known: (runs: readonly string[]) => void;
}

/** Takes launches on: chooses what each is given, makes that durable, answers the leader, and only then has them start. */
export class Acceptance {
  readonly #world: AcceptanceWorld;
  readonly #listener: AcceptanceListener;
  /** Launches that are on their way to the disk, by run. */
  readonly #accepting = new Map<string, Accepting>();
  /** Accepted, and neither said so nor reported on, by run. */
  readonly #unanswered = new Map<string, TaskKey>();
  #answering: Timer | undefined;

  constructor(world: AcceptanceWorld, listener: AcceptanceListener) {
    this.#world = world;
    this.#listener = listener;
  }

  /** What launches on their way are about to take. */
  *resources(): Generator<Resources> {
    for (const { resources } of this.#accepting.values()) yield resources;
  }

  /** Accepts durably, answers, then starts. What is known already is only answered again. */
  async accept(tasks: readonly Launch[], epoch: number): Promise<void> {
    const { state } = this.#world.durable;
    const known = tasks.filter((launch) => state.runs.has(nameOf(launch)));
    const fresh = new Map<string, Launch>();
    // What an earlier message brings is on its way to the disk: that one answers.
    for (const launch of tasks) {
      const name = nameOf(launch);
      if (!state.runs.has(name) && !this.#accepting.has(name)) fresh.set(name, launch);
    }
    await this.#lookForEngine(fresh);
    const lacking = this.#giveDevices(fresh);
    for (const name of lacking.keys()) fresh.delete(name);
    const refused = (await this.#makeVolumes(fresh)) ?? (await this.#promise(fresh, epoch));
    if (epoch === state.epoch) {
      this.#answer(refused === undefined ? [...known, ...fresh.values()] : known);
      this.#refuse(epoch, [
        ...lacking.values(),
        ...(refused === undefined ? [] : [...fresh.values()].map((launch) => ({ launch, fault: refused }))),
      ]);
    }
    if (known.length > 0) this.#listener.known(known.map(nameOf));
    for (const name of fresh.keys()) {
      const kill = this.#accepting.get(name)?.kill;
      this.#accepting.delete(name);
      const run = refused === undefined ? state.runs.get(name) : undefined;
      if (run !== undefined) this.#listener.accepted(run, kill);
    }
  }

  /** Remembers a kill for a launch on its way; false where that run is none. `graceMs`: default what the launch says. */
  kill(name: string, graceMs: number | undefined, tell: boolean): boolean {
    const accepting = this.#accepting.get(name);
    if (accepting === undefined) return false;
    accepting.kill = {
      graceMs: Math.min(accepting.kill?.graceMs ?? Infinity, graceMs ?? accepting.graceMs),
      tell: tell || (accepting.kill?.tell ?? false),
    };
    return true;
  }

  /** The leader hears of these by reports. */
  reported(tasks: readonly TaskKey[]): void {
    for (const { framework, task, attempt } of tasks) this.#unanswered.delete(runName(framework, task, attempt));
    if (this.#unanswered.size > 0) return;
    // The next launch has its full time.
    this.#answering?.cancel();
    this.#answering = undefined;
  }

  stop(): void {
    this.#answering?.cancel();
  }

  #refuse(epoch: number, refused: readonly { readonly launch: Launch; readonly fault: Fault }[]): void {
    if (refused.length === 0) return;
    for (const { launch } of refused) this.#listener.refused(launch);
    const faults = refused.map(({ launch, fault }) => ({ ...keyOf(launch), fault }));
    this.#world.send({ type: 'ACCEPTED', epoch, tasks: [], refused: faults });
  }

  /** Where there was no engine, one may have come since. What is launched counts as on its way meanwhile. */
  async #lookForEngine(fresh: ReadonlyMap<string, Launch>): Promise<void> {
    const { containers } = this.#world;
    if (containers === undefined || containers.engine.there) return;
    if (![...fresh.values()].some(({ info }) => info.container !== undefined)) return;
    for (const [run, { info }] of fresh)
      this.#accepting.set(run, { graceMs: info.killGraceMs, kill: undefined, resources: info.resources, devices: [] });
    await containers.engine.look();
  }

  /** Chooses devices for launches before they are accepted; those for which there are too few come back. */
  #giveDevices(fresh: ReadonlyMap<string, Launch>): Map<string, { launch: Launch; fault: Fault }> {
    const { agentName, containers, artifacts, found } = this.#world;
    const { devices, kinds } = found();
    const lacking = new Map<string, { launch: Launch; fault: Fault }>();
    for (const [run, launch] of fresh) {
      const mounts = containers?.engine.there === true ? containers.mounts : undefined;
      const barred =
        containerBar(launch.info.container, mounts, agentName) ?? artifactBar(launch.info, artifacts, agentName);
      // What came to kill it while an engine was looked for.
      const kill = this.#accepting.get(run)?.kill;
      this.#accepting.delete(run);
      if (barred !== undefined) {
        lacking.set(run, { launch, fault: barred });
        continue;
      }
      const { resources, killGraceMs } = launch.info;
      const wanted = wantedDevices(resources, kinds);
      // Who wants none need not know what all others have.
      const held = wanted.size === 0 ? [] : [...this.#heldDevices()];
      const chosen = chooseDevices(devices, held, wanted);
      if ('kind' in chosen) {
        const { kind, wanted: count, free } = chosen;
        const message = `agent ${agentName} has ${free} free of ${kind}: not ${count}`;
        lacking.set(run, { launch, fault: new Fault('LIMIT', message) });
      } else this.#accepting.set(run, { graceMs: killGraceMs, kill, resources, devices: chosen });
    }
    return lacking;
  }

  *#heldDevices(): Generator<HeldDevice> {
    for (const run of this.#world.durable.state.runs.values()) if (!hasEnded(run)) yield* run.devices;
    for (const { devices } of this.#accepting.values()) yield* devices;
  }

  /** What is launched together and asks for volumes is refused together, where one of them cannot be made. */
  async #makeVolumes(fresh: ReadonlyMap<string, Launch>): Promise<Fault | undefined> {
    for (const { info } of fresh.values()) {
      if (!info.resources.some(({ volume }) => volume !== undefined)) continue;
      const fault = await this.#world.volumes.make(info.resources);
      if (fault !== undefined) return fault;
    }
    return undefined;
  }

  /** Makes launches durable; the fault if it cannot. */
  async #promise(fresh: ReadonlyMap<string, Launch>, epoch: number): Promise<Fault | undefined> {
    if (fresh.size === 0) return undefined;
    const { agentName, log, durable, forgettable } = this.#world;
    const known = durable.state.runs.size - forgettable();
    if (known + this.#accepting.size > LIMITS.tasksPerAgent)
      return new Fault('LIMIT', `agent ${agentName} has ${known} tasks; the limit is ${LIMITS.tasksPerAgent}`);
    try {
      await durable.promise(
        [...fresh].map(([run, { framework, info }]) => {
          const devices = this.#accepting.get(run)?.devices ?? [];
          return { kind: 'ACCEPTED', framework, info, epoch, ...(devices.length === 0 ? {} : { devices }) };
        }),
      );
      return undefined;
    } catch (error) {
      log.error('launches refused: the disk took no acceptance', { error: String(error) });
      return new Fault(
        'DISK',
        isFull(error)
          ? `the disk of agent ${agentName} is full`
          : `the disk of agent ${agentName} failed: ${String(error)}`,
      );
    }
  }

  /** Says that these were accepted, unless a report about them says it before. */
  #answer(launches: readonly Launch[]): void {
    for (const launch of launches) this.#unanswered.set(nameOf(launch), keyOf(launch));
    if (launches.length === 0 || this.#answering !== undefined) return;
    const { clock, durable, metered, send } = this.#world;
    this.#answering = clock.after(metered ? METERED_ANSWER_MS : ANSWER_MS, () => {
      this.#answering = undefined;
      const tasks = [...this.#unanswered.values()];
      this.#unanswered.clear();
      for (const part of cut(tasks, LIMITS.partBytes, LIMITS.tasksPerMessage)) {
        if (part.length > 0) send({ type: 'ACCEPTED', epoch: durable.state.epoch, tasks: part, refused: [] }, true);
      }
    });
  }
}

function keyOf({ framework, info }: Launch): TaskKey {
  return { framework, task: info.task, attempt: info.attempt };
}

/** The name of the run that a launch becomes. */
export function nameOf({ framework, info }: Launch): string {
  return runName(framework, info.task, info.attempt);
}
