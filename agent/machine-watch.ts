import type { Clock, Timer } from '../io/clock.ts';
import type { Log } from '../io/log.ts';
import { attributeOf } from '../protocol/attributes.ts';
import { LIMITS } from '../protocol/limits.ts';
import type { Resources } from '../protocol/resources.ts';
import type { OwnDevice } from './devices/choose-devices.ts';
import {
  type Condition,
  holding,
  type Judgement,
  judge,
  NOT_JUDGED,
  type Reading,
  type Thresholds,
} from './health/conditions.ts';
import { healthAttributes, offeredResources, offersNothingMore } from './health/effects.ts';
import { METERED_PACE, PACE, type Reported, significanceOf } from './reporting/significance.ts';

/** How often the machine is looked at again, and how often it is asked how it is. */
const PROBE_MS = 300_000;
const SAMPLE_MS = 30_000;

/** What was found of a machine. */
export interface Found extends Reported {
  readonly devices: readonly OwnDevice[];
}

/** How it is. */
export interface MachineReading extends Reading {
  /** When this changes, so has what the machine can offer. */
  readonly cpusOnline?: number;
  /** So has it when another engine for containers is there, or none any more. */
  readonly engine?: string;
}

export interface WatchedMachine {
  readonly found: Found;
  /** Looks again; absent where nothing about the machine can change. */
  readonly probe?: () => Promise<Found>;
  /** Asks how it is; absent where nobody wants to know. */
  readonly sample?: () => Promise<MachineReading>;
  /** The first answer to that, from before the agent began. */
  readonly reading?: MachineReading;
  readonly thresholds?: Thresholds;
  readonly clock: Clock;
  readonly log: Log;
  /** The link costs money by the byte: what can wait is told seldom. Default false. */
  readonly metered?: boolean;
  /** What became of a thought of telling the master. */
  readonly onReport?: (fate: 'sent' | 'insignificant' | 'soon') => void;
  /** What runs here has taken. */
  readonly used: () => Resources;
}

/**
 * Looks at the machine again and again: what it has, and how it is. Tells when what the master knows of it is no longer
 * so; nothing of it is written to the disk.
 */
export class MachineWatch {
  readonly #machine: WatchedMachine;
  readonly #changed: (reported: Reported) => void;
  #found: Found;
  #reading: MachineReading;
  #judgement: Judgement;
  #reported: Reported;
  #reportedMs: number;
  /** Kinds of devices that were ever here: where one is gone, nobody who wants it may start without. */
  readonly #kinds = new Set<string>();
  #probing: Timer | undefined;
  #sampling: Timer | undefined;
  #stopped = false;

  constructor(machine: WatchedMachine, changed: (reported: Reported) => void) {
    this.#machine = machine;
    this.#changed = changed;
    this.#found = machine.found;
    this.#reading = machine.reading ?? {};
    this.#judgement = judge(NOT_JUDGED, this.#reading, machine.thresholds);
    this.#remember(machine.found);
    this.#reported = this.#told();
    this.#reportedMs = machine.clock.monotonic();
    this.#log(new Set(), holding(this.#judgement));
  }

  /** What a master is to know. */
  get reported(): Reported {
    return this.#reported;
  }

  get devices(): readonly OwnDevice[] {
    return this.#found.devices;
  }

  get kinds(): ReadonlySet<string> {
    return this.#kinds;
  }

  start(): void {
    this.#armProbe();
    this.#armSample();
  }

  /** Something that ran has ended. Where nothing is offered beside what runs, nobody may be offered what it had. */
  ended(): void {
    if (offersNothingMore(holding(this.#judgement))) this.#tell();
  }

  stop(): void {
    this.#stopped = true;
    this.#probing?.cancel();
    this.#sampling?.cancel();
  }

  #remember({ devices }: Found): void {
    for (const { kind } of devices) this.#kinds.add(kind);
  }

  #armProbe(): void {
    if (this.#machine.probe === undefined || this.#stopped) return;
    this.#probing?.cancel();
    this.#probing = this.#machine.clock.after(PROBE_MS, () => void this.#probe());
  }

  async #probe(): Promise<void> {
    const { probe, log } = this.#machine;
    this.#probing?.cancel();
    try {
      const found = await probe?.();
      if (found !== undefined) this.#found = found;
      this.#remember(this.#found);
      this.#tell();
    } catch (error) {
      log.warn('machine not looked at', { error: String(error) });
    }
    this.#armProbe();
  }

  #armSample(): void {
    if (this.#machine.sample === undefined || this.#stopped) return;
    this.#sampling = this.#machine.clock.after(SAMPLE_MS, () => void this.#sample());
  }

  async #sample(): Promise<void> {
    const { sample, thresholds, log } = this.#machine;
    try {
      const before = this.#reading;
      const reading = (await sample?.()) ?? {};
      const held = holding(this.#judgement);
      this.#reading = reading;
      this.#judgement = judge(this.#judgement, reading, thresholds);
      this.#log(held, holding(this.#judgement));
      const cpus = reading.cpusOnline !== before.cpusOnline && reading.cpusOnline !== undefined;
      if (cpus || reading.engine !== before.engine) await this.#probe();
      else this.#tell();
    } catch (error) {
      log.warn('machine not asked how it is', { error: String(error) });
    }
    this.#armSample();
  }

  #told(): Reported {
    const held = holding(this.#judgement);
    const { resources, attributes } = this.#found;
    return {
      resources: held.size === 0 ? resources : offeredResources(resources, this.#machine.used(), held),
      // What a person said stands.
      attributes: [
        ...attributes,
        ...healthAttributes(held, this.#reading).filter(({ name }) => attributeOf(attributes, name) === undefined),
      ].slice(0, LIMITS.attributes),
    };
  }

  #tell(): void {
    const now = this.#told();
    if (this.#stopped) return;
    const { clock, metered = false, onReport } = this.#machine;
    const nowMs = clock.monotonic();
    const pace = metered ? METERED_PACE : PACE;
    const significance = significanceOf(this.#reported, now, nowMs - this.#reportedMs, pace);
    onReport?.(significance === 'significant' ? 'sent' : significance);
    if (significance !== 'significant') return;
    this.#reported = now;
    this.#reportedMs = nowMs;
    this.#changed(now);
  }

  #log(before: ReadonlySet<Condition>, after: ReadonlySet<Condition>): void {
    const { log } = this.#machine;
    const { temperatureC, battery, diskUsed } = this.#reading;
    const facts = { temperatureC, battery, diskUsed };
    for (const condition of after)
      if (!before.has(condition)) log.warn(`the machine is in trouble: ${condition}`, facts);
    for (const condition of before) if (!after.has(condition)) log.info(`no more: ${condition}`, facts);
  }
}
