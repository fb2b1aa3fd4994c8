import * as v from 'valibot';
import { AgentStats } from './agent-stats.ts';
import { Sha256 } from './artifact.ts';
import { AttributesSchema } from './attributes.ts';
import { Exec, ExecOutput } from './exec.ts';
import { FaultSchema } from './fault-schema.ts';
import { Id } from './ids.ts';
import { LIMITS } from './limits.ts';
import { ResourcesSchema } from './resources.ts';
import { RoleSchema } from './role-schema.ts';
import { SandboxPath } from './sandbox-path.ts';
import { Data, TASK_STATES, TaskInfo, TaskKey, TaskStatus } from './task.ts';

const Count = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(Number.MAX_SAFE_INTEGER));
const Word = v.pipe(v.string(), v.maxLength(128));
const V = v.object({ v: v.number() });

/** What binds an agent's id to its hardware; empty strings where the machine has none. */
export const Identity = v.object({ machine: v.optional(Word, ''), serial: v.optional(Word, '') });
export type Identity = v.InferOutput<typeof Identity>;

/**
 * True where both say what they are, and it is not the same: a copied card, or one that was moved. What either side does
 * not know (a serial number only root may read) tells nothing.
 */
export function isOtherMachine(known: Identity, now: Identity): boolean {
  const differ = (left: string, right: string): boolean => left !== '' && right !== '' && left !== right;
  return differ(known.machine, now.machine) || differ(known.serial, now.serial);
}

export const Versions = v.object({ min: Count, max: Count, features: v.pipe(v.array(Id), v.maxLength(64)) });

/** A run as the agent has it. */
export const KnownTask = v.object({
  framework: Id,
  task: Id,
  attempt: Count,
  restart: v.optional(Count, 0),
  state: v.picklist(TASK_STATES),
  /** Highest sequence of its updates that a master has acknowledged. */
  sequence: v.optional(Count, 0),
  /** What it occupies, so that a master that never heard of it counts it. */
  resources: v.optional(ResourcesSchema, []),
});
export type KnownTask = v.InferOutput<typeof KnownTask>;

/** What a machine has: volumes are made of it by the cluster. */
const Reported = v.pipe(
  ResourcesSchema,
  v.check((resources) => resources.every(({ volume }) => volume === undefined), 'an agent reports no volumes'),
);

const KnownTasks = v.pipe(v.array(KnownTask), v.maxLength(LIMITS.tasksPerAgent));

/** A sequence of parts: `part` counts from 0, the one with `last` ends it. Without either it is the only one. */
const Part = { part: v.optional(Count, 0), last: v.optional(v.boolean(), true) };

/**
 * New process on rebooted hardware, lost state, or after having been unreachable. Commits, and gives an epoch;
 * idempotent by (incarnation, counter): both are minted by the agent, the incarnation at random once a process,
 * and fsynced before they are sent.
 */
const Register = v.object({
  ...V.entries,
  type: v.literal('REGISTER'),
  agent: Id,
  name: Id,
  identity: v.optional(Identity, { machine: '', serial: '' }),
  incarnation: Id,
  counter: Count,
  /** Absent: the first version, and no other. */
  versions: v.optional(Versions, { min: 1, max: 1, features: [] }),
  hostname: v.optional(Word, ''),
  boot: v.optional(Word, ''),
  resources: Reported,
  attributes: v.optional(AttributesSchema, []),
  metered: v.optional(v.boolean(), false),
  /** The cluster it belongs to; absent when it never joined one. */
  cluster: v.optional(v.object({ uuid: Id, generation: Count })),
  /** Absent: it has none, whatever it had before. */
  tasks: v.optional(KnownTasks, []),
  ...Part,
});

/** Reconnected, restarted, or a new leader: commits nothing unless `digest` or the resources differ. */
const Resume = v.object({
  ...V.entries,
  type: v.literal('RESUME'),
  agent: Id,
  epoch: Count,
  identity: v.optional(Identity, { machine: '', serial: '' }),
  incarnation: Id,
  cluster: v.object({ uuid: Id, generation: Count }),
  boot: v.optional(Word, ''),
  /** Required where there is no `reported`. */
  resources: v.optional(Reported),
  attributes: v.optional(AttributesSchema, []),
  /**
   * `reportedDigest` of resources and attributes, which then are not there: only on a connection to a leadership
   * that said `brief` to this process, which knows its identity and its boot too.
   */
  reported: v.optional(Word),
  /** The connection's number, as {@link Presence} would say it: only where RESUME was the first word on it. */
  session: v.optional(Count),
  /** {@link taskDigest} of the tasks it has whose end the master has not acknowledged; absent: the master asks for all of them. */
  digest: v.optional(Word),
  /** The keep-alive that it goes on with, if the leader bears it; absent: the first, 60 s, or 240 s metered. */
  keepAliveMs: v.optional(Count),
});

