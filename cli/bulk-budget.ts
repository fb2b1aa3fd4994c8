import { Fault } from '../protocol/faults.ts';
import { sizeToMb } from '../protocol/size.ts';

const BYTES = 1_048_576;
/** Where the link costs money by the byte: some eighty reads of 64 kB. */
const METERED_BYTES = 5 * BYTES;

/** What `--bulk-budget` says, in bytes a day; undefined for none. */
export function bulkBudgetOf(text: string | undefined, metered: boolean): number | undefined | Fault {
  if (text === undefined) return metered ? METERED_BYTES : undefined;
  if (text === 'none') return undefined;
  const thousandths = sizeToMb(text);
  if (thousandths instanceof Fault)
    return new Fault('BAD_USAGE', `--bulk-budget: ${thousandths.message}`, 'Write it like 20M, or none.');
  if (thousandths === 0)
    return new Fault('BAD_USAGE', '--bulk-budget: 0 would let no log be read', 'Write it like 20M, or none.');
  return Math.round((thousandths * BYTES) / 1_000);
}
