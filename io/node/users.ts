import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { LauncherError } from '../launcher.ts';

const run = promisify(execFile);

/** A user of this machine. */
export interface SystemUser {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  /** Of all groups it is in, `gid` included. */
  readonly groups: readonly number[];
}

/** Finds a user by name in passwd(5) and group(5), below `/etc` by default; undefined where there is none. */
export function findUser(name: string, etc = '/etc'): SystemUser | undefined {
  for (const line of linesOf(`${etc}/passwd`)) {
    const [user, , uid, gid] = line.split(':');
    if (user !== name || !/^\d+$/.test(uid ?? '') || !/^\d+$/.test(gid ?? '')) continue;
    const groups = new Set([Number(gid)]);
    for (const group of linesOf(`${etc}/group`)) {
      const [, , id = '', members = ''] = group.split(':');
      if (/^\d+$/.test(id) && members.split(',').includes(name)) groups.add(Number(id));
    }
    return { name, uid: Number(uid), gid: Number(gid), groups: [...groups] };
  }
  return undefined;
}

/**
 * By setpriv(1): after it nothing of root's is left, and nothing gives it back: no program that is set-user-id, such as
 * root in a container could leave in a volume.
 */
export function userChange(user: SystemUser | undefined): string[] {
  if (user === undefined) return [];
  const { uid, gid, groups } = user;
  const who = [`--reuid=${uid}`, `--regid=${gid}`, `--groups=${groups.join(',')}`];
  return ['setpriv', ...who, '--inh-caps=-all', '--no-new-privs', '--'];
}

/**
 * Tries to become the user and to enter `folder`. Rejects with a LauncherError `UNAVAILABLE` where it cannot become it
 * (not root, no setpriv(1) of util-linux).
 */
export function checkUserChange(user: SystemUser, folder: string): Promise<{ readonly reachable: boolean }> {
  const [program = '', ...rest] = userChange(user);
  const enter = ['/bin/sh', '-c', 'cd "$1" 2>/dev/null && echo in', 'sh', folder];
  return run(program, [...rest, ...enter]).then(
    ({ stdout }) => ({ reachable: stdout === 'in\n' }),
    (error: Error & { stderr?: string; code?: unknown }) => {
      // The shell's own status: the change went well.
      if (error.code !== 'ENOENT' && error.stderr === '') return { reachable: false };
      const why = error.stderr?.trim() || error.message;
      throw new LauncherError('UNAVAILABLE', `tasks cannot run as ${user.name}: ${why}`, error);
    },
  );
}

function linesOf(path: string): string[] {
  try {
    return readFileSync(path, 'utf8').split('\n');
  } catch {
    return [];
  }
}
