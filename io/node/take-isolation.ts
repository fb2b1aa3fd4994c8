import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Isolation } from '../launcher.ts';
import { areThere, type CgroupTrees, takeCgroups } from './cgroup-trees.ts';
import { Cgroups } from './cgroups.ts';
import { isolationOf } from './isolation.ts';
import { checkNamespaces, type Namespace } from './namespaces.ts';
import { readText } from './task-files.ts';
import { PASSABLE } from './task-folder.ts';
import { checkUserChange, type SystemUser } from './users.ts';

const NOTE = 'cgroups';

export interface IsolationWishes {
  /** Absolute, without symbolic links; task folders are relative to it. */
  readonly root: string;
  /** The launcher's own folder, absolute. */
  readonly folder: string;
  readonly cgroups: string | undefined;
  readonly user: SystemUser | undefined;
  readonly namespaces: readonly Namespace[];
}

export interface TakenIsolation {
  readonly isolation: Isolation;
  readonly trees: CgroupTrees | undefined;
  readonly cgroups: Cgroups | undefined;
}

/**
 * Takes control groups, and the user, or notes why not. Rejects with a LauncherError where the user or the namespaces
 * that were asked for cannot be had.
 */
export async function takeIsolation(wishes: IsolationWishes): Promise<TakenIsolation> {
  const { root, user, namespaces } = wishes;
  if (namespaces.length > 0) await checkNamespaces(namespaces, await trialFolder(wishes));
  const { reachable } = user === undefined ? { reachable: true } : await openUp(root, user);
  const found = await findCgroups(wishes);
  const trees = found !== undefined && 'trees' in found ? found : undefined;
  const cgroups = trees === undefined ? undefined : new Cgroups(trees);
  // Of folders that are gone: whoever removed them cannot have known.
  for (const folder of cgroups?.list() ?? [])
    if (!existsSync(join(root, folder)) && cgroups?.isEmpty(folder) === true) cgroups.remove(folder);
  const reason = found !== undefined && 'reason' in found ? found.reason : undefined;
  return { isolation: isolationOf({ cgroups, reason, user, reachable, namespaces }), trees, cgroups };
}

/** Where a sandbox might be, for a trial. */
async function trialFolder({ folder: own }: IsolationWishes): Promise<string> {
  const folder = join(own, 'trial/sandbox');
  await mkdir(folder, { recursive: true, mode: 0o700 });
  return folder;
}

/** The user's way to the sandboxes, and whether it can go it. */
async function openUp(root: string, user: SystemUser): Promise<{ readonly reachable: boolean }> {
  await chmod(root, PASSABLE);
  // Made by an agent whose tasks had no user of their own.
  for (const entry of await readdir(root, { withFileTypes: true }))
    if (entry.isDirectory()) await chmod(join(root, entry.name), PASSABLE);
  return checkUserChange(user, root);
}

/** Those of the agent before this one, where they are still there: tasks may be in them. */
async function findCgroups(wishes: IsolationWishes): Promise<ReturnType<typeof takeCgroups> | undefined> {
  if (wishes.cgroups === undefined) return undefined;
  const note = join(wishes.folder, NOTE);
  const noted = await notedCgroups(wishes.folder);
  if (noted !== undefined && areThere(noted)) return noted;
  const suffix = createHash('sha256').update(wishes.root).digest('hex').slice(0, 8);
  const found = takeCgroups(`${wishes.cgroups}-${suffix}`);
  if ('trees' in found) await writeFile(note, JSON.stringify(found), { mode: 0o600 });
  return found;
}

/** The trees that an agent noted in its launcher's folder; undefined where there are none. */
export async function notedCgroups(launcherFolder: string): Promise<CgroupTrees | undefined> {
  return parseTrees((await readText(join(launcherFolder, NOTE))) ?? '');
}

/** What `takeCgroups` found, as an agent before this one noted it; undefined where that cannot be read. */
function parseTrees(text: string): CgroupTrees | undefined {
  try {
    const { version, trees } = JSON.parse(text) as CgroupTrees;
    const whole = trees.every(({ base, controllers }) => base.startsWith('/') && Array.isArray(controllers));
    return whole && (version === 'v1' || version === 'v2') ? { version, trees } : undefined;
  } catch {
    return undefined;
  }
}
