import { LIMITS } from '../../protocol/limits.ts';
import type { Resources } from '../../protocol/resources.ts';
import type { TaskInfo } from '../../protocol/task.ts';

/** What the machine can hold a task to (io/launcher.ts, Isolation). */
export interface Abilities {
  readonly cpu: boolean;
  readonly memory: 'task' | 'process';
}

/** How a start is held to what was asked for (io/launcher.ts, StartLimits). */
export interface Confinement {
  readonly limits: {
    readonly cpuShare: number;
    readonly cpuMost?: number;
    readonly memoryBytes?: number;
    readonly processes: number;
  };
  /** For whoever asked: which of it this machine does not do, or only in part. */
  readonly caveat: string | undefined;
}

const BYTES_PER_MB = 1_048_576;
/** More a kernel of 32 bits does not take for a limit (PID_MAX_LIMIT, linux/threads.h). */
const MOST_PROCESSES = 32_768;

/**
 * What a task's needs mean. The request for CPUs is its share; neither it nor the request for memory is a limit: that is
 * only what was written as one (`limits`). The number of processes is always bounded.
 */
export function confinementOf(
  { resources, limits }: Pick<TaskInfo, 'resources' | 'limits'>,
  can: Abilities,
): Confinement {
  const cpus = limits?.cpus === 'unlimited' ? undefined : limits?.cpus;
  const mem = limits?.mem === 'unlimited' ? undefined : limits?.mem;
  return {
    limits: {
      cpuShare: requested(resources, 'cpus'),
      ...(cpus === undefined ? {} : { cpuMost: cpus }),
      ...(mem === undefined ? {} : { memoryBytes: Math.floor((mem * BYTES_PER_MB) / 1_000) }),
      processes: LIMITS.taskProcesses,
    },
    caveat: caveatOf(cpus !== undefined && !can.cpu, mem !== undefined && can.memory === 'process'),
  };
}

/** What the machine can hold an executor to. */
export interface ExecutorAbilities extends Abilities {
  readonly processes: 'task' | 'user' | 'none';
}

/**
 * An executor is held to what its tasks are, together: a limit that one of them does not have it has not either. Without
 * tasks it has an even share. What cannot be changed while it runs (rlimits) does not follow them.
 */
export function executorConfinement(
  tasks: readonly Pick<TaskInfo, 'resources' | 'limits'>[],
  can: ExecutorAbilities,
): Confinement['limits'] {
  if (tasks.length === 0) return { cpuShare: 1_000, processes: LIMITS.taskProcesses };
  const each = tasks.map((task) => confinementOf(task, can).limits);
  const cpuMost = sumOfAll(each.map((limits) => limits.cpuMost));
  const memoryBytes = can.memory === 'task' ? sumOfAll(each.map((limits) => limits.memoryBytes)) : undefined;
  const processes = sumOfAll(each.map((limits) => limits.processes)) ?? LIMITS.taskProcesses;
  return {
    cpuShare: sumOfAll(each.map((limits) => limits.cpuShare)) ?? 0,
    ...(cpuMost === undefined ? {} : { cpuMost }),
    ...(memoryBytes === undefined ? {} : { memoryBytes }),
    processes: can.processes === 'task' ? Math.min(processes, MOST_PROCESSES) : LIMITS.taskProcesses,
  };
}

/** Undefined where one is. */
function sumOfAll(numbers: readonly (number | undefined)[]): number | undefined {
  let sum = 0;
  for (const each of numbers) {
    if (each === undefined) return undefined;
    sum += each;
  }
  return sum;
}

function requested(resources: Resources, wanted: string): number {
  let sum = 0;
  for (const { name, scalar } of resources) if (name === wanted) sum += scalar ?? 0;
  return sum;
}

function caveatOf(cpus: boolean, mem: boolean): string | undefined {
  const parts = [
    ...(cpus ? ['its limit on CPUs is not enforced'] : []),
    ...(mem ? ['its limit on memory holds for what each of its processes may allocate, not for all together'] : []),
  ];
  return parts.length === 0 ? undefined : `${parts.join(', and ')}: no control group for it on this machine`;
}
