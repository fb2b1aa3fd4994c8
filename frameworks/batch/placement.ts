import { LIMITS } from '../../protocol/limits.ts';
import { type Offer, pack, type Resources, type TaskLaunch } from '../../sdk/index.ts';
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
  /** The limit of one ACCEPT was reached, or a fair portion, not the end of the offer: the rest shall come back at once. */
  readonly more: boolean;
}

/**
 * Puts pending tasks on offers: of each role the jobs in the order of their submission, of each job as many tasks as
 * fit. Marks what it places in the jobs. Offers without a placement are to be declined.
 *
 * While several owners wait, an offer is taken in portions: of two owners, half of it (one task at least), and the rest
 * is shared out anew. Offers are whole, so without this whoever is poorest when several tasks end together gets all that
 * they leave, and the next time again: measured on 8 slots, 3 to 5 for as long as both had work.
 */
export function placeTasks(
  offers: readonly Offer[],
  pending: PendingJobs,
  liveJob: (job: string) => LiveJob | undefined,
  now: number,
  firstAttempt = 0,
): { placements: Placement[]; declined: Offer[] } {
  const placements: Placement[] = [];
  const declined: Offer[] = [];
  const portion = 1 / Math.max(1, pending.waiting);
  for (const offer of offers) {
    const placement = placeOn(offer, portion, pending.of(offer.role), liveJob, now, firstAttempt);
    if (placement === undefined) declined.push(offer);
    else placements.push(placement);
  }
  for (const role of new Set(offers.map((offer) => offer.role))) pending.prune(role);
  return { placements, declined };
}

function placeOn(
  offer: Offer,
  portion: number,
  jobs: readonly PendingTasks[],
  liveJob: (job: string) => LiveJob | undefined,
  now: number,
  firstAttempt: number,
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
    if (tooBig.has(live.needs) || !live.spread.admits(candidate) || isTooShort(offer, job, now)) continue;
    for (let index = live.pending.peek(); index !== undefined; index = live.pending.peek()) {
      more = tasks.length >= LIMITS.tasksPerMessage || (tasks.length > 0 && bytes + live.bytes > ACCEPT_BYTES);
      if (more) break;
      const packed = pack(job.spec, available);
      if (packed === undefined) {
        tooBig.add(live.needs);
        break;
      }
      const task = place(job, index, offer.name, now, firstAttempt);
      tasks.push(launchOf(job, index, task.attempt, packed.taken, packed.ports));
      placed.push({ job, index });
      live.spread.add(index, offer.name);
      available = packed.left;
      bytes += live.bytes;
      // With unique:hostname, say, one task takes the host for the whole job.
      if (live.spread.counts && !live.spread.admits(candidate)) break;
      more = portion < 1 && shareTaken(offer.resources, available) >= portion;
      if (more) break;
    }
    if (more) break;
  }
  return tasks.length === 0 ? undefined : { offer, tasks, placed, more };
}

/** The agent will be drained before a task that takes all of its time could end. One without a limit may be anywhere. */
function isTooShort({ unavailability }: Offer, { spec }: Job, now: number): boolean {
  return unavailability !== undefined && spec.timeMs !== undefined && unavailability.startMs < now + spec.timeMs;
}

/** The share of an offer that is gone, by the scalar resource of which most is. */
function shareTaken(offered: Resources, left: Resources): number {
  const before = totals(offered);
  const after = totals(left);
  return Math.max(0, ...[...before].map(([name, total]) => 1 - (after.get(name) ?? 0) / total));
}

function totals(resources: Resources): Map<string, number> {
  const sums = new Map<string, number>();
  for (const { name, scalar = 0 } of resources) if (scalar > 0) sums.set(name, (sums.get(name) ?? 0) + scalar);
  return sums;
}
