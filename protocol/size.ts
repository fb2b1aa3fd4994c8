import { faultAt, faultIn } from './fault-at.ts';
import type { Fault } from './faults.ts';
import { LIMITS } from './limits.ts';
import { parseScalar } from './resource-scalar.ts';

/** MB (2^20 bytes, as Mesos means it) in one of each. */
const UNITS: ReadonlyMap<string, number> = new Map([
  ['', 1],
  ['K', 1 / 1024],
  ['M', 1],
  ['G', 1024],
  ['T', 1024 * 1024],
]);

const SHOWN_UNITS = ['kB', 'MB', 'GB', 'TB'] as const;

/**
 * Bytes as {@link sizeToMb} would read them, with one decimal: `900 B`, `12.5 kB`, `5.0 MB`, `1.2 GB`; each unit is 1,024
 * of the one before.
 */
export function shownSize(bytes: number): string {
  if (bytes < 1_024) return `${bytes} B`;
  const power = Math.min(SHOWN_UNITS.length, Math.floor(Math.log2(bytes) / 10));
  return `${(bytes / 1_024 ** power).toFixed(1)} ${SHOWN_UNITS[power - 1]}`;
}

/**
 * A size in thousandths of a MB, as `mem` and `disk` count it: `512` and `512M` are 512,000, `2G` is 2,048,000, `64K`
 * is 63 (62.5, half away from zero). Suffixes are binary, in either case. Faults: BAD_SIZE, with the character where
 * reading stopped.
 */
export function sizeToMb(text: string): number | Fault {
  const written = text.trim();
  const start = text.length - text.trimStart().length;
  const number = /^\d+(?:\.\d+)?/.exec(written)?.[0] ?? '';
  const unit = written.slice(number.length).trimStart();
  if (number === '') return faultAt('BAD_SIZE', text, start, 'a number');
  const factor = UNITS.get(unit.toUpperCase());
  if (factor === undefined)
    return faultAt('BAD_SIZE', text, start + written.length - unit.length, 'K, M, G, T or the end');
  const size = Math.round((parseScalar(number) ?? Number.POSITIVE_INFINITY) * factor);
  return size <= LIMITS.scalarThousandths
    ? size
    : faultIn('BAD_SIZE', text, start, `a size is at most ${LIMITS.scalarThousandths / 1000}M`);
}
