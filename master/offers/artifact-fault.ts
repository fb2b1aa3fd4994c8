import { ARTIFACTS_ATTRIBUTE } from '../../protocol/artifact.ts';
import { type Attributes, attributeOf } from '../../protocol/attributes.ts';
import { Fault } from '../../protocol/faults.ts';
import type { TaskInfo } from '../../protocol/task.ts';

/**
 * Why a task with artifacts is not given to that agent: one that does not say that it fetches them drops the field, which it
 * does not know, and would start the task without its files. Undefined where all is well.
 */
export function artifactFault(
  { artifacts = [] }: Pick<TaskInfo, 'artifacts'>,
  agent: { readonly name: string; readonly attributes: Attributes } | undefined,
): Fault | undefined {
  if (artifacts.length === 0 || agent === undefined) return undefined;
  if (attributeOf(agent.attributes, ARTIFACTS_ATTRIBUTE) !== undefined) return undefined;
  return new Fault(
    'UNSUPPORTED',
    `agent ${agent.name} fetches no artifacts: it is of an earlier version, or stands for a device`,
    `Take offers of agents with the attribute ${ARTIFACTS_ATTRIBUTE}, or update this one.`,
  );
}
