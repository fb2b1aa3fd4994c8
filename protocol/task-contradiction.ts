import type { TaskInfo } from './task.ts';
import { portOf } from './task-checks.ts';

/** What no single field of a task shows to be wrong, in words; undefined where all is well (Mesos: src/master/validation.cpp). */
export function contradiction({ resources, limits, healthCheck, check, executor }: TaskInfo): string | undefined {
  if (executor !== undefined && (healthCheck !== undefined || check !== undefined))
    return 'healthCheck: what an executor runs, the executor itself checks';
  for (const [name, one] of Object.entries({ healthCheck, check })) {
    const where = one?.http ?? one?.tcp;
    if (where !== undefined && portOf(where, resources) === undefined)
      return `${name}: it asks at port ${where.portIndex ?? 0} of the task's own, and the task takes no such port`;
  }
  for (const name of ['cpus', 'mem'] as const) {
    const limit = limits?.[name];
    if (limit === undefined || limit === 'unlimited') continue;
    const asked = resources.reduce((sum, one) => sum + (one.name === name ? (one.scalar ?? 0) : 0), 0);
    if (limit < asked) return `limits.${name}: ${limit} thousandths is less than the ${asked} that the task asks for`;
  }
  return undefined;
}