/** Resources or attributes changed significantly. */
const Report = v.object({
  ...V.entries,
  type: v.literal('REPORT'),
  epoch: Count,
  resources: Reported,
  attributes: v.optional(AttributesSchema, []),
});

/** The launches it has made durable, and those it refused. Answers RUN. */
const Accepted = v.object({
  ...V.entries,
  type: v.literal('ACCEPTED'),
  epoch: Count,
  tasks: v.optional(v.pipe(v.array(TaskKey), v.maxLength(LIMITS.tasksPerMessage)), []),
  refused: v.optional(
    v.pipe(v.array(v.object({ ...TaskKey.entries, fault: FaultSchema })), v.maxLength(LIMITS.tasksPerMessage)),
    [],
  ),
});

const Update = v.object({
  ...V.entries,
  type: v.literal('UPDATE'),
  epoch: Count,
  updates: v.pipe(v.array(TaskStatus), v.maxLength(LIMITS.tasksPerMessage)),
});

/** Every task it has; answers RECONCILE. */
const Tasks = v.object({
  ...V.entries,
  type: v.literal('TASKS'),
  epoch: Count,
  request: Id,
  tasks: KnownTasks,
  ...Part,
});

/**
 * Keeps the lease where the master cannot see packets (a broker of somebody else's). With `keepAliveMs` it says how long
 * it will be silent from now on: only to a leader that has named a longest keep-alive, and no longer than that.
 */
const Renew = v.object({
  ...V.entries,
  type: v.literal('RENEW'),
  epoch: Count,
  keepAliveMs: v.optional(Count),
});

const ExecutorKey = v.object({ framework: Id, executor: Id });

/** An executor speaks to its scheduler; at most once. */
const ExecutorMessage = v.object({
  ...V.entries,
  type: v.literal('MESSAGE'),
  epoch: Count,
  ...ExecutorKey.entries,
  data: Data,
});

/** An executor has ended; its tasks have reports of their own. At most once. */
const ExecutorEnded = v.object({
  ...V.entries,
  type: v.literal('EXECUTOR_ENDED'),
  epoch: Count,
  ...ExecutorKey.entries,
  /** As a shell gives it; null where it is not known. */
  status: v.nullable(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(255))),
});

const VolumeKey = v.object({ volume: Id, role: RoleSchema });
const VolumeKeys = v.pipe(v.array(VolumeKey), v.maxLength(LIMITS.volumesPerAgent));

/** Answers DESTROY_VOLUMES: what was in them is removed, or (`problem`) could not be. */
const VolumesRemoved = v.object({
  ...V.entries,
  type: v.literal('VOLUMES_REMOVED'),
  epoch: Count,
  volumes: v.pipe(
    v.array(v.object({ ...VolumeKey.entries, problem: v.optional(v.pipe(v.string(), v.maxLength(500))) })),
    v.maxLength(LIMITS.volumesPerAgent),
  ),
});

/** Executors without a task, all of them: those of frameworks that are gone are told to shut down. */
const IdleExecutors = v.object({
  ...V.entries,
  type: v.literal('IDLE_EXECUTORS'),
  epoch: Count,
  executors: v.pipe(v.array(ExecutorKey), v.maxLength(LIMITS.executorsPerAgent)),
});

/** Asks for blocks of an upload that a task of this agent names; they come on `agents/<name>/blocks`, as many as asked for. */
const ReadBlocks = v.object({
  ...V.entries,
  type: v.literal('READ_BLOCKS'),
  epoch: Count,
  blob: Sha256,
  blocks: v.pipe(v.array(Sha256), v.minLength(1), v.maxLength(LIMITS.blockWindow)),
});

/** Answers ASK_STATS: what it has counted; `client`, `session` and `request` as they were asked. */
const Stats = v.object({
  ...V.entries,
  type: v.literal('STATS'),
  epoch: Count,
  request: Id,
  client: Id,
  session: Id,
  stats: AgentStats,
});

/** agent → master, on `agents/<name>/up`. */
export const AGENT_UP = {
  REGISTER: Register,
  RESUME: Resume,
  REPORT: Report,
  ACCEPTED: Accepted,
  UPDATE: Update,
  TASKS: Tasks,
  RENEW: Renew,
  MESSAGE: ExecutorMessage,
  EXECUTOR_ENDED: ExecutorEnded,
  IDLE_EXECUTORS: IdleExecutors,
  VOLUMES_REMOVED: VolumesRemoved,
  READ_BLOCKS: ReadBlocks,
  STATS: Stats,
} as const;

