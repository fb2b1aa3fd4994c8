import type { TaskSignal } from '../launcher.ts';
import { belongsTo, findProcess, listProcesses, type Process, workingFolder } from './processes.ts';

/** Which process a task is: its number, its start in ticks since boot, and the boot itself. */
export interface Identity {
  readonly pid: number;
  readonly start: string;
  readonly boot: string;
}

/** What the launcher process writes into `claimed`; undefined while it is empty. */
export function parseIdentity(text: string): Identity | undefined {
  const [, pid, start, boot] = /^(\d+) (\d+) (\S+)\n$/.exec(text) ?? [];
  if (pid === undefined || start === undefined || boot === undefined) return undefined;
  return { pid: Number(pid), start, boot };
}

/**
 * Sends to the process group of a task whose folder is `path` (absolute), in this boot; false where nobody is left in
 * it. Never to a group that has come by its number since.
 */
export function signalTask(identity: Identity, path: string, signal: TaskSignal): boolean {
  // The usual case at the end of a task, with one system call: nobody is left, its leader included.
  if (!isGroup(identity.pid)) return false;
  const leader = findProcess(identity.pid);
  if (leader !== undefined) return leader.start === identity.start && sendToGroup(identity.pid, signal);
  // No process has the number, so whoever is in the group joined before the leader ended, or descends from one who
  // did; but the number may have been used by another leader in between, who is gone too.
  const ours = listProcesses().some((each) => each.group === identity.pid && belongsTo(each.pid, path));
  return ours && sendToGroup(identity.pid, signal);
}

/** Whether any process is in that group, ours to signal or not. */
function isGroup(group: number): boolean {
  try {
    process.kill(-group, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}

/** The group exists from before the task's program runs until its last member has been waited for. */
function sendToGroup(group: number, signal: TaskSignal): boolean {
  try {
    return process.kill(-group, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}

/** SIGKILL, whatever has become of it. */
export function end(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended by itself, or is another user's by now.
  }
}

/** The process that waits for the task of `path`: the one of ours that works in the task's folder itself. */
export function findSupervisor(path: string): Process | undefined {
  return listProcesses().find((each) => !each.zombie && workingFolder(each.pid) === path);
}
