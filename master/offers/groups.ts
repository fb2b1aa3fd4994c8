import { cut, encode } from '../../protocol/envelope.ts';
import { Fault } from '../../protocol/faults.ts';
import { LIMITS } from '../../protocol/limits.ts';
import type { ResourceOperation } from '../../protocol/operations.ts';
import type { TaskInfo } from '../../protocol/task.ts';

type Operation =
  | { readonly type: 'LAUNCH'; readonly tasks: readonly TaskInfo[] }
  | { readonly type: 'LAUNCH_GROUP'; readonly group: string; readonly tasks: readonly TaskInfo[] }
  | ResourceOperation;

/** The tasks of an operation; those of a group say so, and no others. */
export function tasksOf(operation: Operation): readonly TaskInfo[] {
  if (operation.type !== 'LAUNCH' && operation.type !== 'LAUNCH_GROUP') return [];
  const group = operation.type === 'LAUNCH_GROUP' ? operation.group : undefined;
  return operation.tasks.map((task) => (task.group === group ? task : { ...task, group }));
}

/** Tasks one after the other, those of one group together. */
export function byGroup(tasks: readonly TaskInfo[]): TaskInfo[][] {
  const parts: TaskInfo[][] = [];
  const groups = new Map<string, TaskInfo[]>();
  for (const task of tasks) {
    const known = task.group === undefined ? undefined : groups.get(task.group);
    if (known !== undefined) {
      known.push(task);
      continue;
    }
    const part = [task];
    parts.push(part);
    if (task.group !== undefined) groups.set(task.group, part);
  }
  return parts;
}

/** Launches cut into commands of at most `bytes` (a task over that has one of its own); a group has one of its own. */
export function commands(launches: readonly TaskInfo[], bytes: number): TaskInfo[][] {
  const alone = launches.filter(({ group }) => group === undefined);
  const groups = byGroup(launches.filter(({ group }) => group !== undefined));
  return [...(alone.length > 0 || groups.length === 0 ? cut(alone, bytes) : []), ...groups];
}

/** Why no task of a group can be launched, where one cannot (`unfit`: why not there); undefined for tasks without a group. */
export function groupFault(
  part: readonly TaskInfo[],
  known: (task: TaskInfo) => boolean,
  unfit: Fault | undefined,
): Fault | undefined {
  const [first] = part;
  if (first?.group === undefined) return undefined;
  const before = part.find(known);
  if (before !== undefined)
    return new Fault('EXISTS', `task ${before.task} of group ${first.group} was launched before`);
  if (unfit !== undefined) return unfit;
  const size = part.reduce((bytes, task) => bytes + encode(task, 'cbor').length, 0);
  if (size > LIMITS.commandBytes - 1_024)
    return new Fault('TOO_LARGE', `group ${first.group} takes more than ${LIMITS.commandBytes - 1_024} bytes`);
  return undefined;
}

/** What is wrong with the form of a group: its tasks are of one attempt, and one executor runs them or none. */
export function misshapen(part: readonly TaskInfo[]): Fault | undefined {
  const [first] = part;
  if (first?.group === undefined) return undefined;
  const same = part.every(
    ({ attempt, executor }) => attempt === first.attempt && executor?.executor === first.executor?.executor,
  );
  return same
    ? undefined
    : new Fault('BAD_SHAPE', `the tasks of group ${first.group} are of several attempts, or of several executors`);
}
