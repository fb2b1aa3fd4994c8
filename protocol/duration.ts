import { faultAt, faultIn } from './fault-at.ts';
import type { Fault } from './faults.ts';
import { LIMITS } from './limits.ts';
import { parseScalar } from './resource-scalar.ts';

const UNITS: ReadonlyMap<string, number> = new Map([
  ['ms', 1],
  ['s', 1_000],
  ['m', 60_000],
  ['h', 3_600_000],
  ['d', 86_400_000],
]);

/**
 * `250ms`, `5s`, `1.5h`, `2d` in whole milliseconds; `0` needs no unit. Faults: BAD_DURATION, with the character where
 * reading stopped.
 */
export function parseDuration(text: string): number | Fault {
  const written = text.trim();
  const start = text.length - text.trimStart().length;
  const number = /^\d+(?:\.\d+)?/.exec(written)?.[0] ?? '';
  const unit = written.slice(number.length).trimStart();
  const thousandths = parseScalar(number);
  if (number === '') return faultAt('BAD_DURATION', text, start, 'a number');
  if (written === '0') return 0;
  const factor = UNITS.get(unit);
  if (factor === undefined)
    return faultAt('BAD_DURATION', text, start + written.length - unit.length, 'ms, s, m, h or d');
  const ms = Math.round(((thousandths ?? Number.POSITIVE_INFINITY) * factor) / 1000);
  return ms <= LIMITS.durationMs
    ? ms
    : faultIn('BAD_DURATION', text, start, `a duration is at most ${LIMITS.durationMs / 86_400_000}d`);
}
