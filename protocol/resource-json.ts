/** Resources as Mesos's `--resources` takes them in JSON (Mesos's page on attributes and resources). */
import { Fault } from './faults.ts';
import { LIMITS } from './limits.ts';
import { canonicalResources } from './resource-canonical.ts';
import { coalesceRanges, type Range } from './resource-ranges.ts';
import { ANY_ROLE } from './resource-role.ts';
import { scalarFromNumber } from './resource-scalar.ts';
import { isMember, MEMBER_PROBLEM, rangeProblem } from './resource-value.ts';
import type { Resource, Resources } from './resources.ts';

interface Json {
  readonly [field: string]: unknown;
}

/**
 * `[{"name": "cpus", "type": "SCALAR", "scalar": {"value": 4}, "role": "role1"}, …]`; ranges are
 * `{"range": [{"begin": 1, "end": 2}]}`, sets `{"item": ["a"]}`. The role may also come as one static entry of
 * `reservations`. As on Mesos's command line, what only a running cluster can make is refused: revocable resources,
 * dynamic reservations and volumes; other fields are ignored. Faults: BAD_RESOURCES, naming the entry from 1.
 */
export function resourcesFromJson(value: unknown, defaultRole: string = ANY_ROLE): Resources | Fault {
  if (!Array.isArray(value)) return new Fault('BAD_RESOURCES', 'resources in JSON are an array of objects');
  const entries: Resource[] = [];
  for (const [index, entry] of value.entries()) {
    const resource = resourceFrom(entry, defaultRole);
    if (typeof resource === 'string') return inEntry(index, resource);
    entries.push(resource);
  }
  const resources = canonicalResources(entries);
  return 'problem' in resources ? inEntry(resources.entry, resources.problem) : resources;
}

function inEntry(index: number, problem: string): Fault {
  return new Fault('BAD_RESOURCES', `in entry ${index + 1} of the JSON: ${problem}`);
}

/** The resource, or what is wrong with it. */
function resourceFrom(entry: unknown, defaultRole: string): Resource | string {
  if (!isObject(entry)) return 'expected an object';
  const { name, type, scalar, ranges, set } = entry;
  if (typeof name !== 'string') return '"name" must be a string';
  const role = roleOf(entry, defaultRole);
  if (typeof role === 'object') return role.problem;
  for (const field of ['revocable', 'reservation', 'disk', 'shared']) {
    if (entry[field] !== undefined) return `"${field}" cannot be written here`;
  }
  for (const [kind, field] of FIELDS) {
    if (kind !== type && entry[field] !== undefined)
      return `"${field}" does not go with the type ${JSON.stringify(type)}`;
  }
  switch (type) {
    case 'SCALAR':
      return scalarFrom(scalar, { name, role });
    case 'RANGES':
      return rangesFrom(ranges, { name, role });
    case 'SET':
      return setFrom(set, { name, role });
    default:
      return '"type" must be "SCALAR", "RANGES" or "SET"';
  }
}

const FIELDS = [
  ['SCALAR', 'scalar'],
  ['RANGES', 'ranges'],
  ['SET', 'set'],
] as const;

interface Key {
  readonly name: string;
  readonly role: string;
}

/** The value itself where it is an object, else one without fields. */
function object(value: unknown): Json {
  return isObject(value) ? value : {};
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function roleOf({ role, reservations }: Json, defaultRole: string): string | { problem: string } {
  if (role !== undefined && typeof role !== 'string') return { problem: '"role" must be a string' };
  if (reservations === undefined) return role ?? defaultRole;
  const [reservation, ...more] = Array.isArray(reservations) ? reservations : [];
  const { type, role: owner } = object(reservation);
  if (role === undefined && more.length === 0 && type === 'STATIC' && typeof owner === 'string') return owner;
  return { problem: '"reservations" must be one entry of type "STATIC" with a role, and no "role" beside it' };
}

function scalarFrom(value: unknown, key: Key): Resource | string {
  const { value: number } = object(value);
  const scalar = typeof number === 'number' ? scalarFromNumber(number) : undefined;
  if (scalar === undefined) return `"scalar" must be {"value": a number up to ${LIMITS.scalarThousandths / 1000}}`;
  return { ...key, scalar };
}

function rangesFrom(value: unknown, key: Key): Resource | string {
  const { range: list } = object(value);
  if (!Array.isArray(list)) return '"ranges" must be {"range": [{"begin": number, "end": number}, …]}';
  if (list.length > LIMITS.rangesPerResource) return `there are more than ${LIMITS.rangesPerResource} ranges`;
  const ranges: Range[] = [];
  for (const range of list) {
    const { begin, end } = object(range);
    if (!isWhole(begin) || !isWhole(end)) return 'a range must be {"begin": whole number, "end": whole number}';
    const problem = rangeProblem(begin, end);
    if (problem !== undefined) return problem;
    ranges.push([begin, end]);
  }
  ranges.sort((a, b) => a[0] - b[0]);
  const overlap = ranges.findIndex(([begin], index) => begin <= (ranges[index - 1]?.[1] ?? -1));
  if (overlap > 0) return `two ranges overlap at ${ranges[overlap]?.[0]}`;
  return { ...key, ranges: coalesceRanges(ranges) };
}

function isWhole(value: unknown): value is number {
  return Number.isSafeInteger(value) && typeof value === 'number' && value >= 0;
}

function setFrom(value: unknown, key: Key): Resource | string {
  const { item: list } = object(value);
  if (!Array.isArray(list)) return '"set" must be {"item": ["text", …]}';
  if (list.length > LIMITS.setItems) return `there are more than ${LIMITS.setItems} members`;
  const members = new Set<string>();
  for (const item of list) {
    if (typeof item !== 'string' || !isMember(item)) return MEMBER_PROBLEM;
    if (members.has(item)) return `${JSON.stringify(item)} is in the set twice`;
    members.add(item);
  }
  return { ...key, set: [...members] };
}
