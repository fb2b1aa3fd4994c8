import { add, asRole, contains, subtract, toUnreserved } from './resource-arithmetic.ts';
import type { Resources } from './resources.ts';

/** Made while the agent runs, by an operator or a framework; what it was started with as reserved is not among these. */
export interface Reservation {
  /** With the role that has them now; no volumes, whatever has been made of the disk since. */
  readonly resources: Resources;
  /** Whose they were before: `*`, or a role above (a refinement of its reservation). */
  readonly from: string;
  /** The framework that made it; undefined: an operator. */
  readonly by: string | undefined;
}

/** A persistent volume: reserved disk whose content outlives tasks. */
export interface Volume {
  readonly volume: string;
  readonly role: string;
  /** Thousandths of a MB. */
  readonly scalar: number;
  readonly by: string | undefined;
}

/** What has been made of an agent's resources. */
export interface Holdings {
  readonly reservations?: readonly Reservation[] | undefined;
  readonly volumes?: readonly Volume[] | undefined;
}

export function asResource({ volume, role, scalar }: Volume): Resources {
  return [{ name: 'disk', role, volume, scalar }];
}

export function asDisk({ role, scalar }: Pick<Volume, 'role' | 'scalar'>): Resources {
  return [{ name: 'disk', role, scalar }];
}

/** The same resources, as `from` had them. */
export function asBefore({ resources, from }: Pick<Reservation, 'resources' | 'from'>): Resources {
  return from === '*' ? toUnreserved(resources) : asRole(resources, from);
}

function depthOf(role: string): number {
  return role === '*' ? 0 : role.split('/').length;
}

/**
 * What an agent has, given what it reports and what has been made of it: each reservation takes as much from whom it was
 * taken, each volume from the disk of its role. One that the agent has no room for any more (it reports less) rests
 * until it has.
 */
export function withHoldings(reported: Resources, { reservations = [], volumes = [] }: Holdings): Resources {
  let total = reported;
  const turn = (from: Resources, to: Resources): void => {
    if (contains(total, from)) total = add(subtract(total, from), to);
  };
  // What is taken from a role must have come to it before.
  const ordered = reservations.toSorted((one, other) => depthOf(one.from) - depthOf(other.from));
  for (const reservation of ordered)
    for (const resource of reservation.resources) turn(asBefore({ ...reservation, resources: [resource] }), [resource]);
  for (const volume of volumes) turn(asDisk(volume), asResource(volume));
  return total;
}
