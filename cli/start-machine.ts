import { statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { AgentMachine } from '../agent/agent.ts';
import {
  countDevices,
  cutDevices,
  type DeviceWishes,
  deviceName,
  namesOf,
  slotsOf,
} from '../agent/devices/cut-devices.ts';
import { THRESHOLDS, type Thresholds } from '../agent/health/conditions.ts';
import { writtenThresholds } from '../agent/health/written-thresholds.ts';
import type { Found } from '../agent/machine-watch.ts';
import type { Probe } from '../firmware-adapters/adapter.ts';
import { type Machine, machineOf } from '../firmware-adapters/machine.ts';
import { deviceFiles } from '../io/node/device-files.ts';
import {
  type Attribute,
  type Attributes,
  attributeOf,
  mergeAttributes,
  parseAttributes,
} from '../protocol/attributes.ts';
import { Fault } from '../protocol/faults.ts';
import { parseResources, type Resource, type Resources } from '../protocol/resources.ts';

/** What a person says of the machine, as it was written; what is not said is detected. */
export interface MachineOptions {
  /** Mesos's syntax; what is named here replaces what was detected. */
  readonly resources?: string;
  readonly attributes?: string;
  /** `gpus/ID,hailo/ID`: only these GPUs and accelerators. */
  readonly devices?: string;
  /** `gpus:4`: so many tasks share one of that kind. */
  readonly slots?: string;
  /** `hot:85`: thresholds. */
  readonly health?: string;
  /** A power mode of the board, to be set first. */
  readonly powerMode?: string;
  /** Reads `/proc`, `/sys` and `/etc` below this folder. */
  readonly sysroot?: string;
  readonly metered?: boolean;
}

/** A machine, looked at for the first time. */
export interface ReadyMachine {
  readonly machine: AgentMachine;
  readonly probe: Probe;
}

/** What was written, understood. */
export interface MachineWishes {
  readonly resources: Resources;
  readonly attributes: Attributes;
  readonly devices: DeviceWishes;
  readonly thresholds: Thresholds;
}

/** Faults where something cannot be read. */
export function machineWishes(options: MachineOptions): MachineWishes | Fault {
  const { resources: writtenResources = '', attributes: written = '', devices, slots = '', health = '' } = options;
  const resources = parseResources(writtenResources);
  if (resources instanceof Fault) return resources;
  if (resources.some(({ volume }) => volume !== undefined))
    return new Fault('BAD_RESOURCES', '--resources: frameworks make volumes, while the agent runs');
  const attributes = parseAttributes(written);
  if (attributes instanceof Fault) return attributes;
  const cut = parseResources(slots);
  if (cut instanceof Fault) return cut;
  const counts = slotsOf(cut);
  if (counts instanceof Fault) return counts;
  const thresholds = parseAttributes(health);
  if (thresholds instanceof Fault) return thresholds;
  const understood = thresholds.length === 0 ? THRESHOLDS : writtenThresholds(thresholds);
  if (understood instanceof Fault) return understood;
  const metered: Attribute[] =
    options.metered === true && attributeOf(attributes, 'metered') === undefined
      ? [{ name: 'metered', text: 'true' }]
      : [];
  return {
    resources,
    attributes: [...attributes, ...metered],
    devices: { slots: counts, ...(devices === undefined ? {} : { only: namesOf(devices) }) },
    thresholds: understood,
  };
}

/** Fault BAD_USAGE where there is no such folder, here or in the image that `root` is. */
export function sysrootProblem({ sysroot }: MachineOptions, root = '/'): Fault | undefined {
  if (sysroot === undefined) return undefined;
  const places = [resolve(sysroot), join(root, resolve(sysroot))];
  if (places.some((place) => statSync(place, { throwIfNoEntry: false })?.isDirectory() === true)) return undefined;
  return new Fault('BAD_USAGE', `--sysroot: there is no folder ${sysroot}`, 'Below it /proc, /sys and /etc are read.');
}

/** Looks at the machine. A fault where what a person says of it cannot be. */
export async function readyMachine(
  options: MachineOptions,
  dataFolder: string,
  wishes: MachineWishes,
): Promise<ReadyMachine | Fault> {
  const { sysroot = '/', powerMode } = options;
  const machine = machineOf({ files: deviceFiles(sysroot), dataFolder });
  let probe = await machine.probe();
  if (powerMode !== undefined) {
    const end = await machine.act('power-mode', powerMode);
    if (!end.done) return new Fault('UNSUPPORTED', `--power-mode ${powerMode}: ${end.message}`);
    probe = await machine.probe();
  }
  const problem = problemOf(probe, wishes);
  if (problem !== undefined) return problem;
  const reading = await machine.sample();
  return { probe, machine: { ...watched(machine, wishes), found: foundOf(probe, wishes), reading } };
}

function watched(machine: Machine, wishes: MachineWishes): Omit<AgentMachine, 'found' | 'reading'> {
  return {
    probe: async () => foundOf(await machine.probe(), wishes),
    sample: () => machine.sample(),
    thresholds: wishes.thresholds,
  };
}

function problemOf({ devices }: Probe, wishes: MachineWishes): Fault | undefined {
  const known = new Set(devices.map(deviceName));
  const unknown = [...(wishes.devices.only ?? [])].find((name) => !known.has(name));
  if (unknown !== undefined)
    return new Fault(
      'BAD_USAGE',
      `--devices: there is no ${unknown}`,
      known.size === 0 ? 'No GPU and no accelerator was found here.' : `There are ${[...known].join(', ')}.`,
    );
  for (const { name, scalar: found } of countDevices(cutDevices(devices, wishes.devices))) {
    const given = wishes.resources
      .filter((resource) => resource.name === name)
      .reduce((sum, { scalar = 0 }) => sum + scalar, 0);
    if (given > found)
      return new Fault(
        'BAD_RESOURCES',
        `--resources ${name}:${given / 1000}: this machine has ${found / 1000}`,
        `With --slots ${name}:2 two tasks may share one.`,
      );
  }
  return undefined;
}

/** Detected, and what a person said instead. Devices that are gone are offered no more, whatever was said. */
function foundOf(probe: Probe, { resources, attributes, devices: wishes }: MachineWishes): Found {
  const devices = cutDevices(probe.devices, wishes);
  const counted = countDevices(devices);
  const named = new Set(resources.map(({ name }) => name));
  const detected = [...probe.resources, ...counted].filter(({ name }) => !named.has(name));
  const slots = [...wishes.slots].flatMap(([kind, count]): Attribute[] =>
    devices.some((device) => device.kind === kind) ? [{ name: `${kind}.slots`, scalar: count * 1000 }] : [],
  );
  return {
    resources: [...within(resources, new Map(counted.map(({ name, scalar }) => [name, scalar]))), ...detected],
    attributes: mergeAttributes(mergeAttributes(probe.attributes, slots), attributes),
    devices,
  };
}

/** Entry by entry, as long as there are devices for it; of a kind that was never found a person's word stands. */
function within(resources: Resources, counts: ReadonlyMap<string, number>): Resources {
  const left = new Map(counts);
  return resources.flatMap((resource): Resource[] => {
    const free = left.get(resource.name);
    if (free === undefined || resource.scalar === undefined) return [resource];
    const scalar = Math.min(resource.scalar, free);
    left.set(resource.name, free - scalar);
    return scalar > 0 ? [{ ...resource, scalar }] : [];
  });
}
