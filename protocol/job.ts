import * as v from 'valibot';
import { TaskArguments } from './arguments.ts';
import { ARTIFACTS_ATTRIBUTE, Artifacts } from './artifact.ts';
import { CONTAINERS_ATTRIBUTE, ContainerInfo } from './container.ts';
import { Labels } from './discovery.ts';
import { Id } from './ids.ts';
import { LIMITS } from './limits.ts';
import { ResourcesSchema } from './resources.ts';
import { Disconnect, Environment, REASONS, RESTART_POLICIES, TASK_STATES, TaskLimits } from './task.ts';
import { HealthCheck } from './task-checks.ts';

const Count = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(Number.MAX_SAFE_INTEGER));
const Milliseconds = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(365 * 24 * 3_600_000));

/** A job's id has no dot, so that `job.index[.attempt]` can be read back; minted by the client, and its request id. */
export const JobId = v.pipe(
  v.string(),
  v.regex(
    /^[A-Za-z0-9][A-Za-z0-9_-]{0,40}$/,
    'a job id is 1 to 41 of A-Z a-z 0-9 _ -, starting with a letter or digit',
  ),
);

/** One artifact as it was before it was uploaded. */
const JobUpload = v.object({
  /** Its place in the list of artifacts. */
  artifact: v.pipe(Count, v.maxValue(LIMITS.artifactsPerTask)),
  /** The file or folder, as it was written there. */
  from: v.pipe(v.string(), v.maxLength(LIMITS.pathLength)),
  files: Count,
  /** In bytes; of a folder, of its tar. */
  size: Count,
});
export type JobUpload = v.InferOutput<typeof JobUpload>;

/** What the batch framework runs: `count` tasks of one command, `MESQ_TASK_INDEX` from 0 to count - 1 (docs/jobs.md). */
export const JobSpec = v.object({
  job: JobId,
  name: v.optional(v.pipe(v.string(), v.maxLength(64))),
  /** Empty only for an image's own command. */
  argv: TaskArguments,
  /** What each task runs in (docs/containers.md). */
  container: v.optional(ContainerInfo),
  /** In each task's sandbox before it starts (docs/artifacts.md). */
  artifacts: v.optional(Artifacts),
  /** For people: what those of its artifacts were that came from the machine of whoever submitted it. */
  uploads: v.optional(v.pipe(v.array(JobUpload), v.maxLength(LIMITS.artifactsPerTask))),
  environment: v.optional(Environment, {}),
  count: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(LIMITS.jobCount)), 1),
  /** Of each task: scalars only. */
  resources: v.pipe(
    ResourcesSchema,
    v.check((resources) => resources.every(({ volume }) => volume === undefined), 'a job has no volumes'),
  ),
  /** The most that each task may take; without one it may take what is there. */
  limits: v.optional(TaskLimits),
  /** Of each task: how many ports, given as MESQ_PORT, MESQ_PORT0, MESQ_PORT1, … */
  ports: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(1_000)), 0),
  constraints: v.optional(v.pipe(v.array(v.pipe(v.string(), v.maxLength(256))), v.maxLength(LIMITS.constraints)), []),
  restart: v.optional(v.picklist(RESTART_POLICIES), 'never'),
  /** New attempts after a failure of the task's own. */
  retries: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(1_000)), 0),
  /** False: an attempt lost to a drain, a reboot or a lost agent is the last one. */
  requeue: v.optional(v.boolean(), true),
  /** Longest run of one attempt. */
  timeMs: v.optional(Milliseconds),
  killGraceMs: v.optional(Milliseconds),
  disconnect: v.optional(Disconnect),
  /** Of each task. */
  healthCheck: v.optional(HealthCheck),
  labels: v.optional(Labels),
});
export type JobSpec = v.InferOutput<typeof JobSpec>;

