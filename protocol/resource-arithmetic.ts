/**
 * What the allocator does all day. Plain functions of canonical resources; nothing is changed in place. Entries are
 * found by comparing their few keys one by one: an agent has about five, and a map or a joined key would cost more.
 */

import type { Quantities } from './quantities.ts';
import {
  addRanges,
  containsRanges,
  countRanges,
  equalRanges,
  intersectRanges,
  subtractRanges,
  takeFirst,
} from './resource-ranges.ts';
import { ANY_ROLE, mayUse } from './resource-role.ts';
import type { Resource, Resources } from './resources.ts';

/** Both. Scalars add up; of ranges and sets it is the union. Roles, volumes, and revocable and regular, never merge. */
export function add(a: Resources, b: Resources): Resources {
  if (b.length === 0) return a;
  if (a.length === 0) return b;
  const result = a.slice();
  for (const resource of b) {
    const index = indexOf(result, resource);
    const same = result[index];
    if (same === undefined) result.push(resource);
    else result[index] = sum(same, resource);
  }
  return result;
}

/** What is left of `a` without `b`. What would fall below nothing is dropped: ask {@link contains} first where that matters. */
export function subtract(a: Resources, b: Resources): Resources {
  if (a.length === 0 || b.length === 0) return a;
  const result = a.slice();
  for (const resource of b) {
    const index = indexOf(result, resource);
    const same = result[index];
    if (same === undefined) continue;
    const left = difference(same, resource);
    if (left === undefined) result.splice(index, 1);
    else result[index] = left;
  }
  return result;
}

/** What both have. */
export function intersect(a: Resources, b: Resources): Resources {
  const result: Resource[] = [];
  for (const resource of b) {
    const same = a[indexOf(a, resource)];
    const both = same === undefined ? undefined : intersection(same, resource);
    if (both !== undefined) result.push(both);
  }
  return result;
}

/** True where all of `b` is in `a`, role by role. */
export function contains(a: Resources, b: Resources): boolean {
  for (const resource of b) {
    const same = a[indexOf(a, resource)];
    if (same === undefined || !containsEntry(same, resource)) return false;
  }
  return true;
}

/** True where both hold the same, whatever the order of entries or of set members. */
export function equals(a: Resources, b: Resources): boolean {
  if (a === b) return true;
  if (a.length !== b.length) return false;
  for (const resource of b) {
    const same = a[indexOf(a, resource)];
    if (same === undefined || !equalEntry(same, resource)) return false;
  }
  return true;
}

/** The scalar of a name over all roles, in thousandths; undefined where there is none. */
export function scalarOf(resources: Resources, name: string): number | undefined {
  let total: number | undefined;
  for (const { name: entryName, scalar } of resources) {
    if (scalar !== undefined && entryName === name) total = (total ?? 0) + scalar;
  }
  return total;
}

/** What a role may be offered: the unreserved, its own, and what is reserved for the roles above it. */
export function allocatableTo(resources: Resources, role: string): Resources {
  return resources.filter(({ role: owner }) => owner === undefined || mayUse(role, owner));
}

/** The same without reservations: as if every role were `*`. */
export function toUnreserved(resources: Resources): Resources {
  return asRole(resources, ANY_ROLE);
}

/** The same, all reserved for `role` (`*` for nobody). */
export function asRole(resources: Resources, role: string): Resources {
  let result: Resources = [];
  for (const resource of resources) result = add(result, [entryAsRole(resource, role)]);
  return result;
}

/**
 * Picks the amounts of `want` out of `have`: for each entry from its own role first, then from the unreserved, then
 * from any role (Mesos: Resources::find). Undefined where it is not all there.
 */
export function find(have: Resources, want: Resources): Resources | undefined {
  let found: Resources = [];
  let left = have;
  for (const target of want) {
    const own = target.role ?? ANY_ROLE;
    const preferred = [
      ...left.filter(({ role = ANY_ROLE }) => role === own),
      ...left.filter(({ role = ANY_ROLE }) => role !== own && role === ANY_ROLE),
      ...left.filter(({ role = ANY_ROLE }) => role !== own && role !== ANY_ROLE),
    ];
    let missing: Resource | undefined = target;
    for (const source of preferred) {
      const here: Resource | undefined = missing && intersection(source, entryAsRole(missing, source.role ?? ANY_ROLE));
      if (missing === undefined || here === undefined) continue;
      found = add(found, [here]);
      left = subtract(left, [here]);
      missing = difference(missing, here);
    }
    if (missing !== undefined) return undefined;
  }
  return found;
}

/**
 * As much of the resources as fits into the quantities, entry by entry in order; of ranges and sets the first members.
 * A name that the quantities do not have shrinks to nothing.
 */
export function shrinkToQuantities(resources: Resources, quantities: Quantities): Resources {
  return shrink(resources, quantities, 0);
}

