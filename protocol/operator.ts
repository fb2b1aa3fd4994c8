import * as v from 'valibot';
import { Identity } from './agent-link.ts';
import { AgentStats } from './agent-stats.ts';
import { Sha256 } from './artifact.ts';
import { ExecWord } from './exec.ts';
import { FaultSchema } from './fault-schema.ts';
import { Id } from './ids.ts';
import { TaskView } from './job.ts';
import { LIMITS } from './limits.ts';
import { LimitsSchema, QuantitiesSchema } from './quantities.ts';
import { NewMember } from './raft.ts';
import { ResourcesSchema } from './resources.ts';
import { RoleSchema } from './role-schema.ts';
import { SandboxPath } from './sandbox-path.ts';

/**
 * What a credential allows (docs/security.md). A user speaks for their own jobs, a viewer only reads, a join token asks
 * for an agent's credential and for nothing else.
 */
export const ROLES = ['agent', 'framework', 'user', 'operator', 'viewer', 'join'] as const;
export type CredentialRole = (typeof ROLES)[number];

export const PrincipalSchema = v.object({ name: Id, role: v.picklist(ROLES) });
/** Who speaks: from the credential and the topic, never from the payload. */
export type Principal = v.InferOutput<typeof PrincipalSchema>;

const Count = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(Number.MAX_SAFE_INTEGER));
const V = v.object({ v: v.number() });

/**
 * Asks the leader (`framework` absent) or a framework something. `request` is minted by the client and commits with
 * its effect: repeating it is safe. Shapes of `body` by `op`: {@link OPERATIONS} for the leader, protocol/job.ts for batch.
 */
const Request = v.object({
  ...V.entries,
  type: v.literal('REQUEST'),
  request: Id,
  framework: v.optional(Id),
  op: Id,
  body: v.optional(v.unknown(), {}),
});

/** client → master, on `clients/<name>/<session>/request`. */
export const REQUESTS = { REQUEST: Request } as const;

/** One part of an answer; exactly the last has `last`. A fault ends it. */
const Reply = v.object({
  ...V.entries,
  type: v.literal('REPLY'),
  request: Id,
  part: Count,
  last: v.boolean(),
  body: v.optional(v.unknown()),
  fault: v.optional(FaultSchema),
});

/** master → client, on `clients/<name>/<session>/reply`. */
export const REPLIES = { REPLY: Reply } as const;

const Text = v.pipe(v.string(), v.maxLength(256));
/** Milliseconds from now. */
const Span = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(LIMITS.durationMs));

export const AgentView = v.object({
  id: Id,
  name: Id,
  state: v.picklist(['active', 'disconnected', 'unreachable', 'draining', 'drained', 'gone']),
  hostname: Text,
  attributes: v.record(Text, v.string()),
  /** Mesos's syntax. */
  resources: v.object({ total: v.string(), allocated: v.string(), offered: v.string() }),
  tasks: Count,
  epoch: Count,
  /** Wall-clock milliseconds of the leader; null if not seen in this term. */
  lastSeen: v.nullable(Count),
  /** When it will be drained, or is; `end` null: until it is resumed. */
  window: v.optional(v.object({ start: Count, end: v.nullable(Count) })),
  /**
   * While it is drained: until when, what its health says against it (absent: an operator drains it), and what the
   * frameworks with tasks there have said to that.
   */
  drain: v.optional(
    v.object({
      deadline: Count,
      wish: v.optional(Text),
      accepted: v.array(Id),
      declined: v.array(Id),
      silent: v.array(Id),
    }),
  ),
});
export type AgentView = v.InferOutput<typeof AgentView>;

export const MasterView = v.object({
  id: Id,
  url: v.string(),
  role: v.picklist(['leader', 'follower', 'candidate', 'unreachable']),
  term: Count,
  /** Of others: up to where they hold what is committed, as far as the leader knows. */
  commitIndex: Count,
  /** Empty where the leader does not know. */
  version: v.string(),
  /** False for one that only receives the log: it is being brought up to date, and votes afterwards. */
  voter: v.optional(v.boolean(), true),
});
export type MasterView = v.InferOutput<typeof MasterView>;

/**
 * One master as `state/masters/<id>` has it. On the broker of a master that knows no leader: as that one knows it by
 * itself, a follower or unreachable.
 */
export const ShownMaster = v.object({
  id: Id,
  role: MasterView.entries.role,
  version: v.string(),
  url: v.string(),
  term: Count,
});
export type ShownMaster = v.InferOutput<typeof ShownMaster>;

