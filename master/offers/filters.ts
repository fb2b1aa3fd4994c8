import { TIMES } from '../../protocol/limits.ts';

/**
 * How long a refusal hides the refused resources: negative or absent is the default of 5 s, 0 is no filter, at most
 * a year, and at least one allocation interval (Mesos: hierarchical.cpp recoverResources, mesos.proto Filters).
 */
export function refuseFor(asked: number | undefined): number {
  if (asked === 0) return 0;
  const wanted = asked === undefined || asked < 0 ? TIMES.refuseMs : Math.min(asked, TIMES.refuseMaxMs);
  return Math.max(wanted, TIMES.allocationMs);
}
