/**
 * Scalars are kept as integer thousandths, so that sums are exact. Mesos rounds to three decimals, half away from
 * zero (src/common/values.cpp); here the rounding is done on the decimal digits as written, not on a double.
 */
import { LIMITS } from './limits.ts';

const DECIMAL = /^([+-]?)(?:(\d+)(?:\.(\d*))?|\.(\d+))(?:[eE]([+-]?\d+))?$/;
/** The smallest double with full precision; Mesos refuses what is nearer to zero (but zero itself is fine). */
const SMALLEST_NORMAL = 2.2250738585072014e-308;
const LARGEST_DIGITS = String(LIMITS.scalarThousandths).length;

/** True where the whole text is a decimal number, such as `4`, `.5`, `-1.25` or `1e3`; `inf`, `nan` and hex are not. */
export function isDecimal(text: string): boolean {
  return DECIMAL.test(text);
}

/**
 * A decimal number in thousandths, rounded half away from zero. Undefined where it is no decimal number, is over the
 * limit, or is subnormal (as in Mesos: so small that a double cannot hold it in full).
 */
export function parseScalar(text: string): number | undefined {
  const match = DECIMAL.exec(text);
  if (match === null) return undefined;
  const [, sign, whole = '', fraction = match[4] ?? '', , exponent = '0'] = match;
  const digits = (whole + fraction).replace(/^0+/, '');
  if (digits === '') return 0;
  if (Math.abs(Number(text)) < SMALLEST_NORMAL) return undefined;
  const shift = Number(exponent) - fraction.length + 3;
  const size = shifted(digits, shift);
  if (size === undefined || size > LIMITS.scalarThousandths) return undefined;
  return sign === '-' && size !== 0 ? -size : size;
}

/** `digits` × 10^`shift`, rounded half up; `digits` has no leading zero. */
function shifted(digits: string, shift: number): number | undefined {
  const length = digits.length + shift;
  if (length > LARGEST_DIGITS) return undefined;
  if (shift >= 0) return Number(digits + '0'.repeat(shift));
  if (length < 0) return 0;
  const roundsUp = digits.charAt(length) >= '5';
  return Number(digits.slice(0, length)) + (roundsUp ? 1 : 0);
}

/** A number, such as Mesos's JSON carries it, in thousandths; undefined where {@link parseScalar} says so, or it is not finite. */
export function scalarFromNumber(value: number): number | undefined {
  return parseScalar(String(value));
}

/** Thousandths as people write them: at most three decimals, no trailing zeros. */
export function formatScalar(thousandths: number): string {
  const size = Math.abs(thousandths);
  const fraction = size % 1000;
  const sign = thousandths < 0 ? '-' : '';
  const whole = `${sign}${(size - fraction) / 1000}`;
  return fraction === 0 ? whole : `${whole}.${String(fraction).padStart(3, '0').replace(/0+$/, '')}`;
}
