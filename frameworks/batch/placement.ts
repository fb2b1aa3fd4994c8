import { LIMITS } from '../../protocol/limits.ts';
import { type Offer, pack, type TaskLaunch } from '../../sdk/index.ts';
import { type Job, place } from './job.ts';
import { type LiveJob, launchOf } from './live-job.ts';
import type { PendingJobs, PendingTasks } from './pending-tasks.ts';

/** Room that an ACCEPT leaves to its envelope. */
const ACCEPT_BYTES = LIMITS.partBytes - 8_192;

/** A launch on an offer, and whether the offer's rest is still wanted. */
export interface Placement {
  readonly offer: Offer;
  readonly tasks: readonly TaskLaunch[];
  readonly placed: readonly { readonly job: Job; readonly index: number }[];
  /** The limit of one ACCEPT was reached, not that of the offer: the rest shall come back at once. */
  readonly more: boolean;
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
  const candidate = { agent: offer.name, hostname: offer.hostname, attributes: offer.attributes };
  const tooBig = new Set<string>();
  let available = offer.resources;
  let bytes = 0;
  let more = false;
  for (const { job } of jobs) {
    const live = liveJob(job.spec.job);
    if (live === undefined || available.length === 0) continue;
    if (tooBig.has(live.needs) || !live.spread.admits(candidate)) continue;
    for (let index = live.pending.peek(); index !== undefined; index = live.pending.peek()) {
      more = tasks.length >= LIMITS.tasksPerMessage || (tasks.length > 0 && bytes + live.bytes > ACCEPT_BYTES);
      if (more) break;
      const packed = pack(job.spec, available);
      if (packed === undefined) {
        tooBig.add(live.needs);
        break;
      }
      const task = place(job, index, offer.name, now);
      tasks.push(launchOf(job, index, task.attempt, packed.taken, packed.ports));
      placed.push({ job, index });
      live.spread.add(index, offer.name);
      available = packed.left;
      bytes += live.bytes;
      // With unique:hostname, say, one task takes the host for the whole job.
      if (live.spread.counts && !live.spread.admits(candidate)) break;
    }
    if (more) break;
  }
  return tasks.length === 0 ? undefined : { offer, tasks, placed, more };
}
