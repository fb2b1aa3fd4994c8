import { cut, type Outgoing } from '../protocol/envelope.ts';
import { LIMITS } from '../protocol/limits.ts';
import type { CALLS } from '../protocol/scheduler.ts';
import type { OfferOperation, TaskLaunch } from './scheduler-driver-options.ts';

type SentOperation = Extract<Outgoing<typeof CALLS>, { type: 'ACCEPT' }>['operations'][number];

/** What fits into one ACCEPT, in order, and from the first that does not, the rest. A group goes whole or not at all. */
export function cutAccept(operations: readonly OfferOperation[]): {
  readonly operations: SentOperation[];
  readonly rest: OfferOperation[];
} {
  const units = operations.flatMap((operation): OfferOperation[] =>
    operation.type === 'LAUNCH' ? operation.tasks.map((task) => ({ ...operation, tasks: [task] })) : [operation],
  );
  const [fitting = [], ...rest] = cut(units, LIMITS.partBytes - 4_096);
  const sent: OfferOperation[] = [];
  /** Of the last operation, where that is a launch. */
  let together: TaskLaunch[] = [];
  for (const [at, unit] of fitting.entries()) {
    const isMore = unit.type === 'LAUNCH' && together.length > 0 && together.length < LIMITS.tasksPerMessage;
    if (isMore) {
      together.push(...unit.tasks);
      continue;
    }
    if (sent.length === LIMITS.operations)
      return { operations: asSent(sent), rest: [...fitting.slice(at), ...rest.flat()] };
    together = unit.type === 'LAUNCH' ? [...unit.tasks] : [];
    sent.push(unit.type === 'LAUNCH' ? { type: 'LAUNCH', tasks: together } : unit);
  }
  return { operations: asSent(sent), rest: rest.flat() };
}

/** The schema's input type has no read-only arrays; nobody writes to these. */
function asSent(operations: readonly OfferOperation[]): SentOperation[] {
  return operations as unknown as SentOperation[];
}