/** Like {@link shrinkToQuantities}, but a name that the limits do not have is not limited. */
export function shrinkToLimits(resources: Resources, limits: Quantities): Resources {
  return shrink(resources, limits, Number.POSITIVE_INFINITY);
}

function shrink(resources: Resources, quantities: Quantities, otherwise: number): Resources {
  const left = new Map(quantities.map(({ name, amount }) => [name, amount]));
  const result: Resource[] = [];
  for (const resource of resources) {
    const limit = left.get(resource.name) ?? otherwise;
    const whole = amountOf(resource) <= limit;
    const shrunk = whole ? resource : resource.volume === undefined ? firstOf(resource, limit) : undefined;
    if (shrunk === undefined) continue;
    left.set(resource.name, limit - amountOf(shrunk));
    result.push(shrunk);
  }
  return result;
}

/** How much there is of an entry, in thousandths: a scalar's value, or how many members ranges or a set have. */
export function amountOf(resource: Resource): number {
  if (resource.scalar !== undefined) return resource.scalar;
  return 1000 * (resource.ranges !== undefined ? countRanges(resource.ranges) : resource.set.length);
}

/** The first `amount` thousandths of an entry that has more; undefined where that is nothing. GPUs stay whole. */
function firstOf(resource: Resource, amount: number): Resource | undefined {
  const members = Math.floor(amount / 1000);
  if (resource.scalar !== undefined) {
    const scalar = resource.name === 'gpus' ? members * 1000 : amount;
    return scalar > 0 ? { ...resource, scalar } : undefined;
  }
  if (members <= 0) return undefined;
  if (resource.ranges !== undefined)
    return { ...resource, ranges: takeFirst(resource.ranges, members) ?? resource.ranges };
  return { ...resource, set: resource.set.slice(0, members) };
}

function indexOf(resources: Resources, resource: Resource): number {
  for (let index = 0; index < resources.length; index++) {
    const entry = resources[index];
    if (entry !== undefined && sameKey(entry, resource)) return index;
  }
  return -1;
}

function sameKey(a: Resource, b: Resource): boolean {
  return a.name === b.name && a.role === b.role && a.revocable === b.revocable && a.volume === b.volume;
}

function sum(a: Resource, b: Resource): Resource {
  if (a.scalar !== undefined) return b.scalar === undefined ? a : { ...a, scalar: a.scalar + b.scalar };
  if (a.ranges !== undefined) return b.ranges === undefined ? a : { ...a, ranges: addRanges(a.ranges, b.ranges) };
  return b.set === undefined ? a : { ...a, set: [...new Set([...a.set, ...b.set])] };
}

/** Undefined where nothing is left. */
function difference(a: Resource, b: Resource): Resource | undefined {
  if (a.scalar !== undefined) {
    const left = a.scalar - (b.scalar ?? 0);
    return left > 0 ? { ...a, scalar: left } : undefined;
  }
  if (a.ranges !== undefined) {
    const left = subtractRanges(a.ranges, b.ranges ?? []);
    return left.length > 0 ? { ...a, ranges: left } : undefined;
  }
  const gone = new Set(b.set);
  const left = a.set.filter((member) => !gone.has(member));
  return left.length > 0 ? { ...a, set: left } : undefined;
}

/** What two entries have in common; undefined where that is nothing. */
function intersection(a: Resource, b: Resource): Resource | undefined {
  if (!sameKey(a, b) || (a.volume !== undefined && a.scalar !== b.scalar)) return undefined;
  if (a.scalar !== undefined)
    return b.scalar === undefined ? undefined : { ...a, scalar: Math.min(a.scalar, b.scalar) };
  if (a.ranges !== undefined) {
    const both = intersectRanges(a.ranges, b.ranges ?? []);
    return both.length > 0 ? { ...a, ranges: both } : undefined;
  }
  const wanted = new Set(b.set);
  const both = a.set.filter((member) => wanted.has(member));
  return both.length > 0 ? { ...a, set: both } : undefined;
}

function containsEntry(a: Resource, b: Resource): boolean {
  if (a.volume !== undefined) return a.scalar === b.scalar;
  if (a.scalar !== undefined) return b.scalar !== undefined && a.scalar >= b.scalar;
  if (a.ranges !== undefined) return b.ranges !== undefined && containsRanges(a.ranges, b.ranges);
  if (b.set === undefined) return false;
  const members = new Set(a.set);
  return b.set.every((member) => members.has(member));
}

function equalEntry(a: Resource, b: Resource): boolean {
  if (a.scalar !== undefined) return a.scalar === b.scalar;
  if (a.ranges !== undefined) return b.ranges !== undefined && equalRanges(a.ranges, b.ranges);
  return b.set?.length === a.set.length && containsEntry(a, b);
}

function entryAsRole(resource: Resource, role: string): Resource {
  if (role !== ANY_ROLE) return { ...resource, role };
  const { role: _, ...unreserved } = resource;
  return unreserved;
}
