import { artifactContradiction } from '../../protocol/artifact-place.ts';
import { type Candidate, parseConstraints } from '../../protocol/constraints.ts';
import { encode } from '../../protocol/envelope.ts';
import { Fault } from '../../protocol/faults.ts';
import { constraintsOf } from '../../protocol/job.ts';
import { LIMITS } from '../../protocol/limits.ts';
import type { Resources, TaskLaunch } from '../../sdk/index.ts';
import type { Job } from './job.ts';
import { PendingTasks } from './pending-tasks.ts';
import { Spread } from './spread.ts';
import { taskName } from './views.ts';

/** What batch keeps of a job until it has ended, worked out once. */
export interface LiveJob {
  readonly job: Job;
  readonly pending: PendingTasks;
  readonly spread: Spread;
  /** What a launch of one task takes in a message, at most. */
  readonly bytes: number;
  /** Two jobs of the same needs fit or do not fit together. */
  readonly needs: string;
}

/** `agents`: as their offers show them, by name. Faults: BAD_CONSTRAINT, BAD_JOB. */
export function createLiveJob(job: Job, agents: ReadonlyMap<string, Candidate>): LiveJob | Fault {
  if (job.spec.argv.length === 0 && job.spec.container === undefined)
    return new Fault('BAD_JOB', 'argv: a job without a container needs a command');
  const wrong = artifactContradiction(job.spec.artifacts ?? []);
  if (wrong !== undefined) return new Fault('BAD_JOB', wrong);
  const constraints = parseConstraints(constraintsOf(job.spec));
  if (constraints instanceof Fault) return constraints;
  const { resources, ports } = job.spec;
  return {
    job,
    pending: new PendingTasks(job),
    spread: new Spread(constraints, agents),
    // Ports are the one thing that grows with a placement: in the resources, and in the environment.
    bytes:
      encode(launchOf(job, job.spec.count - 1, 1_000_000, resources, []), 'cbor').length +
      16 * resources.length +
      128 +
      ports * 24,
    needs: JSON.stringify([resources, ports]),
  };
}

/** What the agent is asked to run. */
export function launchOf(
  job: Job,
  index: number,
  attempt: number,
  resources: Resources,
  ports: readonly number[],
): TaskLaunch {
  const { spec } = job;
  return {
    task: taskName(spec.job, index),
    attempt,
    argv: spec.argv,
    ...(spec.container === undefined ? {} : { container: spec.container }),
    ...(spec.artifacts === undefined ? {} : { artifacts: spec.artifacts }),
    environment: {
      ...spec.environment,
      MESQ_JOB: spec.job,
      MESQ_TASK_INDEX: String(index),
      MESQ_TASK_COUNT: String(spec.count),
      ...portNames(ports, LIMITS.environmentNames - Object.keys(spec.environment).length - 4),
    },
    resources,
    restart: spec.restart,
    ...(spec.killGraceMs === undefined ? {} : { killGraceMs: spec.killGraceMs }),
    ...(spec.timeMs === undefined ? {} : { maxCompletionMs: spec.timeMs }),
    ...(spec.disconnect === undefined ? {} : { disconnect: spec.disconnect }),
    ...(spec.limits === undefined ? {} : { limits: spec.limits }),
    ...(spec.healthCheck === undefined ? {} : { healthCheck: spec.healthCheck }),
    ...(spec.labels === undefined ? {} : { labels: spec.labels }),
  };
}

/** MESQ_PORT is the first; as many as there is room for names have one of their own. */
function portNames(ports: readonly number[], room: number): Record<string, string> {
  const [first] = ports;
  if (first === undefined) return {};
  const numbered = ports.slice(0, room).map((port, at) => [`MESQ_PORT${at}`, String(port)]);
  return { MESQ_PORT: String(first), ...Object.fromEntries(numbered) };
}
