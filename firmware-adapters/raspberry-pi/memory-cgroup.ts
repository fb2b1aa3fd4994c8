import type { TextFiles } from '../text-files.ts';

/**
 * False where the kernel was told to leave the memory controller out, as Raspberry Pi OS does: no limit of a task's memory
 * can be enforced then. Undefined where nothing says. Version 2 lists its controllers, version 1 is in the last column
 * of `/proc/cgroups` (`memory 0 60 1`).
 */
export async function hasMemoryController(texts: TextFiles): Promise<boolean | undefined> {
  const [unified, table] = await Promise.all([
    texts.text('/sys/fs/cgroup/cgroup.controllers'),
    texts.text('/proc/cgroups'),
  ]);
  if (unified?.split(/\s+/).includes('memory') === true) return true;
  const enabled = /^memory\s+\d+\s+\d+\s+([01])\s*$/m.exec(table ?? '')?.[1];
  if (enabled !== undefined) return enabled === '1';
  return unified === undefined ? undefined : false;
}