export const FrameworkView = v.object({
  id: Id,
  name: Id,
  role: v.string(),
  roles: v.array(v.string()),
  state: v.picklist(['active', 'disconnected']),
  tasks: Count,
  allocated: v.string(),
  offered: v.string(),
});
export type FrameworkView = v.InferOutput<typeof FrameworkView>;

const ReservedSchema = v.object({
  agent: Id,
  resources: v.pipe(
    ResourcesSchema,
    v.check((resources) => resources.length > 0, 'there is nothing to reserve'),
    v.check(
      (resources) => resources.every(({ role, revocable }) => role !== undefined && revocable === undefined),
      'every part needs a role: cpus(role):2',
    ),
  ),
});

const PlainSchema = v.pipe(
  ReservedSchema.entries.resources,
  v.check(
    (resources) => resources.every(({ volume }) => volume === undefined),
    'frameworks make volumes (CREATE); reserve the disk for their role',
  ),
);

/** A role that somebody subscribes to, holds something under, or that has a weight, a quota or a reservation. */
export const RoleView = v.object({
  role: v.string(),
  weight: v.number(),
  /** Dominant share, 0 to 1, not weighted. */
  share: v.number(),
  frameworks: v.array(Id),
  /** Mesos's syntax; of the role and all below it. */
  allocated: v.string(),
  reserved: v.string(),
  /** Null where it has none; `used` counts for the whole subtree. */
  quota: v.nullable(v.object({ guarantees: v.string(), limits: v.string(), used: v.string() })),
});
export type RoleView = v.InferOutput<typeof RoleView>;

export const OfferView = v.object({
  id: Id,
  framework: Id,
  role: v.string(),
  agent: v.string(),
  resources: v.string(),
  created: Count,
});
export type OfferView = v.InferOutput<typeof OfferView>;

/** What keeps one agent from holding one task now; `never` where waiting cannot help. */
export const AgentVerdict = v.object({
  agent: Text,
  state: Text,
  fits: v.boolean(),
  never: v.boolean(),
  missing: v.array(v.string()),
});
export type AgentVerdict = v.InferOutput<typeof AgentVerdict>;

export const EventView = v.object({ at: Count, kind: Id, subject: v.string(), text: v.string() });
export type EventView = v.InferOutput<typeof EventView>;

/** How the secret of a join token begins, so that who is given one knows what it is. No other secret has a `-`. */
export const JOIN_SECRET = 'join-';

/** True for `name:secret` of a join token. */
export function isJoinToken(token: string): boolean {
  return token.slice(token.indexOf(':') + 1).startsWith(JOIN_SECRET);
}

