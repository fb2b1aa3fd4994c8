import type { Constraint } from '../../protocol/constraints.ts';
import { encode } from '../../protocol/envelope.ts';
import { LIMITS } from '../../protocol/limits.ts';
import type { Offer } from '../../protocol/offer.ts';
import type { Resources } from '../../protocol/resources.ts';
import { pack } from '../../sdk/offers.ts';
import type { TaskLaunch } from '../../sdk/scheduler-driver.ts';
import { admits, type Hosts } from './hosts.ts';
import { type Job, place } from './job.ts';
import type { PendingJobs, PendingTasks } from './pending-tasks.ts';
import { taskName } from './views.ts';

/** Room that an ACCEPT leaves to its envelope. */
const ACCEPT_BYTES = LIMITS.partBytes - 8_192;

/** What batch keeps of a live job beside its tasks, worked out once. */
export interface LiveJob {
  readonly job: Job;
  readonly pending: PendingTasks;
  readonly constraints: readonly Constraint[];
  /** Where its tasks run, for `unique:hostname`. */
  readonly hosts: Hosts;
  /** What a launch of one task takes in a message, about. */
  readonly bytes: number;
  /** Two jobs of the same needs fit or do not fit together. */
  readonly needs: string;
}

/** A launch on an offer, and whether the offer's rest is still wanted. */
export interface Placement {
  readonly offer: Offer;
  readonly tasks: readonly TaskLaunch[];
  readonly placed: readonly { readonly job: Job; readonly index: number }[];
  /** The limit of one ACCEPT was reached, not that of the offer: the rest shall come back at once. */
  readonly more: boolean;
}

export function launchBytes(job: Job): number {
  // Ports are the one thing that grows with a placement: in the resources, and in the environment.
  return encode(launch(job, 0, 1_000_000, job.spec.resources, [])).length + 128 + job.spec.ports * 24;
}

/**
 * Puts pending tasks on offers: of each role the jobs in the order of their submission, of each job as many tasks as
 * fit. Marks what it places in the jobs. Offers without a placement are to be declined.
 */
export function placeTasks(
  offers: readonly Offer[],
  pending: PendingJobs,
  liveJob: (job: string) => LiveJob | undefined,
  now: number,
): { placements: Placement[]; declined: Offer[] } {
  const placements: Placement[] = [];
  const declined: Offer[] = [];
  for (const offer of offers) {
    const placement = placeOn(offer, pending.of(offer.role), liveJob, now);
    if (placement === undefined) declined.push(offer);
    else placements.push(placement);
  }
  for (const role of new Set(offers.map((offer) => offer.role))) pending.prune(role);
  return { placements, declined };
}

function placeOn(
  offer: Offer,
  jobs: readonly PendingTasks[],
  liveJob: (job: string) => LiveJob | undefined,
  now: number,
): Placement | undefined {
  const tasks: TaskLaunch[] = [];
  const placed: { job: Job; index: number }[] = [];
  const tooBig = new Set<string>();
  let available = offer.resources;
  let bytes = 0;
  let more = false;
  for (const { job } of jobs) {
    const live = liveJob(job.spec.job);
    if (live === undefined || available.length === 0) continue;
    if (tooBig.has(live.needs) || !admits(live, offer)) continue;
    for (let index = live.pending.peek(); index !== undefined; index = live.pending.peek()) {
      more = tasks.length >= LIMITS.tasksPerMessage || (tasks.length > 0 && bytes + live.bytes > ACCEPT_BYTES);
      if (more) break;
      const packed = pack(job.spec, available);
      if (packed === undefined) {
        tooBig.add(live.needs);
        break;
      }
      const task = place(job, index, offer.name, now);
      tasks.push(launch(job, index, task.attempt, packed.taken, packed.ports));
      placed.push({ job, index });
      live.hosts.add(index, offer.name);
      available = packed.left;
      bytes += live.bytes;
      // With unique:hostname one task takes the host for the whole job.
      if (live.constraints.length > 0 && !admits(live, offer)) break;
    }
    if (more) break;
  }
  return tasks.length === 0 ? undefined : { offer, tasks, placed, more };
}

function launch(job: Job, index: number, attempt: number, resources: Resources, ports: readonly number[]): TaskLaunch {
  const { spec } = job;
  return {
    task: taskName(spec.job, index),
    attempt,
    argv: spec.argv,
    environment: {
      ...spec.environment,
      MESQ_JOB: spec.job,
      MESQ_TASK_INDEX: String(index),
      MESQ_TASK_COUNT: String(spec.count),
      ...portNames(ports, LIMITS.environmentNames - Object.keys(spec.environment).length - 4),
    },
    resources: [...resources],
    restart: spec.restart,
    ...(spec.killGraceMs === undefined ? {} : { killGraceMs: spec.killGraceMs }),
    ...(spec.timeMs === undefined ? {} : { maxCompletionMs: spec.timeMs }),
    ...(spec.disconnect === undefined ? {} : { disconnect: spec.disconnect }),
  };
}

/** MESQ_PORT is the first; as many as there is room for names have one of their own. */
function portNames(ports: readonly number[], room: number): Record<string, string> {
  const names: Record<string, string> = {};
  const [first] = ports;
  if (first !== undefined) names['MESQ_PORT'] = String(first);
  for (const [at, port] of ports.entries()) {
    if (at < room) names[`MESQ_PORT${at}`] = String(port);
  }
  return names;
}
