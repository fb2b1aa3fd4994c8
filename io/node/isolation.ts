import type { Isolation } from '../launcher.ts';
import type { Cgroups } from './cgroups.ts';
import type { SystemUser } from './users.ts';

/** What was found when the launcher was attached to. */
interface Found {
  readonly cgroups: Cgroups | undefined;
  /** Why there are none, where they were wanted. */
  readonly reason: string | undefined;
  readonly user: SystemUser | undefined;
  /** The user can go to its sandbox by its absolute path. */
  readonly reachable: boolean;
  readonly namespaces: readonly string[];
}

/** What tasks can be held to, and in words what they cannot. */
export function isolationOf({ cgroups, reason, user, reachable, namespaces }: Found): Isolation {
  const notes: string[] = [];
  const has = (controller: 'cpu' | 'memory' | 'pids'): boolean => cgroups?.limits(controller) ?? false;
  if (reason !== undefined)
    notes.push(
      `no control groups (${reason}): a limit on CPUs is not enforced, and what leaves a task's process group is not found again`,
    );
  if (cgroups !== undefined && !has('cpu'))
    notes.push('the kernel has no control group for CPU here: a limit is not enforced');
  if ((cgroups !== undefined || reason !== undefined) && !has('memory'))
    notes.push(
      'no control group for memory: a limit holds for what each process may allocate (RLIMIT_DATA), and not for all of a task together',
    );
  // The kernel has it, and was told to leave it off.
  if (cgroups !== undefined && !has('memory'))
    notes.push(
      'on a Raspberry Pi, cgroup_enable=memory in /boot/firmware/cmdline.txt and a reboot bring control groups for memory',
    );
  if (!reachable)
    notes.push(`user ${user?.name} may not pass through the data folder's parents: absolute paths into a sandbox fail`);
  return {
    cgroups: cgroups?.version ?? 'none',
    cpu: has('cpu'),
    memory: has('memory') ? 'task' : 'process',
    processes: has('pids') ? 'task' : user === undefined ? 'none' : 'user',
    user: user?.name,
    namespaces,
    notes,
  };
}
