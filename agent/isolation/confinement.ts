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

/** Executors take what their tasks bring, which changes: they have an even share, and a bound on their processes. */
export function executorConfinement(): Confinement['limits'] {
  return { cpuShare: 1_000, processes: LIMITS.taskProcesses };
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
