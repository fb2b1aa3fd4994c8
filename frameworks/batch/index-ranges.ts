/** A set of task indices as sorted, separate, inclusive ranges: `[[0, 499], [501, 501]]`. Ten thousand in a row cost one. */
export class IndexRanges {
  readonly #ranges: [number, number][];
  #size = 0;

  constructor(ranges: Iterable<readonly [number, number]> = []) {
    this.#ranges = [];
    for (const [first, last] of ranges) {
      for (let index = first; index <= last; index++) this.add(index);
    }
  }

  get size(): number {
    return this.#size;
  }

  has(index: number): boolean {
    const range = this.#ranges[this.#after(index) - 1];
    return range !== undefined && index <= range[1];
  }

  /** True if it was not there. */
  add(index: number): boolean {
    const at = this.#after(index);
    const before = this.#ranges[at - 1];
    if (before !== undefined && index <= before[1]) return false;
    this.#size++;
    const next = this.#ranges[at];
    const touchesBefore = before !== undefined && before[1] === index - 1;
    const touchesNext = next !== undefined && next[0] === index + 1;
    if (touchesBefore && touchesNext) {
      before[1] = next[1];
      this.#ranges.splice(at, 1);
    } else if (touchesBefore) before[1] = index;
    else if (touchesNext) next[0] = index;
    else this.#ranges.splice(at, 0, [index, index]);
    return true;
  }

  /** The parts of the ranges from `first` to `last`. */
  slice(first: number, last: number): [number, number][] {
    const found: [number, number][] = [];
    for (let at = Math.max(0, this.#after(first) - 1); at < this.#ranges.length; at++) {
      const range = this.#ranges[at];
      if (range === undefined || range[0] > last) break;
      if (range[1] >= first) found.push([Math.max(first, range[0]), Math.min(last, range[1])]);
    }
    return found;
  }

  /** Where the first range begins that starts after `index`. */
  #after(index: number): number {
    let low = 0;
    let high = this.#ranges.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const range = this.#ranges[middle];
      if (range !== undefined && range[0] <= index) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
