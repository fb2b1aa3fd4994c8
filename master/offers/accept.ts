import { Fault } from '../../protocol/faults.ts';
import { add, contains, subtract } from '../../protocol/resource-arithmetic.ts';
import { formatResources, type Resources } from '../../protocol/resources.ts';
import type { TaskInfo } from '../../protocol/task.ts';
import { contradiction } from '../../protocol/task-contradiction.ts';
import { byGroup, misshapen } from './groups.ts';
import type { OfferBook, OpenOffer } from './offer-book.ts';

/** What an ACCEPT comes to: launches to propose, tasks to answer with a fault, and what goes back to the allocator. */
export interface Acceptance {
  readonly role: string;
  readonly agent: string;
  readonly launches: readonly TaskInfo[];
  readonly refused: readonly { readonly task: TaskInfo; readonly fault: Fault }[];
  /** Resources of the launches: allocated until apply says otherwise. */
  readonly used: Resources;
  /** What the launches leave of the offers: declined, with the filter of the call. */
  readonly rest: Resources;
}

/**
 * Checks an ACCEPT against the book and takes its offers out, whatever comes of it (Mesos: an offer is spent either
 * way). Several offers may be combined if they are of one agent and one role. A fault answers every task of the call.
 */
export function accept(
  book: OfferBook,
  framework: string,
  offers: readonly string[],
  tasks: readonly TaskInfo[],
): Acceptance | Fault {
  const taken: OpenOffer[] = [];
  for (const id of new Set(offers)) {
    const offer = book.get(id);
    if (offer?.framework === framework) taken.push(offer);
  }
  const [first] = taken;
  if (first === undefined)
    return new Fault('OFFER_GONE', `offer ${offers.join(', ') || '(none)'} was used, rescinded or timed out`);
  for (const { offer } of taken) book.take(offer);
  const mixed = taken.some(({ agent, role }) => agent !== first.agent || role !== first.role);
  const held = taken.reduce<Resources>((sum, { resources }) => add(sum, resources), []);
  const common = { role: first.role, agent: first.agent };
  if (mixed || taken.length < new Set(offers).size) {
    const fault = mixed
      ? new Fault('BAD_SHAPE', 'offers of several agents or roles cannot be combined')
      : new Fault('OFFER_GONE', 'one of the offers was used, rescinded or timed out');
    return { ...common, launches: [], refused: tasks.map((task) => ({ task, fault })), used: [], rest: held };
  }
  return { ...common, ...place(held, tasks) };
}

function place(
  held: Resources,
  tasks: readonly TaskInfo[],
): Pick<Acceptance, 'launches' | 'refused' | 'used' | 'rest'> {
  const launches: TaskInfo[] = [];
  const refused: { task: TaskInfo; fault: Fault }[] = [];
  let used: Resources = [];
  let rest = held;
  for (const part of byGroup(tasks)) {
    // All of a group or none: what one of them lacks, all lack.
    let left = rest;
    const before = launches.length;
    let fault = misshapen(part);
    for (const task of part) {
      fault ??= unfit(left, task, launches);
      if (fault !== undefined) break;
      launches.push(task);
      left = subtract(left, task.resources);
    }
    if (fault === undefined) {
      for (const task of part) used = add(used, task.resources);
      rest = left;
    } else {
      launches.length = before;
      for (const task of part) refused.push({ task, fault });
    }
  }
  return { launches, refused, used, rest };
}

function unfit(rest: Resources, task: TaskInfo, launches: readonly TaskInfo[]): Fault | undefined {
  if (task.executor === undefined && task.argv.length === 0)
    return new Fault('BAD_SHAPE', `task ${task.task} has neither a program nor an executor`);
  if (task.executor !== undefined && task.restart !== 'never')
    return new Fault('BAD_SHAPE', `task ${task.task} is run by an executor: that one restarts it, or nobody`);
  if (task.resources.length === 0) return new Fault('BAD_SHAPE', `task ${task.task} asks for no resources at all`);
  if (!contains(rest, task.resources)) {
    return new Fault(
      'OVER_OFFER',
      `task ${task.task} needs ${formatResources(task.resources)}; the offer has ${formatResources(rest)} left`,
    );
  }
  const wrong = contradiction(task);
  if (wrong !== undefined) return new Fault('BAD_SHAPE', `task ${task.task}: ${wrong}`);
  if (launches.some((other) => other.task === task.task))
    return new Fault('EXISTS', `task ${task.task} is named twice`);
  return undefined;
}
