import * as v from 'valibot';
import { Id } from './ids.ts';
import { LIMITS } from './limits.ts';
import { ANY_ROLE, mayUse } from './resource-role.ts';
import { type Resources, ResourcesSchema } from './resources.ts';
import { RoleSchema } from './role-schema.ts';

/**
 * Operations on resources, inside ACCEPT (Mesos: Offer.Operation). Each turns part of an offer into something else for
 * the tasks that come behind it in the same call, and for later offers. `id`, of the framework's choice and used once,
 * asks for feedback: UPDATE_OPERATION_STATUS until it is acknowledged, and an answer to RECONCILE_OPERATIONS.
 */
const Common = { id: v.optional(Id) };

const Some = v.pipe(
  ResourcesSchema,
  v.check((resources) => resources.length > 0, 'there are no resources in it'),
  v.check(
    (resources) => resources.every(({ revocable }) => revocable === undefined),
    'what is revocable cannot be reserved',
  ),
);
const Reserved = v.pipe(
  Some,
  v.check((resources) => resources.every(({ role }) => role !== undefined), 'every part needs a role: cpus(role):2'),
);
const Plain = v.pipe(
  Reserved,
  v.check((resources) => resources.every(({ volume }) => volume === undefined), 'a volume cannot be among them'),
);
const Volumes = v.pipe(
  Reserved,
  v.check(
    (resources) => resources.every(({ volume }) => volume !== undefined),
    'every part is a volume: disk(role)[id]:64',
  ),
);
/** Thousandths of a MB. */
const Amount = v.pipe(v.number(), v.safeInteger(), v.minValue(1), v.maxValue(LIMITS.scalarThousandths));
/**
 * Reserves for the offer's role what is nobody's, or, with `from`, what is reserved for a role above it (refinement).
 * `resources` as they are to be.
 */
const Reserve = v.object({
  ...Common,
  type: v.literal('RESERVE'),
  resources: Plain,
  from: v.optional(RoleSchema, ANY_ROLE),
});
/** Gives a reservation of this framework back to whomever it was taken from. */
const Unreserve = v.object({ ...Common, type: v.literal('UNRESERVE'), resources: Plain });
/** Makes persistent volumes of reserved disk; `resources` as they are to be. */
const Create = v.object({ ...Common, type: v.literal('CREATE'), resources: Volumes });
/** Ends volumes of this framework and removes what is in them; their disk stays reserved. */
const Destroy = v.object({ ...Common, type: v.literal('DESTROY'), resources: Volumes });
const One = v.pipe(
  Volumes,
  v.check((resources) => resources.length === 1, 'one volume at a time'),
);
/** Adds reserved disk to a volume as it is now; `by` in thousandths of a MB, as scalars are. */
const Grow = v.object({ ...Common, type: v.literal('GROW_VOLUME'), resources: One, by: Amount });
/** Takes disk away from a volume as it is now. Nothing in it is touched. */
const Shrink = v.object({ ...Common, type: v.literal('SHRINK_VOLUME'), resources: One, by: Amount });

export const RESOURCE_OPERATIONS = [Reserve, Unreserve, Create, Destroy, Grow, Shrink] as const;
export type ResourceOperation = v.InferOutput<(typeof RESOURCE_OPERATIONS)[number]>;

/** Mesos: OperationState, without those of resource providers. PENDING and the last two are only answers to RECONCILE_OPERATIONS. */
export const OPERATION_STATES = [
  'OPERATION_PENDING',
  'OPERATION_FINISHED',
  'OPERATION_FAILED',
  'OPERATION_ERROR',
  'OPERATION_DROPPED',
  'OPERATION_GONE_BY_OPERATOR',
  'OPERATION_UNREACHABLE',
  'OPERATION_UNKNOWN',
] as const;
export type OperationState = (typeof OPERATION_STATES)[number];

/** What became of an operation. With `acknowledge` it is told until it is acknowledged with its uuid. */
export const OperationStatus = v.object({
  operation: Id,
  uuid: Id,
  state: v.picklist(OPERATION_STATES),
  message: v.optional(v.pipe(v.string(), v.maxLength(LIMITS.messageLength))),
  agent: v.optional(Id),
  agentName: v.optional(Id),
  /** What the resources became. */
  converted: v.optional(ResourcesSchema),
  acknowledge: v.boolean(),
});
export type OperationStatus = v.InferOutput<typeof OperationStatus>;

/** True where a role may take from what is `owner`'s: nobody's, or a role's above it. */
export function mayRefine(role: string, owner: string): boolean {
  return owner === ANY_ROLE || (owner !== role && mayUse(role, owner));
}

/** Those of the entries that are volumes. */
export function volumesIn(resources: Resources): { volume: string; role: string; scalar: number }[] {
  const volumes: { volume: string; role: string; scalar: number }[] = [];
  for (const { volume, role, scalar } of resources)
    if (volume !== undefined && role !== undefined && scalar !== undefined) volumes.push({ volume, role, scalar });
  return volumes;
}
