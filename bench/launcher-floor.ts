import { execFile, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { attachLauncher } from '../io/node/launcher.ts';

/** Starts of /bin/true a second, from the first asked for to the last exit known. */
export interface LauncherFloor {
  /** Through the launcher: folder, sandbox, own process and control groups, both output files, exit file, notices, sweep. */
  readonly launcher: number;
  /** Node's spawn with no output, no folder, nothing kept. */
  readonly spawn: number;
  /** `xargs -P2`: what this machine can do at all. */
  readonly xargs: number;
}

/** As of a job's task. */
const LIMITS = { cpuShare: 100, processes: 4_096 };

/** Measures all three, one after the other, `count` tasks each, `concurrency` at a time (xargs: always 2). Main thread only. */
// On ext4 the first number falls to a third for a minute after many files were removed: the kernel does not use their
// inodes again at once, and looks at each of them for every file it makes. Measure on a rested disk, or in /dev/shm.
export async function measureLauncherFloor(
  count: number,
  concurrency: number,
  folder: string = tmpdir(),
): Promise<LauncherFloor> {
  return {
    launcher: await launcherStarts(count, concurrency, folder),
    spawn: await spawnStarts(count, concurrency),
    xargs: await xargsStarts(count),
  };
}

async function launcherStarts(count: number, concurrency: number, parent: string): Promise<number> {
  const root = await mkdtemp(join(parent, 'mesq-bench-'));
  const launcher = await attachLauncher({ root, folder: join(root, 'launcher'), cgroups: 'bench' });
  const begin = performance.now();
  await atOnce(count, concurrency, (index, ended) => {
    if (index === 0)
      launcher.onExit(({ folder }) => {
        void launcher.sweep(folder);
        ended();
      });
    return launcher.launch({ folder: `tasks/t${index}`, argv: ['/bin/true'], environment: {}, limits: LIMITS });
  });
  const rate = perSecond(count, begin);
  await launcher.stop();
  // The last supervisors end just after their notice.
  await rm(root, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
  return rate;
}

async function spawnStarts(count: number, concurrency: number): Promise<number> {
  const begin = performance.now();
  await atOnce(count, concurrency, (_, ended) => {
    spawn('/bin/true', { stdio: 'ignore', detached: true }).once('exit', ended);
    return Promise.resolve();
  });
  return perSecond(count, begin);
}

async function xargsStarts(count: number): Promise<number> {
  const begin = performance.now();
  await promisify(execFile)('/bin/sh', ['-c', `seq ${count} | xargs -P2 -n1 /bin/true`]);
  return perSecond(count, begin);
}

/** Begins `count` of them, `concurrency` at a time; resolves when `ended` was called for all. */
function atOnce(
  count: number,
  concurrency: number,
  begin: (index: number, ended: () => void) => Promise<void>,
): Promise<void> {
  return new Promise((resolve, reject) => {
    let begun = 0;
    let over = 0;
    const next = () => {
      if (begun < count) begin(begun++, ended).catch(reject);
    };
    const ended = () => {
      if (++over === count) resolve();
      else next();
    };
    for (let index = 0; index < Math.min(concurrency, count); index++) next();
  });
}

function perSecond(count: number, begin: number): number {
  return (count / (performance.now() - begin)) * 1_000;
}
