import { mkdtempSync, readdirSync, readFileSync, readlinkSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Launcher } from '../../io/launcher.ts';
import type { Errand, LauncherWorld } from '../conformance/launcher.ts';
import { removeCgroups } from '../left-cgroups.ts';
import { LauncherGuest } from './launcher-guest.ts';
import type { HostOptions } from './launcher-host.ts';

/** An agent's side of a launcher, and its end without a word. */
interface Attached {
  readonly launcher: Launcher;
  kill(): Promise<void>;
}

export interface RealLauncherWorld extends LauncherWorld {
  readonly root: string;
  /** The launcher process's number. */
  launcherPid(): number;
  /** All that the agents of this world have made; they must be empty. */
  removeGroups(): void;
}

/** This machine, with agents in processes of their own (launcher-host.ts), which can be killed. */
export function realLauncherWorld(
  options: HostOptions = {},
  environment?: NodeJS.ProcessEnv,
  parent?: string,
): Promise<RealLauncherWorld> {
  return machineWorld(async (root) => {
    const launcher = await LauncherGuest.attach(root, join(root, 'launcher'), environment, options);
    return { launcher, kill: () => launcher.kill() };
  }, parent);
}

/** This machine: a temporary folder, a launcher process, and tasks that are small shell scripts. */
export function machineWorld(
  attach: (root: string) => Promise<Attached>,
  parent = tmpdir(),
): Promise<RealLauncherWorld> {
  const root = realpathSync(mkdtempSync(join(parent, 'mesq-launcher-')));
  const attached: Attached[] = [];
  const launcherPid = () => Number(readFileSync(join(root, 'launcher/launcher.pid'), 'latin1').split(' ')[0]);
  return Promise.resolve({
    root,
    launcherPid,
    removeGroups: () => removeCgroups(join(root, 'launcher')),
    attach: async () => {
      const agent = await attach(root);
      attached.push(agent);
      return agent.launcher;
    },
    argv: (errand: Errand) => ['/bin/sh', '-c', script(errand)],
    wait: <T>(promise: Promise<T>) => promise,
    killAgent: async () => {
      await attached.pop()?.kill();
    },
    killLauncher: () => Promise.resolve(void process.kill(launcherPid(), 'SIGKILL')),
    freeze: () => Promise.resolve(void process.kill(launcherPid(), 'SIGSTOP')),
    thaw: () => Promise.resolve(void process.kill(launcherPid(), 'SIGCONT')),
    stdout: (folder: string) => Promise.resolve(textOf(join(root, folder, 'stdout'))),
    processes: async (folder: string, count: number) => {
      while (processesIn(join(root, folder, 'work')).length !== count)
        await new Promise((resolve) => setTimeout(resolve, 5));
    },
    end: async () => {
      for (const agent of attached) await agent.kill();
      // Main loop, supervisors and tasks all work somewhere below the root.
      for (let left = processesIn(root); left.length > 0; left = processesIn(root)) {
        for (const pid of left) kill(pid);
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      removeCgroups(join(root, 'launcher'));
      rmSync(root, { recursive: true, force: true });
    },
  });
}

function script(errand: Errand): string {
  const lines = [];
  if (errand.ignoresTerm === true) lines.push("trap '' TERM");
  if (errand.forks === true) lines.push('sleep 1000 &');
  if (errand.escapes === true) lines.push('setsid sleep 1000 &');
  if (errand.uses !== undefined) return [...lines, hungry(errand, errand.uses)].join('\n');
  if (errand.output !== undefined) lines.push(`printf %s '${errand.output}'`);
  lines.push(errand.stays === true ? 'exec sleep 1000' : `exit ${errand.code ?? 0}`);
  return lines.join('\n');
}

/** One process that takes so many MB, and keeps them: staying, it waits for a line that nobody writes. */
function hungry({ output = '', stays, code = 0 }: Errand, mb: number): string {
  const grow = `s = "x"; while (length(s) < ${mb} * 1048576) s = s s`;
  const wait = stays === true ? 'getline < "held";' : '';
  return `mkfifo held; exec awk 'BEGIN { ${grow}; printf "%s", "${output}"; fflush(); ${wait} exit ${code} }'`;
}

/** Every process that works in the folder or below it. */
function processesIn(folder: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        return `${readlinkSync(`/proc/${pid}/cwd`)}/`.startsWith(`${folder}/`);
      } catch {
        return false;
      }
    });
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It was faster.
  }
}

export function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
