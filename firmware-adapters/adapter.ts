import type { DeviceFiles } from '../io/device-files.ts';
import type { Identity } from '../protocol/agent-link.ts';
import type { Attributes } from '../protocol/attributes.ts';
import type { Resources } from '../protocol/resources.ts';

/** What an adapter is given: the world as it may see it. */
export interface Surroundings {
  readonly files: DeviceFiles;
  /** The agent's data folder: its file system is the disk on offer. */
  readonly dataFolder: string;
}

/** Something that the firmware does when it is told to. */
export interface Action {
  readonly name: string;
  /** For people, in a few words. */
  readonly about: string;
}

/** What a kind of machine can do for the cluster. */
export interface Capabilities {
  /** Runs programs of ours; a microcontroller that only obeys its firmware does not: tasks on it are actions. */
  readonly processes: boolean;
  readonly actions: readonly Action[];
}

/** A GPU or an accelerator, as a task is given it. */
export interface Device {
  /** The name of the resource that counts it: `gpus`, `hailo`, `coral`, `npu`, … */
  readonly kind: string;
  /** Stays with the device while it is there, over reboots where the hardware allows it: a UUID, a place on a bus. */
  readonly id: string;
  /** How many tasks may have it at once. Default 1. */
  readonly slots?: number;
  /** For a task that has it; of several devices the values of one name are joined with commas, each once. */
  readonly environment: Readonly<Record<string, string>>;
  /** Paths below `/dev` that it is used through: files, or folders for all in them. */
  readonly nodes: readonly string[];
}

/** What an adapter found. What could not be read has its default here, and a note. */
export interface Finding {
  /** Without its devices: what of them is on offer, the agent counts. */
  readonly resources: Resources;
  readonly attributes: Attributes;
  readonly devices: readonly Device[];
  /** For people: what had to be guessed, and why. */
  readonly notes: readonly string[];
}

/** What is found of a whole machine. */
export interface Probe extends Finding {
  readonly identity: Identity;
  /** Changes with every boot; empty where the machine does not say. */
  readonly boot: string;
  readonly hostname: string;
}

/** How a machine is, now. What it does not say is absent; what several adapters say, the worst of it counts. */
export interface Sample {
  /** Of the hottest sensor of the board, in degrees Celsius. */
  readonly temperatureC?: number;
  /** Of the hottest card: those are made for more. */
  readonly acceleratorC?: number;
  /** Slower than it could be, by heat or by the supply. */
  readonly throttled?: boolean;
  readonly throttledSinceBoot?: boolean;
  readonly underVoltage?: boolean;
  readonly underVoltageSinceBoot?: boolean;
  /** What the parts that say so draw, together. */
  readonly powerW?: number;
  /** Of the file system with the data folder: how much is used, 0 to 1. */
  readonly diskUsed?: number;
  /** What may still be written there, in MB of 2^20 bytes. */
  readonly diskFreeMb?: number;
  /** How much of its life the flash has behind it, 0 to 1; above 1 when it has exceeded it. */
  readonly wear?: number;
  /** How busy the GPUs or accelerators are, 0 to 1: the busiest. */
  readonly acceleratorLoad?: number;
  /** 0 to 1. */
  readonly battery?: number;
  /** Runs from the battery, and is not charged. */
  readonly onBattery?: boolean;
  /** The link out costs by the byte. */
  readonly metered?: boolean;
  /** Power modes of some boards switch cores off and on: when this changes, the machine is to be probed again. */
  readonly cpusOnline?: number;
}

/** How an action ended. */
export interface ActionEnd {
  readonly done: boolean;
  /** For people: what became of it, or why not. */
  readonly message: string;
}

/** One kind of board, firmware or accelerator, and how to ask it. Every single read is limited in time and size. */
export interface FirmwareAdapter<Found extends Finding = Finding> {
  /** Its name in the catalog. */
  readonly name: string;
  readonly capabilities: Capabilities;
  /** Asks what there is; undefined where nothing of its kind is there. Never rejects. */
  probe(): Promise<Found | undefined>;
  /** Asks how it is; empty where it does not say. Never rejects. */
  sample(): Promise<Sample>;
  /** Does one of `capabilities.actions`. Never rejects; an action that it does not have is not done. */
  act(action: string, value: string): Promise<ActionEnd>;
}
