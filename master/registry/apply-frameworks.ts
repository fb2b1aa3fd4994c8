import { isTerminal } from '../../protocol/task.ts';
import type { Command } from './commands.ts';
import type { RegistryEvent } from './events.ts';
import type { Registry } from './registry.ts';

/** Found again by its name, which its credential proves: it keeps its tasks, whatever became of its process. */
export function applySubscribe(registry: Registry, command: Extract<Command, { kind: 'SUBSCRIBE_FRAMEWORK' }>): RegistryEvent[] {
  const known = registry.frameworks.get(command.framework);
  registry.frameworks.set(command.framework, {
    framework: command.framework,
    roles: command.roles,
    registeredMs: known?.registeredMs ?? command.nowMs,
  });
  return [{ kind: 'FRAMEWORK_SUBSCRIBED', framework: command.framework, fresh: known === undefined }];
}

/** Kills all its tasks and forgets its small state; the name may come back as a new framework. */
export function applyRemoveFramework(registry: Registry, command: Extract<Command, { kind: 'REMOVE_FRAMEWORK' }>): RegistryEvent[] {
  if (!registry.frameworks.delete(command.framework)) return [];
  const events: RegistryEvent[] = [{ kind: 'FRAMEWORK_REMOVED', framework: command.framework }];
  for (const [key, record] of registry.store) if (record.framework === command.framework) registry.store.delete(key);
  for (const [key, task] of registry.tasks) {
    if (task.framework !== command.framework || isTerminal(task.state)) continue;
    const killed = { ...task, kill: { graceMs: undefined } };
    registry.tasks.set(key, killed);
    events.push({ kind: 'KILL_WANTED', task: killed });
  }
  return events;
}
