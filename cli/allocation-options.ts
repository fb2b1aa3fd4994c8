import type { Command } from 'commander';
import { Fault } from '../protocol/faults.ts';
import { parseQuantities, type Quantities } from '../protocol/quantities.ts';
import { NAME_PROBLEM, RESOURCE_NAME } from '../protocol/resource-name.ts';

/** As they are written at the command line. */
export interface AllocationOptions {
  readonly minOffer?: readonly string[];
  readonly fairExclude?: string;
}

/** What the allocator of a master takes (master/allocator). */
export interface Allocation {
  readonly minimum?: readonly Quantities[];
  readonly fairnessExcluded?: readonly string[];
}

export function addAllocationOptions(command: Command): void {
  const gather = (value: string, before: string[] = []): string[] => [...before, value];
  command
    .option('--min-offer <amounts>', 'smallest offer; any one, if repeated (default cpus:0.01 or mem:32)', gather)
    .option('--fair-exclude <names>', 'resources that make no share, like gpus; with commas between');
}

export function allocationOf({ minOffer, fairExclude }: AllocationOptions): Allocation | Fault {
  const minimum: Quantities[] = [];
  for (const text of minOffer ?? []) {
    const amounts = parseQuantities(text);
    if (amounts instanceof Fault) return new Fault('BAD_USAGE', `--min-offer: ${amounts.message}`, amounts.hint);
    minimum.push(amounts);
  }
  const names = fairExclude?.split(',').map((name) => name.trim()) ?? [];
  const bad = names.find((name) => !RESOURCE_NAME.test(name));
  if (bad !== undefined)
    return new Fault(
      'BAD_USAGE',
      `--fair-exclude: ${JSON.stringify(bad)}: ${NAME_PROBLEM}`,
      'Write it like gpus,ports.',
    );
  return {
    ...(minOffer === undefined ? {} : { minimum }),
    ...(fairExclude === undefined ? {} : { fairnessExcluded: names }),
  };
}
