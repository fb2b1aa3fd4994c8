import * as v from 'valibot';
import { check, decode, type Encoding } from './envelope.ts';
import { Fault } from './faults.ts';
import { Id } from './ids.ts';
import { LIMITS } from './limits.ts';
import { CALLS } from './scheduler.ts';
import { TaskInfo } from './task.ts';

const Operation = CALLS.ACCEPT.entries.operations.item;
const Asked = v.object({ id: Id });
const Named = v.object({ task: TaskInfo.entries.task, attempt: TaskInfo.entries.attempt });

/** An ACCEPT without those of its operations that cannot be read. */
export interface SalvagedAccept {
  readonly encoding: Encoding;
  readonly accept: v.InferOutput<typeof CALLS.ACCEPT>;
  /** Tasks of what was left out, each with the field that was wrong. */
  readonly refused: readonly { readonly task: v.InferOutput<typeof Named>; readonly fault: Fault }[];
  /** Operations on resources that asked for feedback. */
  readonly failed: readonly { readonly operation: string; readonly fault: Fault }[];
  /** What was left out and names nothing. */
  readonly faults: readonly Fault[];
}

/**
 * A bad operation spoils only itself: its offers are spent and what it would have used returns, as Mesos does. Of a
 * LAUNCH only the bad tasks are left out; of anything else the whole operation. Undefined where there is no ACCEPT, or
 * its other fields are wrong: then the whole call is.
 */
export function salvageAccept(payload: Uint8Array): SalvagedAccept | undefined {
  const decoded = decode(payload);
  if (decoded instanceof Fault) return undefined;
  const { encoding, value } = decoded;
  const { operations } = isObject(value) ? value : {};
  if (!isObject(value) || !Array.isArray(operations) || operations.length > LIMITS.operations) return undefined;
  const bare = check(CALLS.ACCEPT, { ...value, operations: [] });
  if (bare instanceof Fault) return undefined;
  const accept = { ...bare, operations: [] as (typeof bare)['operations'] };
  const refused: { task: v.InferOutput<typeof Named>; fault: Fault }[] = [];
  const faults: Fault[] = [];
  const failed: { operation: string; fault: Fault }[] = [];
  const leaveOut = (task: unknown, fault: Fault): void => {
    const named = check(Named, task);
    if (named instanceof Fault) faults.push(fault);
    else refused.push({ task: named, fault });
  };
  for (const [at, operation] of operations.entries()) {
    const tasks = tasksOf(operation);
    let whole = check(Operation, operation);
    if (whole instanceof Fault && isObject(operation) && operation['type'] === 'LAUNCH' && tasks !== undefined) {
      const good = tasks.filter((task, index) => {
        const checked = check(TaskInfo, task);
        if (!(checked instanceof Fault)) return true;
        leaveOut(task, within(`operations.${at}.tasks.${index}`, checked));
        return false;
      });
      whole = check(Operation, { ...operation, tasks: good });
    }
    if (!(whole instanceof Fault)) accept.operations.push(whole);
    else if (tasks === undefined || tasks.length === 0) {
      const fault = within(`operations.${at}`, whole);
      const asked = check(Asked, operation);
      if (asked instanceof Fault) faults.push(fault);
      else failed.push({ operation: asked.id, fault });
    } else for (const task of tasks) leaveOut(task, within(`operations.${at}`, whole));
  }
  return { encoding, accept, refused, failed, faults };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** What an operation calls its tasks, where that is a list of a length that may be answered one by one. */
function tasksOf(operation: unknown): unknown[] | undefined {
  const tasks = isObject(operation) ? operation['tasks'] : undefined;
  return Array.isArray(tasks) && tasks.length <= LIMITS.tasksPerMessage ? tasks : undefined;
}

/** The fault, its field named from the top of the message. */
function within(path: string, { code, message }: Fault): Fault {
  const whole = 'the message: ';
  return new Fault(code, message.startsWith(whole) ? `${path}: ${message.slice(whole.length)}` : `${path}.${message}`);
}
