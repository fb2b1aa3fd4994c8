import { Fault } from '../../protocol/faults.ts';
import { LIMITS } from '../../protocol/limits.ts';
import { isTerminal } from '../../protocol/task.ts';
import { forgetUnheard } from './apply-tasks.ts';
import type { Command } from './commands.ts';
import type { RegistryEvent } from './events.ts';
import type { Registry } from './registry.ts';
import { remember } from './requests.ts';
import { dropStored } from './store-use.ts';

/** Found again by its name, which its credential proves: it keeps its tasks, whatever became of its process. */
export function applySubscribe(
  registry: Registry,
  command: Extract<Command, { kind: 'SUBSCRIBE_FRAMEWORK' }>,
): RegistryEvent[] {
  const { framework, roles, nowMs } = command;
  const known = registry.frameworks.get(framework);
  if (known === undefined && registry.frameworks.size >= LIMITS.frameworks) {
    const fault = new Fault('LIMIT', `the cluster has ${LIMITS.frameworks} frameworks already`);
    return [{ kind: 'FRAMEWORK_REFUSED', framework, fault }];
  }
  registry.frameworks.set(framework, { framework, roles, registeredMs: known?.registeredMs ?? nowMs });
  return [{ kind: 'FRAMEWORK_SUBSCRIBED', framework, fresh: known === undefined }];
}

/**
 * Kills all its tasks and forgets its small state; the name may come back as a new framework. Nobody is left to hear of
 * ends: those that are known are forgotten, and what still lives once it has ended.
 */
export function applyRemoveFramework(
  registry: Registry,
  { framework, nowMs, request }: Extract<Command, { kind: 'REMOVE_FRAMEWORK' }>,
): RegistryEvent[] {
  if (request !== undefined && registry.requests.has(request)) return [];
  if (!registry.frameworks.delete(framework)) {
    if (request === undefined) return [];
    const fault = new Fault('NOT_FOUND', `there is no framework ${framework}`, 'mesq frameworks lists them.');
    return [{ kind: 'REQUEST_REFUSED', request, fault }];
  }
  if (request !== undefined) remember(registry, { request, ok: true, detail: framework });
  const events: RegistryEvent[] = [{ kind: 'FRAMEWORK_REMOVED', framework, request }];
  for (const [key, operation] of registry.operations)
    if (operation.framework === framework) registry.operations.delete(key);
  for (const record of [...registry.store.values()])
    if (record.framework === framework) dropStored(registry, framework, record.key);
  for (const [key, task] of [...registry.tasks]) {
    if (task.framework !== framework) continue;
    if (isTerminal(task.state)) {
      events.push(...forgetUnheard(registry, task, nowMs));
      continue;
    }
    const killed = { ...task, kill: task.kill ?? { graceMs: undefined } };
    registry.tasks.set(key, killed);
    events.push({ kind: 'KILL_WANTED', task: killed });
  }
  return events;
}
