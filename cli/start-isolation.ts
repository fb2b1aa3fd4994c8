import { chmod, chown, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Isolation } from '../io/launcher.ts';
import type { Log } from '../io/log.ts';
import { NAMESPACES, type Namespace } from '../io/node/namespaces.ts';
import { findUser, type SystemUser } from '../io/node/users.ts';
import type { Attributes } from '../protocol/attributes.ts';
import { Fault } from '../protocol/faults.ts';

/** Taken where an agent of root's is not told another, and the machine has it. */
export const DEFAULT_USER = 'mesq-task';
/** Others pass through, and cannot look in: what is inside says for itself who may read it. */
const PASSABLE = 0o711;
/** Holds the data folders of a machine, and nothing that their own modes do not guard. */
const OF_ALL_DATA = '/var/lib/mesq';

/** Whom tasks run as; undefined: as the agent's own user. Says aloud where that is root by nobody's choice. */
export function taskUserOf(wanted: string | undefined, log: Log): SystemUser | undefined | Fault {
  const own = process.getuid?.();
  if (wanted === undefined) {
    if (own !== 0) return undefined;
    const user = findUser(DEFAULT_USER);
    if (user === undefined)
      log.warn('tasks run as root', {
        hint: `make a user ${DEFAULT_USER} (useradd --system ${DEFAULT_USER}), or pass --task-user`,
      });
    return user;
  }
  const user = findUser(wanted);
  if (user === undefined)
    return new Fault(
      'BAD_USAGE',
      `--task-user: there is no user ${wanted} on this machine`,
      `Make one: useradd --system ${wanted}`,
    );
  if (user.uid === own) return undefined;
  if (own === 0) return user;
  return new Fault('UNSUPPORTED', `--task-user ${wanted}: only root can start tasks as another user`);
}

/** Of `mount,ipc`: what tasks have for themselves, in an order of its own, for the attribute. */
export function namespacesOf(written: string | undefined): readonly Namespace[] | Fault {
  const asked = (written ?? '').split(',').filter((each) => each !== '');
  const unknown = asked.find((each) => !(NAMESPACES as readonly string[]).includes(each));
  if (unknown !== undefined)
    return new Fault(
      'BAD_USAGE',
      `--namespaces: there is no ${JSON.stringify(unknown)}`,
      `Take some of ${NAMESPACES.join(',')}.`,
    );
  return NAMESPACES.filter((each) => asked.includes(each));
}

/**
 * Lets the user into the data folder, on its way to its sandboxes: before the launcher looks whether it can go it.
 * Versions before this one made the folder of all of Mesquite's data for root alone.
 */
export async function letInto(data: string): Promise<void> {
  await chmod(data, PASSABLE);
  const above = dirname(data);
  if (!above.endsWith(OF_ALL_DATA)) return;
  const { uid, mode } = await stat(above);
  if (uid === process.getuid?.()) await chmod(above, (mode & 0o7777) | PASSABLE);
}

/** Lets the user through to the socket of executors. */
export async function letThrough(user: SystemUser, data: string): Promise<void> {
  await chmod(join(data, 'executors'), PASSABLE);
  await chown(join(data, 'executors/socket'), user.uid, user.gid);
}

/** What jobs can ask for in a constraint: `isolation==cgroups-v2`, `memory-limits==task`. */
export function isolationAttributes({ cgroups, memory, namespaces = [] }: Isolation): Attributes {
  return [
    ...(namespaces.length === 0 ? [] : [{ name: 'namespaces', text: namespaces.join('+') }]),
    { name: 'isolation', text: cgroups === 'none' ? 'none' : `cgroups-${cgroups}` },
    { name: 'memory-limits', text: memory },
  ];
}
