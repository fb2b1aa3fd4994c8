import { mkdtempSync, readdirSync, readFileSync, readlinkSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Errand, LauncherWorld } from '../conformance/launcher.ts';
import { LauncherGuest } from './launcher-guest.ts';

export interface RealLauncherWorld extends LauncherWorld {
  attach(environment?: NodeJS.ProcessEnv): Promise<LauncherGuest>;
  readonly root: string;
  /** The launcher process's number. */
  launcherPid(): number;
}

/** This machine: a temporary folder, a launcher process, and tasks that are small shell scripts. */
export function realLauncherWorld(): Promise<RealLauncherWorld> {
  const root = realpathSync(mkdtempSync(join(tmpdir(), 'mesq-launcher-')));
  const attached: LauncherGuest[] = [];
  const launcherPid = () => Number(readFileSync(join(root, 'launcher/launcher.pid'), 'latin1').split(' ')[0]);
  return Promise.resolve({
    root,
    launcherPid,
    attach: async (environment?: NodeJS.ProcessEnv) => {
      const launcher = await LauncherGuest.attach(root, join(root, 'launcher'), environment);
      attached.push(launcher);
      return launcher;
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
      for (const launcher of attached) await launcher.kill();
      // Main loop, supervisors and tasks all work somewhere below the root.
      for (let left = processesIn(root); left.length > 0; left = processesIn(root)) {
        for (const pid of left) kill(pid);
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      rmSync(root, { recursive: true, force: true });
    },
  });
}

function script(errand: Errand): string {
  const lines = [];
  if (errand.ignoresTerm === true) lines.push("trap '' TERM");
  if (errand.forks === true) lines.push('sleep 1000 &');
  if (errand.output !== undefined) lines.push(`printf %s '${errand.output}'`);
  lines.push(errand.stays === true ? 'exec sleep 1000' : `exit ${errand.code ?? 0}`);
  return lines.join('\n');
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
