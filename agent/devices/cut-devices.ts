import { Fault } from '../../protocol/faults.ts';
import type { Resources, ScalarResource } from '../../protocol/resources.ts';
import type { OwnDevice } from './choose-devices.ts';

/** More tasks than that on one device help nobody. */
const MOST_SLOTS = 1_000;

/** What an operator says of the devices that were found. */
export interface DeviceWishes {
  /** Only these, as `kind/id`; undefined: all. */
  readonly only?: ReadonlySet<string>;
  /** Kind → how many tasks may share one. */
  readonly slots: ReadonlyMap<string, number>;
}

/** `gpus:4;hailo:2`, as resources are written. Faults: BAD_RESOURCES. */
export function slotsOf(resources: Resources): ReadonlyMap<string, number> | Fault {
  const slots = new Map<string, number>();
  for (const { name, scalar } of resources) {
    const count = (scalar ?? 0) / 1000;
    if (!Number.isInteger(count) || count < 1 || count > MOST_SLOTS)
      return new Fault('BAD_RESOURCES', `--slots: ${name} needs a whole number from 1 to ${MOST_SLOTS}`);
    slots.set(name, count);
  }
  return slots;
}

/** `gpus/GPU-1c5e,hailo/0001:01:00.0`, or `none`. */
export function namesOf(list: string): ReadonlySet<string> {
  const names = list.split(',').map((name) => name.trim());
  return new Set(names.filter((name) => name !== '' && name !== 'none'));
}

/** The name of a device in lists that people write and tasks are told: `kind/id`. */
export function deviceName({ kind, id }: Pick<OwnDevice, 'kind' | 'id'>): string {
  return `${kind}/${id}`;
}

/** The devices that are on offer, each with its slots. */
export function cutDevices<Device extends OwnDevice>(
  devices: readonly Device[],
  { only, slots }: DeviceWishes,
): readonly Device[] {
  return devices
    .filter((device) => only === undefined || only.has(deviceName(device)))
    .map((device) => {
      const count = slots.get(device.kind);
      return count === undefined ? device : { ...device, slots: count };
    });
}

/** Devices as resources: one for each slot. */
export function countDevices(devices: readonly OwnDevice[]): readonly ScalarResource[] {
  const counts = new Map<string, number>();
  for (const { kind, slots = 1 } of devices) counts.set(kind, (counts.get(kind) ?? 0) + slots);
  return [...counts].map(([name, count]) => ({ name, scalar: count * 1000 }));
}
