import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { StartLimits } from '../launcher.ts';

/** Microseconds for which the kernel counts CPU time at once, and the least of it that it takes for a limit. */
const PERIOD_US = 100_000;
const LEAST_QUOTA_US = 1_000;
/** What the kernel says of a group without a limit is above it: the most pages there can be, in bytes. */
const V1_UNLIMITED = 2 ** 62;

/** A file of a group, and what is to be in it. */
export interface Setting {
  readonly controller: 'cpu' | 'pids';
  readonly file: string;
  readonly value: string;
  /** A new group has it already. */
  readonly isDefault: boolean;
}

/** What a group's files say under these limits, memory apart; in the order in which they are written. */
export function settingsOf(version: 'v1' | 'v2', { cpuShare = 1_000, cpuMost, processes }: StartLimits): Setting[] {
  const isEven = cpuShare === 1_000;
  const quota = cpuMost === undefined ? undefined : Math.max(LEAST_QUOTA_US, Math.round(cpuMost * (PERIOD_US / 1_000)));
  const bound: Setting = {
    ...{ controller: 'pids', file: 'pids.max', isDefault: processes === undefined },
    value: String(processes ?? 'max'),
  };
  // One CPU is 100 of 10,000 in version 2, and 1,024 of 262,144 in version 1: the kernel's defaults.
  if (version === 'v2')
    return [
      setting('cpu.weight', within(1, cpuShare / 10, 10_000), isEven),
      setting('cpu.max', `${quota ?? 'max'} ${PERIOD_US}`, quota === undefined),
      bound,
    ];
  return [
    setting('cpu.shares', within(2, cpuShare * 1.024, 262_144), isEven),
    setting('cpu.cfs_period_us', PERIOD_US, quota === undefined),
    setting('cpu.cfs_quota_us', quota ?? -1, quota === undefined),
    bound,
  ];
}

/**
 * Gives a group (its path) another limit on memory, or none. It is never cut below what is used, so that nothing ends by
 * it: false, and the limit stays as it was. Rejects with the kernel's word where that does not want it at all.
 */
export function changeMemory(version: 'v1' | 'v2', group: string, bytes: number | undefined): Promise<boolean> {
  return version === 'v2' ? changeV2(group, bytes) : changeV1(group, bytes);
}

/** The limit on memory is at no time above that on memory and swap. A cut reclaims what it can, and is refused with EBUSY. */
async function changeV1(group: string, bytes: number | undefined): Promise<boolean> {
  const memory = join(group, 'memory.limit_in_bytes');
  const withSwap = join(group, 'memory.memsw.limit_in_bytes');
  const grows = bytes === undefined || bytes > Number(await readFile(memory, 'latin1'));
  for (const file of grows ? [withSwap, memory] : [memory, withSwap]) {
    try {
      // A write stops the CPUs for a moment, also where it changes nothing.
      const before = Number(await readFile(file, 'latin1'));
      if (bytes === undefined ? before < V1_UNLIMITED : before !== bytes) await write(file, String(bytes ?? -1));
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'EBUSY') return false;
      // A kernel that does not count swap.
      if (code !== 'ENOENT' || file !== withSwap) throw error;
    }
  }
  return true;
}

/**
 * A cut of `memory.max` below what is used would end a process at once. `memory.high` ends none: it reclaims what it can,
 * page cache mostly, and slows what grows meanwhile; it is taken back, for nobody is to live under it.
 */
async function changeV2(group: string, bytes: number | undefined): Promise<boolean> {
  const [most, high] = [join(group, 'memory.max'), join(group, 'memory.high')];
  const before = (await readFile(most, 'latin1')).trim();
  const grows = bytes === undefined || (before !== 'max' && bytes >= Number(before));
  if (!grows) {
    const swap = join(group, 'memory.swap.max');
    // What is pushed out is to be given up, and not to be swapped.
    await writeIfThere(swap, '0');
    try {
      await write(high, String(bytes));
      if (Number(await readFile(join(group, 'memory.current'), 'latin1')) > bytes) {
        if (before === 'max') await writeIfThere(swap, 'max');
        return false;
      }
      await write(most, String(bytes));
    } finally {
      await write(high, 'max');
    }
    await writeIfThere(join(group, 'memory.oom.group'), '1');
    return true;
  }
  await write(most, String(bytes ?? 'max'));
  await writeIfThere(join(group, 'memory.swap.max'), bytes === undefined ? 'max' : '0');
  await writeIfThere(join(group, 'memory.oom.group'), bytes === undefined ? '0' : '1');
  // Left by an agent that was killed in the middle of a cut.
  if ((await readFile(high, 'latin1')).trim() !== 'max') await write(high, 'max');
  return true;
}

/** By the thread pool: the kernel reclaims before it answers. */
function write(file: string, value: string): Promise<void> {
  return writeFile(file, value, { flag: 'r+' });
}

/** Absent without swap, or on an old kernel. */
async function writeIfThere(file: string, value: string): Promise<void> {
  await write(file, value).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
  });
}

function setting(file: string, value: number | string, isDefault: boolean): Setting {
  return { controller: 'cpu', file, value: String(value), isDefault };
}

function within(least: number, value: number, most: number): number {
  return Math.min(most, Math.max(least, Math.round(value)));
}
