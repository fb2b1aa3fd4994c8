/**
 * What the agent's own cgroup allows. The agent's tasks run below it, so it cannot offer more. Version 2 has one tree;
 * version 1 one for each controller; in hybrid systems a controller is in either, and the other has no such file.
 */
import type { TextFiles } from '../text-files.ts';

export interface CgroupLimits {
  /** CPUs by quota; undefined where there is none. */
  readonly cpus?: number;
  readonly memoryBytes?: number;
}

const MOUNT = '/sys/fs/cgroup';
/** Deeper trees are not walked to the top. */
const MAX_DEPTH = 32;

/** Where a cgroup file system may be mounted, and the path of the process in it. */
export interface CgroupPaths {
  readonly v2?: string;
  /** By controller: `memory`, `cpu`. The folder is named like the line, `cpu,cpuacct`, or like the controller. */
  readonly v1: ReadonlyMap<string, { readonly folder: string; readonly path: string }>;
}

/** Reads `/proc/self/cgroup` (cgroups(7)): `0::/path` for version 2, `4:cpu,cpuacct:/path` for version 1. */
export function parseCgroupPaths(text: string): CgroupPaths {
  const v1 = new Map<string, { folder: string; path: string }>();
  let v2: string | undefined;
  for (const line of text.split('\n')) {
    const match = /^\d+:([^:]*):(\/.*)$/.exec(line.trimEnd());
    if (match === null) continue;
    const [, controllers = '', path = '/'] = match;
    if (controllers === '') v2 = path;
    else for (const controller of controllers.split(',')) v1.set(controller, { folder: controllers, path });
  }
  return { ...(v2 === undefined ? {} : { v2 }), v1 };
}

/** The strictest limits from the agent's cgroup up to the root of what it can see. */
export async function cgroupLimits(files: TextFiles): Promise<CgroupLimits> {
  const { v2, v1 } = parseCgroupPaths((await files.text('/proc/self/cgroup')) ?? '');
  const cpu = v1.get('cpu');
  const memory = v1.get('memory');
  const folders: readonly Promise<CgroupLimits>[] = [
    ...foldersOf([MOUNT, `${MOUNT}/unified`], v2).map((folder) => limitsV2(files, folder)),
    ...foldersOf(mountsV1('cpu', cpu?.folder), cpu?.path).map((folder) => cpusV1(files, folder)),
    ...foldersOf(mountsV1('memory', memory?.folder), memory?.path).map((folder) => memoryV1(files, folder)),
  ];
  const limits = await Promise.all(folders);
  const cpus = least(limits.map((limit) => limit.cpus));
  const memoryBytes = least(limits.map((limit) => limit.memoryBytes));
  return limitsOf(cpus, memoryBytes);
}

function mountsV1(controller: string, folder: string | undefined): readonly string[] {
  return [...new Set([`${MOUNT}/${folder ?? controller}`, `${MOUNT}/${controller}`])];
}

/**
 * The folder of a cgroup and of all above it, below each mount. In a container the path may be one that only the host
 * sees, or start with `/..`: the mount's root is then the container's own cgroup, and it is always among them.
 */
function foldersOf(mounts: readonly string[], path: string | undefined): string[] {
  if (path === undefined) return [];
  const levels = path.split('/').filter((level) => level !== '' && level !== '..' && level !== '.');
  const depth = Math.min(levels.length, MAX_DEPTH);
  return mounts.flatMap((mount) =>
    Array.from({ length: depth + 1 }, (_, count) => [mount, ...levels.slice(0, count)].join('/')),
  );
}

/** `cpu.max` is `max 100000` or `150000 100000` (microseconds in each period); `memory.max` is `max` or bytes. */
async function limitsV2(files: TextFiles, folder: string): Promise<CgroupLimits> {
  const [cpuMax, memoryMax] = await Promise.all([files.text(`${folder}/cpu.max`), files.text(`${folder}/memory.max`)]);
  const [quota = '', period = '100000'] = cpuMax?.split(/\s+/) ?? [];
  return limitsOf(cpusOf(positive(quota), positive(period)), positive(memoryMax));
}

/** The quota is −1 where there is none. */
async function cpusV1(files: TextFiles, folder: string): Promise<CgroupLimits> {
  const names = [`${folder}/cpu.cfs_quota_us`, `${folder}/cpu.cfs_period_us`];
  const [quota, period] = await Promise.all(names.map((name) => files.text(name)));
  return limitsOf(cpusOf(positive(quota), positive(period)), undefined);
}

/** Without a limit the file of version 1 has the highest number that the kernel can count: far above this, a petabyte. */
const MOST_BYTES = 2 ** 50;

async function memoryV1(files: TextFiles, folder: string): Promise<CgroupLimits> {
  const bytes = positive(await files.text(`${folder}/memory.limit_in_bytes`));
  return limitsOf(undefined, bytes);
}

function limitsOf(cpus: number | undefined, bytes: number | undefined): CgroupLimits {
  const memoryBytes = bytes === undefined || bytes > MOST_BYTES ? undefined : bytes;
  return { ...(cpus === undefined ? {} : { cpus }), ...(memoryBytes === undefined ? {} : { memoryBytes }) };
}

function cpusOf(quota: number | undefined, period: number | undefined): number | undefined {
  return quota === undefined || period === undefined ? undefined : quota / period;
}

function positive(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,20}$/.test(text) && Number(text) > 0 ? Number(text) : undefined;
}

function least(numbers: readonly (number | undefined)[]): number | undefined {
  const known = numbers.filter((number) => number !== undefined);
  return known.length === 0 ? undefined : Math.min(...known);
}
