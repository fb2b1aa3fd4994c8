import { readdirSync, readFileSync } from 'node:fs';

/** Proportional set size (proc(5), smaps_rollup) of these processes and everything below them, in kB. */
export function pssOf(roots: readonly number[]): number {
  return [...withDescendants(roots)].reduce((sum, pid) => sum + ownPss(pid), 0);
}

/** Processor time of a process so far, in milliseconds: fields 14 and 15 of proc(5) stat, in hundredths of a second. */
export function processorMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

/** Of one process, in kB. */
export function ownPss(pid: number): number {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1');
  return Number(/^Pss: +(\d+) kB$/m.exec(text)?.[1] ?? Number.NaN);
}

/** The processes and their children's children, by the parents that /proc tells. */
export function withDescendants(roots: readonly number[]): Set<number> {
  const children = new Map<number, number[]>();
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    if (!Number.isInteger(pid)) continue;
    const parent = parentOf(pid);
    const siblings = children.get(parent);
    if (siblings === undefined) children.set(parent, [pid]);
    else siblings.push(pid);
  }
  const found = new Set<number>();
  const waiting = [...roots];
  for (let pid = waiting.pop(); pid !== undefined; pid = waiting.pop()) {
    if (found.has(pid)) continue;
    found.add(pid);
    waiting.push(...(children.get(pid) ?? []));
  }
  return found;
}

/** 0 where the process has gone meanwhile. */
function parentOf(pid: number): number {
  try {
    return Number(readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]?.split(' ')[1] ?? 0);
  } catch {
    return 0;
  }
}

/** The name of what a process runs, cut to 15 letters; empty where it has gone. */
export function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'latin1').trim();
  } catch {
    return '';
  }
}
