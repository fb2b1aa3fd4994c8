import { mkdtempSync, readdirSync, readFileSync, readlinkSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Launcher } from '../../io/launcher.ts';
import { attachLauncher } from '../../io/node/launcher.ts';
import type { Errand, LauncherWorld } from '../conformance/launcher.ts';

export interface RealLauncherWorld extends LauncherWorld {
  readonly root: string;
  /** The launcher process's number. */
  launcherPid(): number;
}

/** This machine: a temporary folder, a launcher process, and tasks that are small shell scripts. */
export function realLauncherWorld(): Promise<RealLauncherWorld> {
  const root = realpathSync(mkdtempSync(join(tmpdir(), 'mesq-launcher-')));
  const attached: Launcher[] = [];
  const launcherPid = () => Number(readFileSync(join(root, 'launcher/launcher.pid'), 'latin1').split(' ')[0]);
  return Promise.resolve({
    root,
    launcherPid,
    attach: async () => {
      const launcher = await attachLauncher({ root, folder: join(root, 'launcher') });
      attached.push(launcher);
      return launcher;
    },
    argv: (errand: Errand) => ['/bin/sh', '-c', script(errand)],
    wait: <T>(promise: Promise<T>) => promise,
    killAgent: async () => {
      await attached.pop()?.close();
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
      for (const launcher of attached) await launcher.close();
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
