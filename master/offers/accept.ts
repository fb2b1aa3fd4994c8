import { type Conversion, type Converter, convert } from '../../protocol/conversion.ts';
import type { MessageOf } from '../../protocol/envelope.ts';
import { Fault } from '../../protocol/faults.ts';
import type { Holdings } from '../../protocol/holdings.ts';
import type { ResourceOperation } from '../../protocol/operations.ts';
import { add, contains, subtract } from '../../protocol/resource-arithmetic.ts';
import { formatResources, type Resources } from '../../protocol/resources.ts';
import type { CALLS } from '../../protocol/scheduler.ts';
import type { TaskInfo } from '../../protocol/task.ts';
import { contradiction } from '../../protocol/task-contradiction.ts';
import { byGroup, misshapen, tasksOf } from './groups.ts';
import type { OfferBook, OpenOffer } from './offer-book.ts';

/** What an ACCEPT comes to: what to propose, in order, what to answer with a fault, and what goes back to the allocator. */
export interface Acceptance {
  readonly role: string;
  readonly agent: string;
  readonly steps: readonly Step[];
  readonly refused: readonly { readonly task: TaskInfo; readonly fault: Fault }[];
  /** Operations on resources that may not be. */
  readonly failed: readonly { readonly operation: ResourceOperation; readonly fault: Fault }[];
  /** What the steps leave of the offers: declined, with the filter of the call. */
  readonly rest: Resources;
}

export type Step =
  /** Their resources are allocated until apply says otherwise. */
  | { readonly kind: 'launch'; readonly tasks: readonly TaskInfo[] }
  | { readonly kind: 'operate'; readonly operation: ResourceOperation; readonly conversion: Conversion };

export type Operation =
  MessageOf<typeof CALLS> extends infer Call
    ? Call extends { type: 'ACCEPT'; operations: readonly (infer One)[] }
      ? One
      : never
    : never;

/**
 * Checks an ACCEPT against the book and takes its offers out, whatever comes of it (Mesos: an offer is spent either
 * way). Several offers may be combined if they are of one agent and one role. A fault answers every operation of the
 * call. `holdingsOf`: what has been made of an agent, and what is on its way to the log.
 */
export function accept(
  book: OfferBook,
  framework: string,
  offers: readonly string[],
  operations: readonly Operation[],
  holdingsOf: (agent: string) => Holdings,
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
    const refused = operations.flatMap(tasksOf).map((task) => ({ task, fault }));
    const failed = operations.filter(isOnResources).map((operation) => ({ operation, fault }));
    return { ...common, steps: [], refused, failed, rest: held };
  }
  const placement = new Placement(held, holdingsOf(first.agent), { role: first.role, by: framework });
  for (const part of launchesTogether(operations)) {
    if (Array.isArray(part)) placement.launch(part);
    else placement.operate(part);
  }
  return { ...common, ...placement.result() };
}

function isOnResources(operation: Operation): operation is ResourceOperation {
  return operation.type !== 'LAUNCH' && operation.type !== 'LAUNCH_GROUP';
}

/** In order; the tasks of launches with nothing between them are one part. */
function launchesTogether(operations: readonly Operation[]): (TaskInfo[] | ResourceOperation)[] {
  const parts: (TaskInfo[] | ResourceOperation)[] = [];
  for (const operation of operations) {
    const before = parts.at(-1);
    if (isOnResources(operation)) parts.push(operation);
    else if (Array.isArray(before)) before.push(...tasksOf(operation));
    else parts.push([...tasksOf(operation)]);
  }
  return parts;
}

/** Spends what was offered, operation by operation; a bad one spoils only itself. */
class Placement {
  readonly #steps: Step[] = [];
  /** Tasks that are launched by it. */
  readonly #named = new Set<string>();
  readonly #refused: { task: TaskInfo; fault: Fault }[] = [];
  readonly #failed: { operation: ResourceOperation; fault: Fault }[] = [];
  readonly #converter: Converter;
  #rest: Resources;
  #holdings: Holdings;

  constructor(held: Resources, holdings: Holdings, converter: Converter) {
    this.#rest = held;
    this.#holdings = holdings;
    this.#converter = converter;
  }

  result(): Pick<Acceptance, 'steps' | 'refused' | 'failed' | 'rest'> {
    return { steps: this.#steps, refused: this.#refused, failed: this.#failed, rest: this.#rest };
  }

  launch(tasks: readonly TaskInfo[]): void {
    const launches: TaskInfo[] = [];
    for (const part of byGroup(tasks)) {
      // All of a group or none: what one of them lacks, all lack.
      let left = this.#rest;
      const before = launches.length;
      let fault = misshapen(part);
      for (const task of part) {
        fault ??= unfit(left, task, this.#named);
        if (fault !== undefined) break;
        launches.push(task);
        this.#named.add(task.task);
        left = subtract(left, task.resources);
      }
      if (fault === undefined) this.#rest = left;
      else {
        for (const { task } of launches.splice(before)) this.#named.delete(task);
        for (const task of part) this.#refused.push({ task, fault });
      }
    }
    if (launches.length > 0) this.#steps.push({ kind: 'launch', tasks: launches });
  }

  operate(operation: ResourceOperation): void {
    const conversion = convert(this.#holdings, operation, this.#converter);
    const fault = conversion instanceof Fault ? conversion : this.#missing(conversion);
    if (fault !== undefined || conversion instanceof Fault) {
      if (fault !== undefined) this.#failed.push({ operation, fault });
      return;
    }
    this.#rest = add(subtract(this.#rest, conversion.from), conversion.to);
    this.#holdings = conversion;
    this.#steps.push({ kind: 'operate', operation, conversion });
  }

  #missing({ from }: Conversion): Fault | undefined {
    if (contains(this.#rest, from)) return undefined;
    const left = formatResources(this.#rest) || 'nothing';
    return new Fault('OVER_OFFER', `resources: ${formatResources(from)} is not in the offer, which has ${left} left`);
  }
}

function unfit(rest: Resources, task: TaskInfo, named: ReadonlySet<string>): Fault | undefined {
  if (task.executor === undefined && task.container === undefined && task.argv.length === 0)
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
  if (named.has(task.task)) return new Fault('EXISTS', `task ${task.task} is named twice`);
  return undefined;
}
