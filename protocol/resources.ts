import * as v from 'valibot';
import { faultAt, faultIn } from './fault-at.ts';
import { Fault } from './faults.ts';
import { LIMITS } from './limits.ts';
import { canonicalResources } from './resource-canonical.ts';
import { resourcesFromJson } from './resource-json.ts';
import { NAME_PROBLEM, RESOURCE_NAME } from './resource-name.ts';
import { formatRanges, type Ranges } from './resource-ranges.ts';
import { RangesSchema } from './resource-ranges-schema.ts';
import { ANY_ROLE, roleProblem } from './resource-role.ts';
import { formatScalar } from './resource-scalar.ts';
import { isMember, MEMBER_PROBLEM, type Place, trim, valueAt } from './resource-value.ts';

interface ResourceKey {
  /** `cpus`, `mem` and `disk` (MB of 2^20 bytes), `gpus` (whole), `ports`, or any other name. */
  readonly name: string;
  /** Whom it is reserved for; absent where for nobody (`*`). */
  readonly role?: string;
  /** Lent while its owner does not use it: the task may be stopped at any time. */
  readonly revocable?: true;
  /** Of `disk` that is reserved: the persistent volume that it is, by its id. Whole: no part of one is anybody's. */
  readonly volume?: string;
}

/** In integer thousandths, above 0. */
export type ScalarResource = ResourceKey & { readonly scalar: number; readonly ranges?: never; readonly set?: never };
export type RangesResource = ResourceKey & { readonly ranges: Ranges; readonly scalar?: never; readonly set?: never };
/** Members in the order first seen; their order means nothing. */
export type SetResource = ResourceKey & {
  readonly set: readonly string[];
  readonly scalar?: never;
  readonly ranges?: never;
};
export type Resource = ScalarResource | RangesResource | SetResource;

/**
 * Resources in memory and on the wire: plain data, never changed in place. Canonical: one entry for each (name, role,
 * revocable, volume), in the order first seen, none empty, and one kind of value for a name. What `parseResources`,
 * `ResourcesSchema` and the functions of resource-arithmetic.ts give is canonical, and they expect it.
 */
export type Resources = readonly Resource[];

/**
 * Mesos's syntax, `cpus:4;mem:2048;cpus(role1):2;ports:[31000-32000];disks:{sda1}`, with `{REV}` after the name for
 * revocable ones and `[id]` for a volume (`disk(role1)[data]:64`), or Mesos's JSON where the text begins with `[`. White space around parts and empty parts are ignored,
 * zero amounts dropped, equal entries added up. `defaultRole` is for entries without a role (default `*`).
 * Faults: BAD_RESOURCES, with the character where reading stopped and what was expected there.
 */
export function parseResources(text: string, defaultRole: string = ANY_ROLE): Resources | Fault {
  if (text.length > LIMITS.resourcesLength)
    return new Fault('TOO_LARGE', `resources have at most ${LIMITS.resourcesLength} characters`);
  if (text.trimStart().startsWith('[')) return parseJson(text, defaultRole);
  const entries: Resource[] = [];
  const places: Place[] = [];
  let from = 0;
  for (const part of text.split(';')) {
    const place = trim({ code: 'BAD_RESOURCES', text, from, to: from + part.length });
    from += part.length + 1;
    if (place.from === place.to) continue;
    const entry = resourceAt(place, defaultRole);
    if (entry instanceof Fault) return entry;
    entries.push(entry);
    places.push(place);
  }
  const resources = canonicalResources(entries);
  if (!('problem' in resources)) return resources;
  return faultIn('BAD_RESOURCES', text, places[resources.entry]?.from ?? 0, resources.problem);
}

const NAME_END = /[:(){}[\];]/;

/** One `name(role){REV}:value`. */
function resourceAt(place: Place, defaultRole: string): Resource | Fault {
  const { code, text, from, to } = place;
  let at = from;
  while (at < to && !NAME_END.test(text.charAt(at))) at++;
  const { to: nameEnd } = trim({ ...place, to: at });
  const name = text.slice(from, nameEnd);
  if (!RESOURCE_NAME.test(name))
    return name === '' ? faultAt(code, text, at, 'a name') : faultIn(code, text, from, NAME_PROBLEM);
  let role = defaultRole;
  let revocable = false;
  let volume: string | undefined;
  for (; at < to && text.charAt(at) !== ':'; at = skipSpace(text, at, to)) {
    if (text.startsWith(REVOCABLE, at) && !revocable) {
      revocable = true;
      at += REVOCABLE.length;
      continue;
    }
    if (text.charAt(at) === '[' && volume === undefined) {
      const end = text.indexOf(']', at);
      if (end < 0 || end >= to) return faultAt(code, text, to, '"]"');
      volume = text.slice(at + 1, end);
      at = end + 1;
      continue;
    }
    const close = text.indexOf(')', at);
    if (text.charAt(at) !== '(' || role !== defaultRole)
      return faultAt(code, text, at, '":", "(role)", "[volume]" or "{REV}"');
    if (close < 0 || close >= to) return faultAt(code, text, to, '")"');
    const written = trim({ ...place, from: at + 1, to: close });
    role = text.slice(written.from, written.to);
    const wrong = roleProblem(role);
    if (wrong !== undefined) return faultIn(code, text, written.from + wrong.at, wrong.problem);
    at = close + 1;
  }
  if (at >= to) return faultAt(code, text, to, '":" and a value');
  const value = valueAt({ ...place, from: at + 1 });
  if (value instanceof Fault) return value;
  if (value.type === 'TEXT') return notAValue({ ...place, from: at + 1 });
  const { type: _, ...amount } = value;
  return { name, role, ...(revocable ? { revocable } : {}), ...(volume === undefined ? {} : { volume }), ...amount };
}

