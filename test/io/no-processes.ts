import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type Launcher, LauncherError } from '../../io/launcher.ts';

/** What starts everything but containers: nothing here. Removes folders below `root`, where that is given. */
export function noProcesses(root?: string): Launcher {
  const refuse = (): never => {
    throw new LauncherError('CLOSED', 'no processes here');
  };
  return {
    isolation: { cgroups: 'none', cpu: false, memory: 'process', processes: 'none', user: undefined, notes: [] },
    usage: () => Promise.resolve(undefined),
    launch: refuse,
    resend: refuse,
    onStarted: () => undefined,
    onExit: () => undefined,
    onRestarted: () => undefined,
    signal: refuse,
    limit: () => Promise.resolve('absent'),
    sweep: refuse,
    adopt: refuse,
    claim: refuse,
    folders: () => Promise.resolve([]),
    remove: async (...folders) => {
      if (root === undefined) return;
      for (const folder of folders) await rm(join(root, folder), { recursive: true, force: true });
    },
    close: () => Promise.resolve(),
    stop: () => Promise.resolve(),
  };
}
