import type { FinishedTask, Registry } from './registry.ts';

/** The newest attempt that has ended of each of a framework's tasks, by the task's name; looked for when first asked. */
export function newestEnded(registry: Registry, framework: string): (task: string) => FinishedTask | undefined {
  let newest: Map<string, FinishedTask> | undefined;
  return (task) => {
    newest ??= collect(registry, framework);
    return newest.get(task);
  };
}

function collect(registry: Registry, framework: string): Map<string, FinishedTask> {
  const newest = new Map<string, FinishedTask>();
  for (const ended of registry.finished.values()) {
    if (ended.framework !== framework) continue;
    const known = newest.get(ended.task);
    if (known === undefined || known.attempt < ended.attempt) newest.set(ended.task, ended);
  }
  return newest;
}
