import type { Resources } from '../../protocol/resources.ts';

/** A GPU or an accelerator, as its adapter found it. */
export interface OwnDevice {
  /** The name of the resource that counts it. */
  readonly kind: string;
  readonly id: string;
  /** How many tasks may have it at once. Default 1. */
  readonly slots?: number;
  readonly environment: Readonly<Record<string, string>>;
  readonly nodes: readonly string[];
}

/** What a task has of a device. */
export interface HeldDevice {
  readonly kind: string;
  readonly id: string;
  readonly slots: number;
}

/** A device as a task is given it: the same at every start of the run, whatever is found meanwhile. */
export interface GivenDevice extends HeldDevice {
  readonly environment: Readonly<Record<string, string>>;
  readonly nodes: readonly string[];
}

/** There are fewer of a kind than a task needs. */
export interface Lacking {
  readonly kind: string;
  readonly wanted: number;
  readonly free: number;
}

/** How many of each kind resources count; of what is written in parts, whole ones, for no device can be halved. */
export function wantedDevices(resources: Resources, kinds: ReadonlySet<string>): ReadonlyMap<string, number> {
  const wanted = new Map<string, number>();
  for (const { name, scalar } of resources)
    if (scalar !== undefined && kinds.has(name)) wanted.set(name, (wanted.get(name) ?? 0) + scalar);
  return new Map([...wanted].map(([kind, scalar]) => [kind, Math.ceil(scalar / 1000)]));
}

/**
 * Devices for a task that wants so many of each kind, beside what others have. As many different ones as there are, each
 * time the one with the most free slots, of equals the first in the list; only a task that wants more than there are
 * different ones gets several slots of one. No device stands in the answer twice.
 */
export function chooseDevices(
  devices: readonly OwnDevice[],
  taken: readonly HeldDevice[],
  wanted: ReadonlyMap<string, number>,
): readonly GivenDevice[] | Lacking {
  const chosen: GivenDevice[] = [];
  for (const [kind, count] of wanted) {
    const free = devices
      .filter((device) => device.kind === kind)
      .map((device) => ({ device, slots: (device.slots ?? 1) - slotsTaken(taken, device), given: 0 }))
      .filter(({ slots }) => slots > 0);
    const total = free.reduce((sum, { slots }) => sum + slots, 0);
    if (total < count) return { kind, wanted: count, free: total };
    for (let at = 0; at < count; at++) {
      const [next] = free
        .filter(({ slots, given }) => given < slots)
        .sort((one, other) => one.given - other.given || other.slots - other.given - (one.slots - one.given));
      if (next !== undefined) next.given++;
    }
    for (const { device, given } of free) {
      const { id, environment, nodes } = device;
      if (given > 0) chosen.push({ kind, id, slots: given, environment, nodes });
    }
  }
  return chosen;
}

function slotsTaken(taken: readonly HeldDevice[], { kind, id }: OwnDevice): number {
  return taken.filter((one) => one.kind === kind && one.id === id).reduce((sum, { slots }) => sum + slots, 0);
}