function skipSpace(text: string, from: number, to: number): number {
  return trim({ code: 'BAD_RESOURCES', text, from, to }).from;
}

/** Text where a number belongs: points behind what could still be a number, so that `4x` is wrong at the `x`. */
function notAValue(place: Place): Fault {
  const { code, text, from, to } = trim(place);
  const number = /^[+-]?\d*(?:\.\d*)?/.exec(text.slice(from, to))?.[0].length ?? 0;
  return faultAt(code, text, from + number, number === 0 ? 'a number, [ranges] or {a set}' : 'a digit, ";" or the end');
}

const REVOCABLE = '{REV}';

function parseJson(text: string, defaultRole: string): Resources | Fault {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    // The engine names the position in its message, except at the end of the text.
    const at = /position (\d+)/.exec(String(error))?.[1];
    return faultAt(
      'BAD_RESOURCES',
      text,
      at === undefined ? text.length : Number(at),
      'a JSON array of resources and nothing after it',
    );
  }
  return resourcesFromJson(json, defaultRole);
}

/** Mesos's syntax, on one line: the way back from {@link parseResources}. */
export function formatResources(resources: Resources): string {
  return resources.map(formatResource).join(';');
}

function formatResource(resource: Resource): string {
  const role = resource.role === undefined ? '' : `(${resource.role})`;
  const volume = resource.volume === undefined ? '' : `[${resource.volume}]`;
  return `${resource.name}${role}${volume}${resource.revocable ? REVOCABLE : ''}:${formatValue(resource)}`;
}

function formatValue(resource: Resource): string {
  if (resource.scalar !== undefined) return formatScalar(resource.scalar);
  return resource.ranges !== undefined ? formatRanges(resource.ranges) : `{${resource.set.join(',')}}`;
}

const ResourceSchema = v.pipe(
  v.object({
    name: v.string(),
    role: v.optional(v.string()),
    revocable: v.optional(v.literal(true)),
    volume: v.optional(v.string()),
    scalar: v.optional(v.pipe(v.number(), v.safeInteger(), v.minValue(0), v.maxValue(LIMITS.scalarThousandths))),
    ranges: v.optional(RangesSchema),
    set: v.optional(
      v.pipe(v.array(v.pipe(v.string(), v.check(isMember, MEMBER_PROBLEM))), v.maxLength(LIMITS.setItems)),
    ),
  }),
  v.rawTransform(({ dataset, addIssue, NEVER }): Resource => {
    const { name, role, revocable, volume, scalar, ranges, set } = dataset.value;
    const key = {
      name,
      ...(role === undefined ? {} : { role }),
      ...(revocable === undefined ? {} : { revocable }),
      ...(volume === undefined ? {} : { volume }),
    };
    if (scalar !== undefined && ranges === undefined && set === undefined) return { ...key, scalar };
    if (ranges !== undefined && scalar === undefined && set === undefined) return { ...key, ranges };
    if (set !== undefined && scalar === undefined && ranges === undefined) return { ...key, set: [...new Set(set)] };
    addIssue({
      message: `${JSON.stringify(name.slice(0, LIMITS.resourceNameLength))} needs one of scalar, ranges and set`,
    });
    return NEVER;
  }),
);

/**
 * On the wire and in job files: an array of {@link Resource}, or text for {@link parseResources}. Output: canonical
 * resources, whatever order, overlap or repetition came in.
 */
export const ResourcesSchema = v.pipe(
  v.union([v.string(), v.pipe(v.array(ResourceSchema), v.maxLength(LIMITS.resources))]),
  v.rawTransform(({ dataset, addIssue, NEVER }): Resources => {
    const { value } = dataset;
    const resources = typeof value === 'string' ? parseResources(value) : canonicalResources(value);
    if (resources instanceof Fault) addIssue({ message: resources.message });
    else if ('problem' in resources) addIssue({ message: `entry ${resources.entry + 1}: ${resources.problem}` });
    else return resources;
    return NEVER;
  }),
);
