import { type Launcher, LauncherError } from '../../io/launcher.ts';

/** What starts everything but containers: nothing here. */
export function noProcesses(): Launcher {
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
    remove: () => Promise.resolve(),
    close: () => Promise.resolve(),
    stop: () => Promise.resolve(),
  };
}
