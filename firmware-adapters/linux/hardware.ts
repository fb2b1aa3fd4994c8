/** What a Linux machine has, before anything is set aside. Undefined where it does not say. */

import { fieldOf, type TextFiles } from '../text-files.ts';
import { cgroupLimits } from './cgroup.ts';

/** How many CPUs a list such as `0-3,6` of `/sys/devices/system/cpu` names; undefined where it is none. */
export function countCpus(list: string): number | undefined {
  let count = 0;
  for (const part of list.split(',')) {
    const match = /^(\d{1,6})(?:-(\d{1,6}))?$/.exec(part.trim());
    if (match === null) return undefined;
    const [, first = '', last = first] = match;
    if (Number(last) < Number(first)) return undefined;
    count += Number(last) - Number(first) + 1;
  }
  return count;
}

/** CPUs that are online, that the process may run on, and that its cgroup pays for; may be a fraction. */
export async function cpusOf(files: TextFiles): Promise<number | undefined> {
  const [online, status, cpuinfo, limits] = await Promise.all([
    files.text('/sys/devices/system/cpu/online'),
    files.text('/proc/self/status'),
    files.text('/proc/cpuinfo'),
    cgroupLimits(files),
  ]);
  const listed = (cpuinfo ?? '').split('\n').filter((line) => /^processor\s*:/.test(line)).length;
  const present = countCpus(online ?? '') ?? (listed > 0 ? listed : undefined);
  if (present === undefined) return undefined;
  const allowed = countCpus(fieldOf(status ?? '', 'Cpus_allowed_list') ?? '') ?? present;
  return Math.min(present, allowed, limits.cpus ?? present);
}

/** Memory within the cgroup's limit. */
export async function memoryBytesOf(files: TextFiles): Promise<number | undefined> {
  const [meminfo, limits] = await Promise.all([files.text('/proc/meminfo'), cgroupLimits(files)]);
  const kilobytes = /^(\d{1,12}) kB$/.exec(fieldOf(meminfo ?? '', 'MemTotal') ?? '')?.[1];
  if (kilobytes === undefined) return limits.memoryBytes;
  return Math.min(Number(kilobytes) * 1024, limits.memoryBytes ?? Number.POSITIVE_INFINITY);
}
