import { artifactContradiction } from './artifact-place.ts';
import { containerPorts } from './container-ports.ts';
import { volumesIn } from './operations.ts';
import type { TaskInfo } from './task.ts';
import { portOf } from './task-checks.ts';

/** What no single field of a task shows to be wrong, in words; undefined where all is well (Mesos: src/master/validation.cpp). */
export function contradiction(task: TaskInfo): string | undefined {
  const { resources, limits, healthCheck, check, executor, artifacts = [] } = task;
  const wrong = artifactContradiction(artifacts);
  if (wrong !== undefined) return wrong;
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
  return containerContradiction(task);
}

function containerContradiction({ container, executor, resources, ...checks }: TaskInfo): string | undefined {
  if (container === undefined) return undefined;
  if (executor !== undefined) return 'container: what an executor runs is in no container of its own';
  if (checks.healthCheck?.command !== undefined || checks.check?.command !== undefined)
    return 'container: a check by a command would run beside the container, not in it; ask by http or tcp';
  const mapped = containerPorts(container, resources);
  if (typeof mapped === 'string') return mapped;
  const own = new Set(volumesIn(resources).map(({ volume }) => volume));
  const missing = container.volumes.find(({ volume }) => volume !== undefined && !own.has(volume));
  return missing === undefined
    ? undefined
    : `container.volumes: the task has no volume ${missing.volume} in its resources`;
}