/** What every command to an agent carries; an agent refuses what is older than what it has persisted (docs/protocol.md, Fencing). */
const Fence = {
  ...V.entries,
  cluster: Id,
  generation: Count,
  term: Count,
  index: Count,
  epoch: Count,
};
export const FenceSchema = v.object(Fence);
export type Fence = v.InferOutput<typeof FenceSchema>;

/**
 * `agent` and `epoch` as committed; `version` is the protocol both speak. `renewMs` asks for RENEW (absent,
 * as from every master that there is: any packet renews);
 * `keepAliveMs` is the longest keep-alive that this leader bears from the agent (absent: the first and no other).
 * `brief`: a RESUME to this leadership may say `reported`; `opens`: it may be the first word of a connection to this broker,
 * which needs no will, and on which `mesq/news` says who leads from then on. `packs`: it takes
 * messages packed with the dictionary of that number, and packs its own for whoever did. `report` asks for a REPORT: the digest was another one.
 */
const Registered = v.object({
  ...Fence,
  type: v.literal('REGISTERED'),
  agent: Id,
  version: Count,
  incarnation: Id,
  counter: Count,
  renewMs: v.optional(Count),
  keepAliveMs: v.optional(Count),
  brief: v.optional(v.boolean()),
  opens: v.optional(v.boolean()),
  packs: v.optional(Count),
});
const Resumed = v.object({
  ...Fence,
  type: v.literal('RESUMED'),
  agent: Id,
  renewMs: v.optional(Count),
  keepAliveMs: v.optional(Count),
  brief: v.optional(v.boolean()),
  opens: v.optional(v.boolean()),
  packs: v.optional(Count),
  report: v.optional(v.boolean()),
});

/** Registration or resumption refused. `register: true` asks for a REGISTER; otherwise a person must act. */
const Refused = v.object({ ...V.entries, type: v.literal('REFUSED'), fault: FaultSchema, register: v.boolean() });

const Run = v.object({
  ...Fence,
  type: v.literal('RUN'),
  tasks: v.pipe(v.array(v.object({ framework: Id, info: TaskInfo })), v.maxLength(LIMITS.tasksPerMessage)),
});
const Kill = v.object({
  ...Fence,
  type: v.literal('KILL'),
  /** `graceMs` overrides the task's own; a later kill can only shorten it. `tell`: TASK_KILLING is reported. */
  tasks: v.pipe(
    v.array(v.object({ ...TaskKey.entries, graceMs: v.optional(Count), tell: v.optional(v.boolean()) })),
    v.maxLength(LIMITS.tasksPerMessage),
  ),
});
/** Updates the master has committed; the outbox forgets them. */
const Acknowledge = v.object({
  ...Fence,
  type: v.literal('ACKNOWLEDGE'),
  updates: v.pipe(v.array(Id), v.maxLength(LIMITS.tasksPerMessage)),
});
const Reconcile = v.object({ ...Fence, type: v.literal('RECONCILE'), request: Id });

export const STREAMS = ['stdout', 'stderr'] as const;
export type Stream = (typeof STREAMS)[number];

/** The leader takes pieces deflated: see `deflated` of CHUNK. */
const Deflate = v.optional(v.boolean(), false);
/** And by Brotli, from an agent on a metered link: see `brotli` of CHUNK. */
const Brotli = v.optional(v.boolean(), false);
/** Although the agent's budget for bulk is spent: an operator said so. */
const OverBudget = v.optional(v.boolean(), false);

/**
 * Grants a reader bytes of an output stream: from `from` up to `until` (absolute offsets), now and, with `follow`,
 * as they are written. A later READ of the same request replaces the grant; `until` equal to `from` ends it.
 */
const Read = v.object({
  ...V.entries,
  type: v.literal('READ'),
  request: Id,
  client: Id,
  session: Id,
  framework: Id,
  task: Id,
  attempt: Count,
  stream: v.picklist(STREAMS),
  /** Of a task that its restart policy starts again; the newest and the one before are kept. Absent: the newest. */
  restart: v.optional(Count),
  /** Negative: that many bytes before the end. */
  from: v.pipe(v.number(), v.integer()),
  until: Count,
  follow: v.boolean(),
  overBudget: OverBudget,
  deflate: Deflate,
  brotli: Brotli,
});
export type Read = v.InferOutput<typeof Read>;

/**
 * Grants a reader bytes of a file in a task's sandbox, as {@link Read} does of a stream. A type of its own: who does not
 * know it says nothing, and never sends a stream instead.
 */