/** Where its tasks may go: what was written; for tasks in containers, where there is an engine; with files, where they are fetched. */
export function constraintsOf({
  constraints,
  container,
  artifacts = [],
}: Pick<JobSpec, 'constraints' | 'container' | 'artifacts'>): string[] {
  return [
    ...constraints,
    ...(container === undefined ? [] : [`${CONTAINERS_ATTRIBUTE}~=docker|podman`]),
    ...(artifacts.length === 0 ? [] : [`${ARTIFACTS_ATTRIBUTE}==yes`]),
  ];
}

export const JOB_STATES = ['pending', 'running', 'finished', 'failed', 'cancelled'] as const;
export type JobState = (typeof JOB_STATES)[number];

/** A job as `mesq jobs` shows it. Times are wall-clock milliseconds of the leader. */
export const JobView = v.object({
  id: JobId,
  name: v.string(),
  owner: Id,
  kind: v.string(),
  state: v.picklist(JOB_STATES),
  tasks: v.object({
    total: Count,
    pending: Count,
    running: Count,
    finished: Count,
    failed: Count,
    /** Of those that failed: ended because somebody asked, with `cancel` or `kill`. */
    killed: v.optional(Count, 0),
  }),
  created: Count,
  finished: v.nullable(Count),
});
export type JobView = v.InferOutput<typeof JobView>;

/** One task as `mesq ps` shows it. `framework` and `task` address it; `id` is `job.index`. */
export const TaskView = v.object({
  id: Id,
  framework: Id,
  job: v.string(),
  index: Count,
  attempt: Count,
  restart: v.optional(Count, 0),
  state: v.picklist(TASK_STATES),
  reason: v.nullable(v.picklist(REASONS)),
  message: v.nullable(v.string()),
  /** The agent's name. */
  agent: v.nullable(v.string()),
  exitCode: v.nullable(Count),
  output: v.nullable(v.object({ stdout: Count, stderr: Count })),
  /** What its health check said last; null without one, or before. */
  healthy: v.optional(v.nullable(v.boolean()), null),
  created: v.nullable(Count),
  started: v.nullable(Count),
  finished: v.nullable(Count),
});
export type TaskView = v.InferOutput<typeof TaskView>;

/** `job.index[.attempt]`, or `job` alone for its only task: as people write it. */
export function parseTaskName(
  text: string,
): { job: string; index: number | undefined; attempt: number | undefined } | undefined {
  const match = /^([A-Za-z0-9][A-Za-z0-9_-]{0,40})(?:\.(\d{1,6})(?:\.(\d{1,7}))?)?$/.exec(text);
  if (match === null) return undefined;
  const [, job = '', index, attempt] = match;
  return {
    job,
    index: index === undefined ? undefined : Number(index),
    attempt: attempt === undefined ? undefined : Number(attempt),
  };
}

/** What the batch framework answers, by `op`: the shape of the request's body and of each part of the reply. */
export const BATCH_OPERATIONS = {
  /** Repeating it with the same id and the same owner answers the same. */
  submit: { role: 'user', body: JobSpec, part: v.object({ job: JobId }) },
  jobs: { role: 'viewer', body: v.object({}), part: v.object({ jobs: v.array(JobView) }) },
  job: { role: 'viewer', body: v.object({ job: JobId }), part: v.object({ job: JobView, spec: JobSpec }) },
  /** Tasks that have no place yet, and the newest state of the others as far as batch knows them. */
  tasks: { role: 'viewer', body: v.object({ job: v.optional(JobId) }), part: v.object({ tasks: v.array(TaskView) }) },
  cancel: { role: 'user', body: v.object({ job: JobId }), part: v.object({ job: JobView }) },
  /** Ends the task's current attempt for good. */
  kill: { role: 'user', body: v.object({ job: JobId, index: Count }), part: v.object({ task: TaskView }) },
  /**
   * A part at once, and one after every change until the job has ended (the last part). `changed` holds the tasks
   * that changed since the part before; in the first part, those that have left TASK_STAGING, up to 1,000.
   */
  watch: {
    role: 'viewer',
    body: v.object({ job: JobId }),
    part: v.object({ job: JobView, changed: v.array(TaskView) }),
  },
} as const;
