/** Both ends included: `[31000, 32000]` is 1,001 numbers. */
export type Range = readonly [begin: number, end: number];

/** Canonical: ascending, neither overlapping nor adjacent. Every function here takes and gives this form. */
export type Ranges = readonly Range[];

/** Sorts, and merges what overlaps or touches: the way from any list of ranges to the canonical form. */
export function coalesceRanges(ranges: readonly Range[]): Ranges {
  const sorted = [...ranges].sort((a, b) => a[0] - b[0]);
  const result: Range[] = [];
  for (const range of sorted) append(result, range);
  return result;
}

/** Appends a range that begins no earlier than the last one. */
function append(ranges: Range[], range: Range): void {
  const last = ranges.at(-1);
  if (last === undefined || range[0] > last[1] + 1) ranges.push(range);
  else if (range[1] > last[1]) ranges[ranges.length - 1] = [last[0], range[1]];
}

export function addRanges(a: Ranges, b: Ranges): Ranges {
  const result: Range[] = [];
  let inA = 0;
  let inB = 0;
  for (;;) {
    const nextA = a[inA];
    const nextB = b[inB];
    if (nextA !== undefined && (nextB === undefined || nextA[0] <= nextB[0])) {
      append(result, nextA);
      inA++;
    } else if (nextB !== undefined) {
      append(result, nextB);
      inB++;
    } else return result;
  }
}

/** What is in `a` and not in `b`. */
export function subtractRanges(a: Ranges, b: Ranges): Ranges {
  const result: Range[] = [];
  let inB = 0;
  for (const [begin, end] of a) {
    let from = begin;
    for (;;) {
      const hole = b[inB];
      if (hole === undefined || hole[0] > end) break;
      if (hole[0] > from) result.push([from, hole[0] - 1]);
      if (hole[1] + 1 > from) from = hole[1] + 1;
      // A hole that reaches past this range may cut the next one too.
      if (hole[1] > end) break;
      inB++;
    }
    if (from <= end) result.push([from, end]);
  }
  return result;
}

/** What is in both. */
export function intersectRanges(a: Ranges, b: Ranges): Ranges {
  return subtractRanges(a, subtractRanges(a, b));
}

export function containsRanges(a: Ranges, b: Ranges): boolean {
  let inA = 0;
  for (const [begin, end] of b) {
    let around = a[inA];
    while (around !== undefined && around[1] < begin) around = a[++inA];
    if (around === undefined || around[0] > begin || around[1] < end) return false;
  }
  return true;
}

export function equalRanges(a: Ranges, b: Ranges): boolean {
  return a.length === b.length && a.every((range, index) => range[0] === b[index]?.[0] && range[1] === b[index]?.[1]);
}

/** How many numbers the ranges hold. */
export function countRanges(ranges: Ranges): number {
  let count = 0;
  for (const [begin, end] of ranges) count += end - begin + 1;
  return count;
}

/** The lowest `count` numbers (a task's ports), as ranges; undefined where there are fewer. */
export function takeFirst(ranges: Ranges, count: number): Ranges | undefined {
  const taken: Range[] = [];
  let missing = count;
  for (const [begin, end] of ranges) {
    if (missing === 0) break;
    const here = Math.min(missing, end - begin + 1);
    taken.push([begin, begin + here - 1]);
    missing -= here;
  }
  return missing === 0 ? taken : undefined;
}

/** `[31000-32000, 33000-33010]`; `[]` where there are none. */
export function formatRanges(ranges: Ranges): string {
  return `[${ranges.map(([begin, end]) => `${begin}-${end}`).join(', ')}]`;
}
