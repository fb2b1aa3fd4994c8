import * as v from 'valibot';
import { LIMITS } from './limits.ts';
import { coalesceRanges } from './resource-ranges.ts';

const Whole = v.pipe(v.number(), v.safeInteger(), v.minValue(0), v.maxValue(LIMITS.rangeEnd));

const RangeSchema = v.pipe(
  v.tuple([Whole, Whole]),
  v.check(([begin, end]) => begin <= end, 'the range is reversed'),
);

/** Ranges as an array of `[begin, end]` in any order; output: canonical. */
export const RangesSchema = v.pipe(
  v.array(RangeSchema),
  v.maxLength(LIMITS.rangesPerResource),
  v.transform((ranges) => coalesceRanges(ranges)),
);
