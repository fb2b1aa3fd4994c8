import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { Fault } from '../protocol/faults.ts';

/**
 * How many masters `mesq up` starts: as many as asked for, or as many as the cluster in `data` has, or one. A cluster is
 * founded with its masters: others beside them would be members of nothing, and fewer may be no majority. Fault:
 * BAD_USAGE.
 */
export async function mastersToStart(asked: number | undefined, data: string): Promise<number | Fault> {
  const found = await mastersIn(data);
  if (found === 0) return asked ?? 1;
  if (asked === undefined || asked === found) return found;
  return new Fault(
    'BAD_USAGE',
    `the cluster in ${data} has ${found === 1 ? 'one master' : `${found} masters`}, and not ${asked}`,
    `Leave --masters out, or begin another cluster with --masters ${asked} --data DIR; mesq masters add makes a master part of a cluster that runs.`,
  );
}

/** Folders `m1`, `m2`, …, as many as follow one another. */
async function mastersIn(data: string): Promise<number> {
  for (let count = 0; ; count++) {
    try {
      await access(join(data, `m${count + 1}`));
    } catch {
      return count;
    }
  }
}
