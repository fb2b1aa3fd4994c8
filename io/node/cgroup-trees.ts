import { mkdirSync, readFileSync, rmdirSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

/** A tree of control groups, and the folder in it below which tasks get a group each. */
export interface CgroupTree {
  /** Absolute. */
  readonly base: string;
  /** What it counts and limits: of `cpu`, `cpuacct`, `memory`, `pids`, `freezer`. In version 2 freezing is in every group. */
  readonly controllers: readonly string[];
}

/** Version 2 has one tree, version 1 one for each mount. */
export interface CgroupTrees {
  readonly version: 'v1' | 'v2';
  readonly trees: readonly CgroupTree[];
}

/** Why there are none. */
export interface NoCgroups {
  readonly reason: string;
}

interface Mount {
  /** Which group of the tree is seen at the mount point: `/`, or a container's own. */
  readonly root: string;
  readonly point: string;
  readonly version: 'v1' | 'v2';
  readonly controllers: readonly string[];
}

/** In the order in which a task's process enters them. */
const V1_CONTROLLERS = ['cpu', 'cpuacct', 'memory', 'pids', 'freezer'];
const V2_CONTROLLERS = ['cpu', 'memory', 'pids'];
/** Below it all agents of a machine have theirs. */
const FAMILY = 'mesq';
/** Where an agent's own processes go when they sit where tasks' groups are to be: `DelegateSubgroup=` in its unit. */
const AGENT_LEAF = 'agent';

/**
 * Makes a folder for the groups of this agent's tasks, `<…>/mesq/<name>`, in every tree that has something to limit, or
 * says why it cannot. Version 1 where that has any of the controllers (hybrid systems), else version 2. Synchronous: once,
 * at the start.
 */
export function takeCgroups(name: string): CgroupTrees | NoCgroups {
  const mounts = parseMounts(text('/proc/self/mountinfo'));
  const own = parseOwn(text('/proc/self/cgroup'));
  const v1 = mounts.filter(({ version, controllers }) => version === 'v1' && controllers.length > 0);
  if (v1.some(({ controllers }) => controllers.some((each) => V2_CONTROLLERS.includes(each))))
    return takeV1(v1, own, name);
  const v2 = mounts.find(({ version }) => version === 'v2');
  if (v2 === undefined) return { reason: 'no control groups are mounted below /sys/fs/cgroup' };
  return takeV2(v2, own.get('') ?? '/', name);
}

/** Whether all of them are still there, and can be used. */
export function areThere({ trees }: CgroupTrees): boolean {
  return trees.length > 0 && trees.every(({ base }) => isFolder(base));
}

/** Removes the folders of an agent that has no tasks; what is in use stays. */
export function releaseCgroups({ trees }: CgroupTrees): void {
  for (const { base } of trees) {
    try {
      rmdirSync(base);
      rmdirSync(dirname(base));
    } catch {
      // A task's, or another agent's.
    }
  }
}

/** Reads proc(5) `mountinfo`: fields up to ` - `, then type, source and super options, where version 1 names its controllers. */
function parseMounts(mountinfo: string): Mount[] {
  const mounts: Mount[] = [];
  for (const line of mountinfo.split('\n')) {
    const [fields = '', end = ''] = line.split(' - ');
    const [, , , root = '/', point = ''] = fields.split(' ');
    const [type, , options = ''] = end.split(' ');
    if (type !== 'cgroup' && type !== 'cgroup2') continue;
    const named = options.split(',');
    const controllers = V1_CONTROLLERS.filter((each) => named.includes(each));
    // A tree that is mounted twice is the same tree.
    if (mounts.some((each) => each.version === 'v1' && each.controllers[0] === controllers[0])) continue;
    mounts.push({ root, point, version: type === 'cgroup' ? 'v1' : 'v2', controllers });
  }
  return mounts;
}

/** Reads cgroups(7) `/proc/self/cgroup`: by controller, version 2 under the empty name. */
function parseOwn(cgroup: string): Map<string, string> {
  const own = new Map<string, string>();
  for (const line of cgroup.split('\n')) {
    const match = /^\d+:([^:]*):(\/.*)$/.exec(line);
    for (const controller of match?.[1]?.split(',') ?? []) own.set(controller, match?.[2] ?? '/');
  }
  return own;
}

/** Where a group of the tree is in the file system. A container may be told of a path that it does not see. */
function folderOf({ root, point }: Mount, path: string): string {
  const below = root === '/' ? path : path === root || path.startsWith(`${root}/`) ? path.slice(root.length) : '/';
  const folder = join(point, below);
  return folder.startsWith(point) && isFolder(folder) ? folder : point;
}

/** Below the agent's own group in each tree: groups and processes may be mixed there. */
function takeV1(mounts: readonly Mount[], own: ReadonlyMap<string, string>, name: string): CgroupTrees | NoCgroups {
  const trees: CgroupTree[] = [];
  let refusal = '';
  for (const mount of mounts) {
    const base = join(folderOf(mount, own.get(mount.controllers[0] ?? '') ?? '/'), FAMILY, name);
    try {
      mkdirSync(base, { recursive: true, mode: 0o755 });
      trees.push({ base, controllers: mount.controllers });
    } catch (error) {
      refusal = `${base}: ${reasonOf(error)}`;
    }
  }
  return trees.length > 0 ? { version: 'v1', trees } : { reason: refusal };
}

/**
 * First what was handed to the agent (a group whose leaf `agent` it runs in), then the top of the tree, as root, beside
 * the groups of systemd; last the group it runs in, which it leaves for a leaf of its own. That comes last because systemd
 * before 254 cannot start a service again in a group that has children (docs/decisions/0028).
 */
function takeV2(mount: Mount, ownPath: string, name: string): CgroupTrees | NoCgroups {
  const own = folderOf(mount, ownPath);
  const candidates: string[] = [];
  if (basename(own) === AGENT_LEAF && own !== mount.point) candidates.push(dirname(own));
  if (process.getuid?.() === 0) candidates.push(mount.point);
  if (!candidates.includes(own)) candidates.push(own);
  let refusal = '';
  for (const parent of candidates) {
    try {
      const base = prepareV2(parent, own, name);
      const controllers = words(text(join(base, 'cgroup.subtree_control')));
      return { version: 'v2', trees: [{ base, controllers }] };
    } catch (error) {
      refusal = `${parent}: ${reasonOf(error)}`;
    }
  }
  return { reason: refusal };
}

function prepareV2(parent: string, own: string, name: string): string {
  const base = join(parent, FAMILY, name);
  try {
    enable(parent);
  } catch (error) {
    // EBUSY: a group that has limits for its children has no processes of its own (the rule of version 2).
    if ((error as NodeJS.ErrnoException).code !== 'EBUSY' || parent !== own) throw error;
    const leaf = join(parent, AGENT_LEAF);
    mkdirSync(leaf, { recursive: true });
    writeFileSync(join(leaf, 'cgroup.procs'), String(process.pid));
    enable(parent);
  }
  for (const folder of [dirname(base), base]) {
    mkdirSync(folder, { recursive: true, mode: 0o755 });
    enable(folder);
  }
  return base;
}

/** Gives the children of a group the controllers that it has itself. */
function enable(group: string): void {
  const there = words(text(join(group, 'cgroup.controllers')));
  const enabled = words(text(join(group, 'cgroup.subtree_control')));
  for (const controller of V2_CONTROLLERS) {
    if (!there.includes(controller) || enabled.includes(controller)) continue;
    try {
      writeFileSync(join(group, 'cgroup.subtree_control'), `+${controller}`);
    } catch (error) {
      // Without one of them (cpu, where real-time processes run) the others are still worth having.
      if ((error as NodeJS.ErrnoException).code === 'EBUSY') throw error;
    }
  }
}

function words(line: string): string[] {
  return line.split(/\s+/).filter((word) => word !== '');
}

function text(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