const ReadFile = v.object({
  ...V.entries,
  type: v.literal('READ_FILE'),
  request: Id,
  client: Id,
  session: Id,
  framework: Id,
  task: Id,
  attempt: Count,
  path: SandboxPath,
  from: Count,
  until: Count,
  overBudget: OverBudget,
  deflate: Deflate,
  brotli: Brotli,
});
export type ReadFile = v.InferOutput<typeof ReadFile>;

/**
 * A person wants to know what the agent has counted. Not fenced, as READ is not: it changes nothing. Who does not know
 * it says nothing.
 */
const AskStats = v.object({ ...V.entries, type: v.literal('ASK_STATS'), request: Id, client: Id, session: Id });
export type AskStats = v.InferOutput<typeof AskStats>;

/** Declared gone, or never to register again: kill everything and stop. */
const Shutdown = v.object({ ...Fence, type: v.literal('SHUTDOWN'), fault: FaultSchema });

/** A scheduler speaks to its executor; at most once. */
const SchedulerMessage = v.object({ ...Fence, type: v.literal('MESSAGE'), ...ExecutorKey.entries, data: Data });
/** End these executors, and their tasks with them. */
const ShutdownExecutors = v.object({
  ...Fence,
  type: v.literal('SHUTDOWN_EXECUTORS'),
  executors: v.pipe(v.array(ExecutorKey), v.maxLength(LIMITS.executorsPerAgent)),
});

/** Volumes that are no more: what is in them is to be removed. Repeated until it is answered. */
const DestroyVolumes = v.object({ ...Fence, type: v.literal('DESTROY_VOLUMES'), volumes: VolumeKeys });

/** master → agent, on `agents/<name>/down`. */
export const AGENT_DOWN = {
  REGISTERED: Registered,
  RESUMED: Resumed,
  REFUSED: Refused,
  RUN: Run,
  KILL: Kill,
  ACKNOWLEDGE: Acknowledge,
  RECONCILE: Reconcile,
  READ: Read,
  READ_FILE: ReadFile,
  EXEC: Exec,
  ASK_STATS: AskStats,
  SHUTDOWN: Shutdown,
  MESSAGE: SchedulerMessage,
  SHUTDOWN_EXECUTORS: ShutdownExecutors,
  DESTROY_VOLUMES: DestroyVolumes,
} as const;

/** One piece of an output stream, on `agents/<name>/bulk`, and handed on to `clients/<name>/<session>/bulk`. */
export const Chunk = v.object({
  ...V.entries,
  type: v.literal('CHUNK'),
  request: Id,
  client: Id,
  session: Id,
  /** Absolute offset of the first byte of `data`; greater than asked for where older bytes were dropped. */
  offset: Count,
  data: v.union([
    v.pipe(
      v.instance(Uint8Array),
      v.check((bytes) => bytes.length <= LIMITS.chunkBytes, 'a chunk is too long'),
    ),
    v.pipe(
      v.string(),
      v.base64(),
      v.transform((text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))),
    ),
  ]),
  /** `data` is raw DEFLATE (RFC 1951) of so many bytes; readers get it from the leader as it was. */
  deflated: v.optional(Count),
  /** The same by Brotli (RFC 7932). */
  brotli: v.optional(Count),
  /** No more will ever be written after this piece. */
  end: v.boolean(),
  /** Answers READ_FILE: which file it is of, and its size when that was opened. */
  file: v.optional(v.object({ inode: Id, size: Count })),
  fault: v.optional(FaultSchema),
});
export type Chunk = v.InferOutput<typeof Chunk>;
export const BULK = { CHUNK: Chunk, EXEC_OUTPUT: ExecOutput } as const;

/** The will, and its opposite: what `agents/<name>/presence` carries. A will of an older incarnation ends no newer session. */
export const Presence = v.object({
  ...V.entries,
  type: v.literal('PRESENCE'),
  incarnation: Id,
  session: Count,
  online: v.boolean(),
});
export const PRESENCE = { PRESENCE: Presence } as const;

/**
 * A digest of a set of tasks that does not depend on their order: the count, and two sums of FNV-1a hashes.
 * Two sides with the same tasks have the same digest.
 */
export function taskDigest(tasks: Iterable<TaskKey>): string {
  let count = 0;
  let sum = 0;
  let mix = 0;
  for (const { framework, task, attempt } of tasks) {
    let hash = 0x811c9dc5;
    const text = `${framework}/${task}/${attempt}`;
    for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
    count++;
    sum = (sum + (hash >>> 0)) >>> 0;
    mix = (mix + Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d)) >>> 0;
  }
  return `${count}-${sum.toString(16)}-${mix.toString(16)}`;
}