/** What the leader itself answers, by `op`: who may ask (and every role above), the body, and each part of the reply. */
export const OPERATIONS = {
  agents: { role: 'viewer', body: v.object({}), part: v.object({ agents: v.array(AgentView) }) },
  masters: { role: 'viewer', body: v.object({}), part: v.object({ masters: v.array(MasterView) }) },
  /** A new master, which votes once it has what is committed. */
  'masters-add': { role: 'operator', body: NewMember, part: v.object({ master: Id }) },
  'masters-remove': { role: 'operator', body: v.object({ master: Id }), part: v.object({ master: Id }) },
  /** Another master leads: for maintenance of this one. */
  'masters-transfer': { role: 'operator', body: v.object({ master: Id }), part: v.object({ master: Id }) },
  /** The whole registry: slices of a snapshot, in pieces (`ends` where a slice ends), for protocol users that speak CBOR. */
  backup: {
    role: 'operator',
    body: v.object({}),
    part: v.object({
      cluster: Id,
      generation: Count,
      /** Log index of the last command in it. */
      index: Count,
      pieces: v.array(
        v.object({
          bytes: v.custom<Uint8Array>((value) => value instanceof Uint8Array, 'bytes are expected'),
          ends: v.boolean(),
        }),
      ),
    }),
  },
  frameworks: { role: 'viewer', body: v.object({}), part: v.object({ frameworks: v.array(FrameworkView) }) },
  offers: { role: 'viewer', body: v.object({}), part: v.object({ offers: v.array(OfferView) }) },
  /** The last 1,000 events of this leader, oldest first; later ones are on `mesq/events/…`. */
  events: { role: 'viewer', body: v.object({}), part: v.object({ events: v.array(EventView) }) },
  /** Tasks of every framework that have been placed, live and finished; of one job, or of all. */
  tasks: { role: 'viewer', body: v.object({ job: v.optional(Id) }), part: v.object({ tasks: v.array(TaskView) }) },
  /** Would a task of these needs fit, and where not, why. */
  explain: {
    role: 'viewer',
    body: v.object({
      resources: ResourcesSchema,
      ports: v.optional(Count, 0),
      constraints: v.optional(
        v.pipe(v.array(v.pipe(v.string(), v.maxLength(LIMITS.constraintLength))), v.maxLength(2 * LIMITS.constraints)),
        [],
      ),
      /** Whose task: offers that it holds already are no obstacle. */
      framework: v.optional(Id, 'batch'),
      /** Under which role: what others have reserved is not for it, and its quota counts. Absent: neither matters. */
      role: v.optional(RoleSchema),
    }),
    /** `reasons`: what keeps it waiting wherever it might go. */
    part: v.object({
      verdict: v.picklist(['now', 'later', 'never']),
      reasons: v.optional(v.array(v.string()), []),
      agents: v.array(AgentVerdict),
    }),
  },
  /** What a framework has said it needs (REQUEST), while it is connected. */
  needs: {
    role: 'viewer',
    body: v.object({ framework: Id }),
    part: v.object({
      framework: Id,
      state: v.picklist(['active', 'disconnected']),
      needs: v.array(
        v.object({
          name: v.nullable(Id),
          role: v.string(),
          count: Count,
          /** Mesos's syntax. */
          resources: v.string(),
          ports: Count,
          constraints: v.array(v.string()),
        }),
      ),
    }),
  },
  /** Grants the reader bytes of a task's output (protocol/agent-link.ts READ); they come as CHUNK on the client's bulk topic. */
  read: {
    role: 'viewer',
    body: v.object({
      framework: Id,
      task: Id,
      attempt: v.optional(Count),
      /** Which start of the attempt; absent: the newest. */
      restart: v.optional(Count),
      stream: v.picklist(['stdout', 'stderr']),
      from: v.pipe(v.number(), v.integer()),
      until: Count,
      follow: v.boolean(),
      /** Although the agent's budget for bulk is spent: for operators. */
      overBudget: v.optional(v.boolean(), false),
      /** The stream's own id: the same in every later grant of it. */
      reader: Id,
    }),
    part: v.object({ attempt: Count, agent: v.string() }),
  },
  /** A file of a task's sandbox, as `read` of a stream. */
  'read-file': {
    role: 'viewer',
    body: v.object({
      framework: Id,
      task: Id,
      attempt: v.optional(Count),
      path: SandboxPath,
      from: Count,
      until: Count,
      overBudget: v.optional(v.boolean(), false),
      reader: Id,
    }),
    part: v.object({ attempt: Count, agent: v.string() }),
  },
  /**
   * Which blocks of an upload the leader lacks, as places in `blocks`: it takes them on the client's upload topic, at most
   * `window` of them unanswered. Of too large an upload nothing is taken.
   */
  'blob-missing': {
    role: 'user',
    body: v.object({
      /** SHA-256 of its root (docs/uploads.md). */
      blob: Sha256,
      /** Bytes of all of it. */
      size: Count,
      blocks: v.pipe(v.array(Sha256), v.minLength(1), v.maxLength(LIMITS.blocksPerList)),
    }),
    part: v.object({ missing: v.array(Count), window: Count }),
  },
  /** An upload counts once it is complete: most of the voting masters, here named, have all of it on disk. */
  'blob-complete': {
    role: 'user',
    body: v.object({ blob: Sha256, size: Count }),
    part: v.object({ state: v.picklist(['complete', 'spreading', 'incomplete']), masters: v.array(Id) }),
  },
  /**
   * A word to a program beside a task (protocol/exec.ts), for the job's owner and for operators: its answers come as
   * EXEC_OUTPUT on the client's bulk topic.
   */
  exec: {
    role: 'user',
    body: v.object({ framework: Id, task: Id, attempt: v.optional(Count), word: ExecWord }),
    part: v.object({ attempt: Count, agent: v.string() }),
  },
  /** What an agent has counted; the agent itself answers. By name or id. */
  'agent-stats': {
    role: 'viewer',
    body: v.object({ agent: Id }),
    part: v.object({ agent: Id, stats: AgentStats }),
  },
  roles: { role: 'viewer', body: v.object({}), part: v.object({ roles: v.array(RoleView) }) },
  'weight-set': {
    role: 'operator',
    body: v.object({ role: RoleSchema, weight: v.pipe(v.number(), v.minValue(0.001), v.maxValue(1_000_000)) }),
    part: v.object({ role: v.string() }),
  },
  /** Of a role at the top of the tree; `limits` may be zero, a name without a limit is not limited. */
  'quota-set': {
    role: 'operator',
    body: v.object({
      role: v.pipe(RoleSchema, v.excludes('/', 'a quota is for a role at the top of the tree')),
      guarantees: v.optional(QuantitiesSchema, []),
      limits: v.optional(LimitsSchema, []),
      /** Also below what is in use. */
      force: v.optional(v.boolean(), false),
    }),
    part: v.object({ role: v.string() }),
  },
  'quota-remove': { role: 'operator', body: v.object({ role: RoleSchema }), part: v.object({ role: v.string() }) },
  /** `resources`, each entry with a role: out of what is free there and nobody's. */
  reserve: {
    role: 'operator',
    body: v.object({ ...ReservedSchema.entries, resources: PlainSchema }),
    part: v.object({ agent: Id }),
  },
  unreserve: { role: 'operator', body: ReservedSchema, part: v.object({ agent: Id }) },
  /**
   * No more tasks; those that run end by themselves until the deadline, and are killed then (default: at once).
   * `inMs`: only from then on, and until then offers say so; `forMs`: it is resumed after so long.
   */
  drain: {
    role: 'operator',
    body: v.object({
      agent: Id,
      deadlineMs: v.optional(Span, 0),
      inMs: v.optional(Span),
      forMs: v.optional(v.pipe(Span, v.minValue(1))),
    }),
    part: v.object({ agent: Id }),
  },
  resume: { role: 'operator', body: v.object({ agent: Id }), part: v.object({ agent: Id }) },
  /** Its tasks are killed, what it kept is forgotten. */
  teardown: { role: 'operator', body: v.object({ framework: Id }), part: v.object({ framework: Id }) },
  /** Ends a task that runs although no framework knows it (after a restored backup). */
  'orphan-kill': {
    role: 'operator',
    body: v.object({ framework: Id, task: Id }),
    part: v.object({ task: Id }),
  },
  gone: { role: 'operator', body: v.object({ agent: Id }), part: v.object({ agent: Id }) },
  /** The token is shown once; the registry keeps its hash. A name has one role. */
  'token-create': {
    role: 'operator',
    body: v.pipe(
      v.object({
        role: v.picklist(ROLES),
        name: Id,
        /** Of a join token: how many boards it is good for, and for how long. Absent: any number, for ever. */
        uses: v.optional(v.pipe(Count, v.minValue(1), v.maxValue(LIMITS.tokens))),
        forMs: v.optional(v.pipe(Span, v.minValue(1))),
      }),
      v.check(
        ({ role, uses, forMs }) => role === 'join' || (uses === undefined && forMs === undefined),
        'only the uses and the time of a join token are limited',
      ),
    ),
    part: v.object({ id: Id, token: v.string() }),
  },
  /**
   * A board asks for a credential of its own, with a join token and nothing else. It makes the secret and shows its
   * hash: nobody who hears the answer learns it. `name` is a wish, unless `exact`: the answer says what it became.
   * Asked again by the same hardware it replaces what that had.
   */
  join: {
    role: 'join',
    body: v.object({
      name: Id,
      exact: v.optional(v.boolean(), false),
      identity: v.pipe(
        Identity,
        v.check(({ machine, serial }) => machine !== '' || serial !== '', 'a machine-id or a serial number is needed'),
      ),
      /** SHA-256 of the secret, in hexadecimal. */
      hash: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/, 'a SHA-256 is 64 of 0-9 a-f')),
    }),
    part: v.object({ agent: Id }),
  },
  'token-list': {
    role: 'operator',
    body: v.object({}),
    part: v.object({
      tokens: v.array(
        v.object({
          id: Id,
          role: v.picklist(ROLES),
          name: Id,
          created: Count,
          /** Of a join token: boards that joined with it, how many may, and until when. */
          joins: v.optional(v.object({ used: Count, limit: v.nullable(Count), until: v.nullable(Count) })),
        }),
      ),
    }),
  },
  /** By token id, or every token of a name. Live connections of that name are cut. */
  'token-revoke': { role: 'operator', body: v.object({ token: Id }), part: v.object({ revoked: Count }) },
} as const;
export type OperationName = keyof typeof OPERATIONS;
