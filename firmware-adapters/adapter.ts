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

/** What a kind of machine can do for the cluster. */
export interface Capabilities {
  /** Runs programs of ours; a microcontroller that only obeys its firmware does not. */
  readonly processes: boolean;
}

/** What an adapter found. It never fails: what could not be read has its default here, and a note. */
export interface Probe {
  readonly resources: Resources;
  readonly attributes: Attributes;
  readonly identity: Identity;
  /** Changes with every boot; empty where the machine does not say. */
  readonly boot: string;
  readonly hostname: string;
  /** For people: what had to be guessed, and why. */
  readonly notes: readonly string[];
}

/** One kind of machine, and how to ask it. */
export interface FirmwareAdapter {
  /** Its name in the catalog. */
  readonly name: string;
  readonly capabilities: Capabilities;
  /** Asks the machine. Every single read is limited in time and size; never rejects. */
  probe(): Promise<Probe>;
}
