import * as v from 'valibot';
import { ConstraintSchema } from './constraints.ts';
import { FaultSchema } from './fault-schema.ts';
import { Id } from './ids.ts';
import { LIMITS } from './limits.ts';
import { Offer, Unavailability } from './offer.ts';
import { OperationStatus, RESOURCE_OPERATIONS } from './operations.ts';
import { PrincipalSchema } from './operator.ts';
import { QuantitiesSchema } from './quantities.ts';
import { ResourcesSchema } from './resources.ts';
import { Data, TaskInfo, TaskStatus } from './task.ts';

const Count = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(Number.MAX_SAFE_INTEGER));
const V = v.object({ v: v.number() });
export const RoleName = v.pipe(
  v.string(),
  v.regex(
    /^(\*|[^\s/*.-][^\s/*]*(\/[^\s/*.-][^\s/*]*)*)$/,
    'a role is a path of names without white space, not starting with . or -',
  ),
  v.maxLength(256),
);
const Roles = v.pipe(v.array(RoleName), v.maxLength(1_000));
const Offers = v.pipe(v.array(Id), v.maxLength(LIMITS.operations));
/** How long the refused resources stay hidden; negative or absent: 5 s (Mesos: Filters.refuse_seconds). */
const RefuseMs = v.optional(v.pipe(v.number(), v.integer()));

/**
 * What a framework can do with (Mesos: FrameworkInfo.Capability, where it is a choice here): without GPU_RESOURCES its
 * offers hold no `gpus`; without REVOCABLE_RESOURCES nothing that may be reclaimed at any time; with TASK_KILLING_STATE
 * it hears TASK_KILLING.
 */
export const CAPABILITIES = ['GPU_RESOURCES', 'REVOCABLE_RESOURCES', 'TASK_KILLING_STATE'] as const;

/** Which offers a framework wants under one of its roles. */
const OfferWish = v.object({
  role: RoleName,
  /** Instead of the cluster's minimum: any one of these is worth an offer; none: anything at all. */
  minimum: v.optional(v.pipe(v.array(QuantitiesSchema), v.maxLength(16))),
  /** Its offers come in whole multiples of this, and hold nothing else. */
  shape: v.optional(QuantitiesSchema),
  /** Any of these groups must hold, all of its constraints (constraints.ts). */
  constraints: v.optional(
    v.pipe(
      v.array(v.pipe(v.array(ConstraintSchema), v.minLength(1), v.maxLength(LIMITS.constraints))),
      v.maxLength(LIMITS.constraints),
    ),
  ),
  /** Nothing of agents that are known to become unavailable within so many milliseconds. */
  availableMs: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(LIMITS.durationMs))),
});
export type OfferWish = v.InferOutput<typeof OfferWish>;

/** How a framework takes part. */
const Terms = {
  roles: Roles,
  suppressed: v.optional(Roles, []),
  capabilities: v.optional(v.pipe(v.array(v.picklist(CAPABILITIES)), v.maxLength(16)), []),
  wishes: v.optional(v.pipe(v.array(OfferWish), v.maxLength(1_000)), []),
  /** No single offer holds more of these names: what is over is for others. */
  mostPerOffer: v.optional(QuantitiesSchema),
};
/** Begins, or takes up again, a framework: its id is the name of its credential. Offers of an older session die. */
const Subscribe = v.object({ ...V.entries, type: v.literal('SUBSCRIBE'), ...Terms });
/** Changes how it takes part, all or nothing. */
const UpdateFramework = v.object({ ...V.entries, type: v.literal('UPDATE_FRAMEWORK'), ...Terms });
const Launch = v.object({
  type: v.literal('LAUNCH'),
  tasks: v.pipe(v.array(TaskInfo), v.maxLength(LIMITS.tasksPerMessage)),
});
/** All of the tasks or none, in one place; one of them that fails or is killed ends all (Mesos: pods). */
const LaunchGroup = v.object({
  type: v.literal('LAUNCH_GROUP'),
  group: Id,
  /** Of one attempt, all with the same executor or all without one. */
  tasks: v.pipe(v.array(TaskInfo), v.minLength(1), v.maxLength(LIMITS.tasksPerGroup)),
});
/** Spends the offers (all of one agent and one role); what the operations leave is declined with `refuseMs`. */
const Accept = v.object({
  ...V.entries,
  type: v.literal('ACCEPT'),
  offers: Offers,
  operations: v.pipe(
    v.array(v.variant('type', [Launch, LaunchGroup, ...RESOURCE_OPERATIONS])),
    v.maxLength(LIMITS.operations),
  ),
  refuseMs: RefuseMs,
});
const Decline = v.object({ ...V.entries, type: v.literal('DECLINE'), offers: Offers, refuseMs: RefuseMs });
/** Unsuppresses and clears the filters of `roles` (empty: all). */
const Revive = v.object({ ...V.entries, type: v.literal('REVIVE'), roles: v.optional(Roles, []) });
const Suppress = v.object({ ...V.entries, type: v.literal('SUPPRESS'), roles: v.optional(Roles, []) });
/** Work that waits, so that people may ask why (`mesq why FRAMEWORK`). */
const Need = v.object({
  /** What it is called there. */
  name: v.optional(Id),
  /** Of which role's offers; absent where it has one role. */
  role: v.optional(RoleName),
  /** How many of these. */
  count: v.optional(Count, 1),
  resources: ResourcesSchema,
  ports: v.optional(Count, 0),
  constraints: v.optional(v.pipe(v.array(ConstraintSchema), v.maxLength(LIMITS.constraints)), []),
  agent: v.optional(Id),
});
export type Need = v.InferOutput<typeof Need>;
/**
 * Replaces what it says it needs. The allocator does not care, as Mesos's does not (`wishes` are for that): it is kept in
 * the leader's memory and told to people.
 */
const RequestResources = v.object({
  ...V.entries,
  type: v.literal('REQUEST'),
  requests: v.pipe(v.array(Need), v.maxLength(LIMITS.operations)),
});
const Kill = v.object({
  ...V.entries,
  type: v.literal('KILL'),
  /** `attempt`: that one alone; absent, every live one of the task. */
  tasks: v.pipe(
    v.array(v.object({ task: Id, attempt: v.optional(Count), graceMs: v.optional(Count) })),
    v.maxLength(LIMITS.tasksPerMessage),
  ),
});
const Acknowledge = v.object({
  ...V.entries,
  type: v.literal('ACKNOWLEDGE'),
  updates: v.pipe(v.array(v.object({ task: Id, uuid: Id })), v.maxLength(LIMITS.tasksPerMessage)),
});
/** The end of an operation has been heard. */
const AcknowledgeOperation = v.object({
  ...V.entries,
  type: v.literal('ACKNOWLEDGE_OPERATION_STATUS'),
  updates: v.pipe(v.array(v.object({ operation: Id, uuid: Id })), v.maxLength(LIMITS.tasksPerMessage)),
});
/** Explicit: every operation named is answered; `agent`: where it was to be. Implicit (`operations` empty): all that are not acknowledged. */
const ReconcileOperations = v.object({
  ...V.entries,
  type: v.literal('RECONCILE_OPERATIONS'),
  operations: v.pipe(v.array(v.object({ operation: Id, agent: v.optional(Id) })), v.maxLength(LIMITS.tasksPerMessage)),
});
/** The tasks of this framework will have left by then. Advice: the drain goes on whatever is said. */
const AcceptInverse = v.object({ ...V.entries, type: v.literal('ACCEPT_INVERSE_OFFERS'), offers: Offers });
/** They will not, and the operator is shown it. */
const DeclineInverse = v.object({ ...V.entries, type: v.literal('DECLINE_INVERSE_OFFERS'), offers: Offers });
/** Explicit: every task named is answered. Implicit (`tasks` empty): every task of this framework is told. */
const Reconcile = v.object({
  ...V.entries,
  type: v.literal('RECONCILE'),
  tasks: v.pipe(
    v.array(v.object({ task: Id, attempt: v.optional(Count), agent: v.optional(Id) })),
    v.maxLength(LIMITS.tasksPerMessage),
  ),
});
const StoreKey = v.pipe(v.string(), v.regex(/^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$/));
const StoreValue = v.pipe(v.string(), v.maxLength(LIMITS.storeValueBytes));
/** Compare-and-set of small durable state: `version` 0 creates; `value` null removes. Answered by STORED. */
const Store = v.object({
  ...V.entries,
  type: v.literal('STORE'),
  request: Id,
  key: StoreKey,
  value: v.nullable(StoreValue),
  version: Count,
});
/** Reads every key that begins with `prefix`. Answered by LOADED, in parts. */
const Load = v.object({
  ...V.entries,
  type: v.literal('LOAD'),
  request: Id,
  prefix: v.pipe(v.string(), v.maxLength(128)),
});
/** Answers a REQUEST event; `part` counts from 0, the one with `last` ends it. */
const Reply = v.object({
  ...V.entries,
  type: v.literal('REPLY'),
  request: Id,
  client: Id,
  session: Id,
  part: Count,
  last: v.boolean(),
  body: v.optional(v.unknown()),
  fault: v.optional(FaultSchema),
});
/**
 * Shows small things to people under `state/<kind>/<framework>/<id>`; `view` null removes one. A framework may show what it
 * calls jobs; what it shows is JSON, at most 20 kB each, and 2 MB together: of more, what was shown least lately is cleared.
 * `progress` is for numbers that people plot, in a topic of its own, `…/progress`; what has 150 bytes or more is left out.
 */
const Show = v.object({
  ...V.entries,
  type: v.literal('SHOW'),
  things: v.pipe(
    v.array(
      v.object({
        kind: v.picklist(['jobs']),
        id: Id,
        view: v.nullable(v.record(v.string(), v.unknown())),
        progress: v.optional(v.record(v.string(), Count)),
      }),
    ),
    v.maxLength(LIMITS.operations),
  ),
});
const Teardown = v.object({ ...V.entries, type: v.literal('TEARDOWN') });

/** Frameworks that live in the leader's process: they have the machine's trust, and names nobody else may take. */
const BUILT_IN: ReadonlySet<string> = new Set(['batch']);

export function isBuiltIn(framework: string): boolean {
  return BUILT_IN.has(framework);
}

/** For an executor of this framework; at most once. */
const Message = v.object({ ...V.entries, type: v.literal('MESSAGE'), agent: Id, executor: Id, data: Data });
/** Ends an executor of this framework, and its tasks with it; at most once: FAILURE says that it has ended. */
const Shutdown = v.object({ ...V.entries, type: v.literal('SHUTDOWN'), agent: Id, executor: Id });

/** scheduler → master, on `frameworks/<name>/call`. */
export const CALLS = {
  SUBSCRIBE: Subscribe,
  UPDATE_FRAMEWORK: UpdateFramework,
  ACCEPT: Accept,
  DECLINE: Decline,
  REVIVE: Revive,
  SUPPRESS: Suppress,
  KILL: Kill,
  ACKNOWLEDGE: Acknowledge,
  RECONCILE: Reconcile,
  ACKNOWLEDGE_OPERATION_STATUS: AcknowledgeOperation,
  RECONCILE_OPERATIONS: ReconcileOperations,
  ACCEPT_INVERSE_OFFERS: AcceptInverse,
  DECLINE_INVERSE_OFFERS: DeclineInverse,
  STORE: Store,
  LOAD: Load,
  REQUEST: RequestResources,
  REPLY: Reply,
  SHOW: Show,
  TEARDOWN: Teardown,
  MESSAGE: Message,
  SHUTDOWN: Shutdown,
} as const;

const Subscribed = v.object({
  ...V.entries,
  type: v.literal('SUBSCRIBED'),
  framework: Id,
  cluster: Id,
  /** Rises when a backup is restored: what was placed after it is forgotten, and new attempts must not take its numbers. */
  generation: v.optional(Count, 1),
  term: Count,
  offerMs: Count,
});
const OffersEvent = v.object({
  ...V.entries,
  type: v.literal('OFFERS'),
  offers: v.pipe(v.array(Offer), v.maxLength(LIMITS.operations)),
});
const Rescind = v.object({ ...V.entries, type: v.literal('RESCIND'), offers: v.array(Id) });
/** `agent` is known from the launch on. A status without a sequence (0) needs no acknowledgement: an answer to RECONCILE, or from the master itself. */
export const StatusEvent = v.object({
  ...TaskStatus.entries,
  agent: v.optional(Id),
  agentName: v.optional(Id),
  /** It runs, and this cluster did not launch it: a restored backup has forgotten it. To be adopted or killed. */
  orphan: v.optional(v.boolean()),
  acknowledge: v.boolean(),
  receivedMs: v.optional(Count),
});
export type StatusEvent = v.InferOutput<typeof StatusEvent>;
const UpdateEvent = v.object({
  ...V.entries,
  type: v.literal('UPDATE'),
  updates: v.pipe(v.array(StatusEvent), v.maxLength(LIMITS.tasksPerMessage)),
});
const OperationEvent = v.object({
  ...V.entries,
  type: v.literal('UPDATE_OPERATION_STATUS'),
  updates: v.pipe(v.array(OperationStatus), v.maxLength(LIMITS.tasksPerMessage)),
});
/**
 * An agent on which the framework has tasks will be unavailable: a question whether they will have left by then, answered
 * once by ACCEPT_INVERSE_OFFERS or DECLINE_INVERSE_OFFERS. It stands until it is rescinded.
 */
export const InverseOffer = v.object({
  offer: Id,
  framework: Id,
  agent: Id,
  name: Id,
  unavailability: Unavailability,
});
export type InverseOffer = v.InferOutput<typeof InverseOffer>;
const InverseOffersEvent = v.object({
  ...V.entries,
  type: v.literal('INVERSE_OFFERS'),
  offers: v.pipe(v.array(InverseOffer), v.maxLength(LIMITS.operations)),
});
const RescindInverse = v.object({ ...V.entries, type: v.literal('RESCIND_INVERSE_OFFERS'), offers: v.array(Id) });
/** An agent was lost, or an executor ended (`status`: as a shell gives it, null where unknown); for information. */
const Failure = v.object({
  ...V.entries,
  type: v.literal('FAILURE'),
  agent: Id,
  state: v.picklist(['unreachable', 'gone', 'executor-ended']),
  executor: v.optional(Id),
  status: v.optional(v.nullable(Count)),
});
/** An executor of this framework speaks. */
const MessageEvent = v.object({ ...V.entries, type: v.literal('MESSAGE'), agent: Id, executor: Id, data: Data });
const ErrorEvent = v.object({ ...V.entries, type: v.literal('ERROR'), fault: FaultSchema });
const Stored = v.object({
  ...V.entries,
  type: v.literal('STORED'),
  request: Id,
  version: Count,
  fault: v.optional(FaultSchema),
});
const Loaded = v.object({
  ...V.entries,
  type: v.literal('LOADED'),
  request: Id,
  part: Count,
  last: v.boolean(),
  entries: v.array(v.object({ key: StoreKey, value: StoreValue, version: Count })),
});
/** A client's request to this framework; its principal comes from the credential, never from the payload. */
const Request = v.object({
  ...V.entries,
  type: v.literal('REQUEST'),
  request: Id,
  session: Id,
  principal: PrincipalSchema,
  op: Id,
  body: v.unknown(),
});

/** master → scheduler, on `frameworks/<name>/event`; OFFERS, RESCIND and their inverses on `frameworks/<name>/offers`. */
export const EVENTS = {
  SUBSCRIBED: Subscribed,
  OFFERS: OffersEvent,
  RESCIND: Rescind,
  INVERSE_OFFERS: InverseOffersEvent,
  RESCIND_INVERSE_OFFERS: RescindInverse,
  UPDATE: UpdateEvent,
  UPDATE_OPERATION_STATUS: OperationEvent,
  FAILURE: Failure,
  ERROR: ErrorEvent,
  STORED: Stored,
  LOADED: Loaded,
  REQUEST: Request,
  MESSAGE: MessageEvent,
} as const;
