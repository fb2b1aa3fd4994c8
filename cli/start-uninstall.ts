import { existsSync } from 'node:fs';
import { readdir, readFile, realpath, rmdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { areThere, releaseCgroups } from '../io/node/cgroup-trees.ts';
import { Cgroups } from '../io/node/cgroups.ts';
import { belongsTo, findProcess, listProcesses } from '../io/node/processes.ts';
import { notedCgroups } from '../io/node/take-isolation.ts';
import { Fault } from '../protocol/faults.ts';
import { SERVICE_DATA } from './agent-install.ts';
import { dataOf, ENVIRONMENT_FILE, RUNTIME_FOLDER, SERVICE } from './service-unit.ts';
import { findEngine } from './start-containers.ts';
import { SETTINGS_FOLDER, UNIT_PATH, WANTED_PATH } from './start-install.ts';
import { LeftContainers } from './start-left-containers.ts';
import { diskFault, isBooted, removeAll, systemctl } from './start-system.ts';
import { VERSIONS_FOLDER } from './start-versions.ts';

const LOOK_MS = 100;
/** From SIGTERM to SIGKILL. */
const GRACE_MS = 10_000;
/** From the first SIGKILL until nothing more is expected of it. */
const KILL_MS = 10_000;

export interface UninstallOptions {
  readonly root: string;
  readonly data: string;
  /** What the agent has, and who it is, stays for the next one. */
  readonly keepData: boolean;
  /** Tasks that run are ended. */
  readonly force: boolean;
}

export interface Uninstalled {
  /** Paths that are gone. */
  readonly removed: readonly string[];
  /** Processes of tasks that were ended. */
  readonly ended: number;
  /** Containers of tasks that were ended, if they ran, and removed. */
  readonly containers: number;
  /** What could not be removed, in words. */
  readonly left: readonly string[];
}

/** The data folder of the service that is there; the usual one where there is none. */
export async function installedData(root: string): Promise<string> {
  return dataOf(await readFile(join(root, UNIT_PATH), 'utf8').catch(() => '')) ?? SERVICE_DATA;
}

/** Stops the service and removes all that it was and had. Faults: CONFLICT where tasks run, NOT_ALLOWED, DISK. */
export async function uninstallService(options: UninstallOptions): Promise<Uninstalled | Fault> {
  try {
    return await uninstall(options);
  } catch (error) {
    return diskFault(error);
  }
}

async function uninstall({ root, data, keepData, force }: UninstallOptions): Promise<Uninstalled | Fault> {
  const at = (path: string): string => join(root, path);
  const folder = await realpath(at(data)).catch(() => at(data));
  const tasks = await tasksIn(folder);
  const knowsEngine = isBooted(root) && (tasks.contained > 0 || existsSync(join(folder, 'images.json')));
  const engine = knowsEngine ? (await findEngine())?.containers : undefined;
  const containers = engine === undefined ? undefined : new LeftContainers(engine, folder);
  const inContainers = await containers?.running();
  if (inContainers === undefined && knowsEngine && tasks.contained > 0 && !force)
    return new Fault(
      'CONFLICT',
      'tasks may run here in containers, and no container engine answers',
      'Start the engine; or say --force, which leaves it what it has.',
    );
  const running = tasks.running + (inContainers ?? 0);
  if (running > 0 && !force)
    return new Fault(
      'CONFLICT',
      `${running} ${running === 1 ? 'task runs' : 'tasks run'} here`,
      'Let them end first: mesq drain AGENT; or end them with --force.',
    );
  if (isBooted(root) && existsSync(at(UNIT_PATH))) {
    const stopped = await systemctl('stop', SERVICE);
    if (stopped !== undefined) return stopped;
  }
  const left: string[] = knowsEngine && containers === undefined ? ['containers and images: no engine answers'] : [];
  const gone = await containers?.remove();
  const { ended, alive } = await endProcesses(folder);
  left.push(...(gone?.left ?? []), ...alive.map((pid) => `process ${pid}: it does not end`));
  if (!keepData) left.push(...((await containers?.removeImages()) ?? []));
  const cgroups = await notedCgroups(join(folder, 'launcher'));
  if (cgroups !== undefined && areThere(cgroups)) {
    const groups = new Cgroups(cgroups);
    for (const group of groups.list()) groups.remove(group);
    groups.close();
    releaseCgroups(cgroups);
  }
  const removed: string[] = [];
  const paths = [WANTED_PATH, UNIT_PATH, `${UNIT_PATH}.d`, ENVIRONMENT_FILE, SETTINGS_FOLDER];
  for (const path of [...paths, `/run/${RUNTIME_FOLDER}`, `/${VERSIONS_FOLDER}`, ...(keepData ? [] : [data])])
    if (await removeAll(at(path))) removed.push(path);
  // Ours, though somebody else may keep something there.
  if (!keepData && data === SERVICE_DATA) await rmdir(at(dirname(data))).catch(() => undefined);
  if (isBooted(root)) {
    const reloaded = await systemctl('daemon-reload');
    if (reloaded !== undefined) return reloaded;
  }
  return { removed, ended, containers: gone?.removed ?? 0, left };
}

/** By what launchers wrote down of tasks: how many have a process that is alive, and how many were in a container. */
async function tasksIn(folder: string): Promise<{ readonly running: number; readonly contained: number }> {
  const boot = (await readFile('/proc/sys/kernel/random/boot_id', 'latin1')).trim();
  let running = 0;
  let contained = 0;
  const look = async (at: string, depth: number): Promise<void> => {
    for (const entry of await readdir(at, { withFileTypes: true }).catch(() => [])) {
      if (entry.isDirectory() && depth > 0) await look(join(at, entry.name), depth - 1);
      if (entry.name === 'container' && entry.isFile()) contained++;
      if (entry.name !== 'claimed') continue;
      const [pid, start, when] = (await readFile(join(at, 'claimed'), 'latin1').catch(() => '')).trim().split(' ');
      if (when === boot && findProcess(Number(pid))?.start === start) running++;
    }
  };
  await look(join(folder, 'tasks'), TASK_FOLDER_DEPTH);
  return { running, contained };
}

const TASK_FOLDER_DEPTH = 8;

/**
 * Ends the launcher, and whatever a task has left: asked first, and killed where it does not go. Gives how many have
 * ended, and which have not: whoever waits in the kernel for a device that does not answer may never end.
 */
async function endProcesses(folder: string): Promise<{ readonly ended: number; readonly alive: readonly number[] }> {
  const alive = (): number[] =>
    listProcesses()
      .filter(({ pid, zombie }) => !zombie && pid !== process.pid && belongsTo(pid, folder))
      .map(({ pid }) => pid);
  const found = alive();
  const until = performance.now() + GRACE_MS;
  let left = found;
  for (let first = true; left.length > 0 && performance.now() < until + KILL_MS; left = alive(), first = false) {
    const signal = performance.now() > until ? 'SIGKILL' : 'SIGTERM';
    if (first || signal === 'SIGKILL') for (const pid of left) end(pid, signal);
    await new Promise((again) => setTimeout(again, LOOK_MS));
  }
  return { ended: found.length - left.length, alive: left };
}

function end(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended meanwhile.
  }
}
