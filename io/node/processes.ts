import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** A process as /proc tells it: `start` (clock ticks since boot) tells it from a later one with the same number. */
export interface Process {
  readonly pid: number;
  readonly parent: number;
  readonly group: number;
  readonly session: number;
  /** The process group that has its terminal; -1 without one. */
  readonly foreground: number;
  readonly start: string;
  /** Ended, but not yet waited for. */
  readonly zombie: boolean;
}

/** The process with that number, or undefined. Reads proc(5) `stat`; the command may hold anything but ends at the last `)`. */
export function findProcess(pid: number): Process | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch {
    return undefined;
  }
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return {
    pid,
    parent: Number(fields[1]),
    group: Number(fields[2]),
    session: Number(fields[3]),
    foreground: Number(fields[5]),
    start: fields[19] ?? '',
    zombie: fields[0] === 'Z' || fields[0] === 'X',
  };
}

/** Every process that can be seen. Some milliseconds on a busy machine: for the rare case only. */
export function listProcesses(): Process[] {
  const found: Process[] = [];
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const process = findProcess(Number(name));
    if (process !== undefined) found.push(process);
  }
  return found;
}

/** Where the process is, or undefined where it is gone or not ours to look at. */
export function workingFolder(pid: number): string | undefined {
  return link(`/proc/${pid}/cwd`);
}

/** Whether the process shows that it descends from a task of `folder` (absolute): by place, by output, or by environment. */
export function belongsTo(pid: number, folder: string): boolean {
  const here = (path: string | undefined) => path !== undefined && (path === folder || path.startsWith(`${folder}/`));
  if (here(workingFolder(pid)) || here(link(`/proc/${pid}/fd/1`)) || here(link(`/proc/${pid}/fd/2`))) return true;
  try {
    return readFileSync(`/proc/${pid}/environ`, 'latin1').includes(Buffer.from(`${folder}/`).toString('latin1'));
  } catch {
    return false;
  }
}

/** Whether the process was started with this `NAME=value` in its environment. */
export function isMarked(pid: number, mark: string): boolean {
  try {
    return `\0${readFileSync(`/proc/${pid}/environ`, 'utf8')}`.includes(`\0${mark}\0`);
  } catch {
    return false;
  }
}

function link(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}
