import { LIMITS } from './limits.ts';
import { add } from './resource-arithmetic.ts';
import { NAME_PROBLEM, RESOURCE_NAME } from './resource-name.ts';
import { ANY_ROLE, roleProblem } from './resource-role.ts';
import type { Resource, Resources } from './resources.ts';

/** The entry (from 0) that cannot be a resource, and why. */
export interface ResourceProblem {
  readonly entry: number;
  readonly problem: string;
}

/** As an id (ids.ts): the name of a folder. */
const VOLUME_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

const KINDS: ReadonlyMap<string, Kind> = new Map([
  ['cpus', 'a number'],
  ['mem', 'a number'],
  ['disk', 'a number'],
  ['gpus', 'a number'],
  ['ports', 'ranges'],
]);

type Kind = 'a number' | 'ranges' | 'a set';

/**
 * The canonical form of entries whose values were read already, each with a role (`*` included): checks what spans
 * an entry or several (Mesos: Resources::validate in src/common/resources.cpp), adds up equal ones and drops empty ones.
 */
export function canonicalResources(entries: readonly Resource[]): Resources | ResourceProblem {
  const kinds = new Map<string, Kind>();
  let resources: Resources = [];
  for (const [entry, resource] of entries.entries()) {
    const known = kinds.get(resource.name) ?? KINDS.get(resource.name) ?? kindOf(resource);
    kinds.set(resource.name, known);
    const problem = resourceProblem(resource, known);
    if (problem !== undefined) return { entry, problem };
    if (isEmpty(resource)) continue;
    if (
      resource.volume !== undefined &&
      resources.some(({ volume, role }) => volume === resource.volume && role === resource.role)
    )
      return { entry, problem: `volume ${resource.volume} is there twice` };
    resources = add(resources, [unreservedIfAny(resource)]);
    if (resources.length > LIMITS.resources)
      return { entry, problem: `there are more than ${LIMITS.resources} resources` };
    const sum = resources.find(({ name, role }) => name === resource.name && role === resource.role);
    const size = sum?.ranges?.length ?? 0;
    if (size > LIMITS.rangesPerResource)
      return { entry, problem: `${resource.name} has more than ${LIMITS.rangesPerResource} ranges` };
  }
  return resources;
}

function resourceProblem(resource: Resource, kind: Kind): string | undefined {
  const { name, role, scalar } = resource;
  if (!RESOURCE_NAME.test(name)) return NAME_PROBLEM;
  const wrongRole = role === undefined ? undefined : roleProblem(role);
  if (wrongRole !== undefined) return wrongRole.problem;
  if (kindOf(resource) !== kind) return `${name} is ${kind}, here it is ${kindOf(resource)}`;
  if (scalar !== undefined && scalar < 0) return `${name} cannot be negative`;
  if (resource.volume !== undefined) {
    if (!VOLUME_ID.test(resource.volume)) return 'a volume is named by 1 to 64 of A-Z a-z 0-9 . _ -, not . or - first';
    if (name !== 'disk') return `only disk makes a volume, not ${name}`;
    if (role === undefined || role === ANY_ROLE) return 'a volume belongs to a role: disk(role)[id]:64';
    if (resource.revocable !== undefined) return 'a volume is not revocable';
  }
  if (name === 'gpus' && scalar !== undefined && scalar % 1000 !== 0) return 'gpus are whole';
  return undefined;
}

function kindOf(resource: Resource): Kind {
  if (resource.scalar !== undefined) return 'a number';
  return resource.ranges !== undefined ? 'ranges' : 'a set';
}

function isEmpty(resource: Resource): boolean {
  return resource.scalar === 0 || resource.ranges?.length === 0 || resource.set?.length === 0;
}

function unreservedIfAny(resource: Resource): Resource {
  if (resource.role !== ANY_ROLE) return resource;
  const { role: _, ...rest } = resource;
  return rest;
}
