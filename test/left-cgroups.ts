import { readdirSync, readFileSync, rmdirSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** Removes the control groups that a killed agent left, which its launcher's folder names; true once they are gone. */
export function removeCgroups(launcherFolder: string): boolean {
  let bases: string[];
  try {
    const { trees } = JSON.parse(readFileSync(join(launcherFolder, 'cgroups'), 'utf8')) as {
      trees: { base: string }[];
    };
    bases = trees.map(({ base }) => base);
  } catch {
    return true;
  }
  for (const base of bases) {
    for (const group of groupsIn(base)) remove(join(base, group));
    // Another agent may have its own beside it.
    if (remove(base)) remove(dirname(base));
  }
  return bases.every((base) => groupsIn(base).length === 0);
}

function groupsIn(base: string): string[] {
  try {
    return readdirSync(base, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name);
  } catch {
    return [];
  }
}

/** False where a process is in it still, if only for a moment. */
function remove(group: string): boolean {
  try {
    rmdirSync(group);
    return true;
  } catch {
    return false;
  }
}
