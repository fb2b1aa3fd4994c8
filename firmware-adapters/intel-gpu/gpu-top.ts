/** What the newest row of `intel_gpu_top -l` says. */
export interface GpuTop {
  /** 0 to 1: of the busiest engine. */
  readonly load: number | undefined;
  /** Of the GPU alone. */
  readonly powerW: number | undefined;
}

const LINES = 200;
const LINE = 1_000;

/**
 * Two header rows (groups, then columns), again every so often; below them numbers. The first row after the start is
 * nonsense, and which engines there are differs: each has a `%` followed by `se` and `wa`. Undefined where there is no second row.
 */
export function parseGpuTop(text: string): GpuTop | undefined {
  let columns: readonly string[] = [];
  let newest: readonly number[] | undefined;
  let rows = 0;
  for (const line of text.split('\n').slice(-LINES)) {
    const words = line.slice(0, LINE).trim().split(/\s+/);
    if (words[0] === 'req' && words.includes('act')) columns = words;
    const numbers = words.map(Number);
    if (columns.length === 0 || words.length !== columns.length || !numbers.every(Number.isFinite)) continue;
    rows++;
    newest = numbers;
  }
  if (newest === undefined || rows < 2) return undefined;
  const row = newest;
  const engines = columns.flatMap((name, at) => (name === '%' && columns[at + 1] === 'se' ? [row[at] ?? 0] : []));
  const powerW = row[columns.indexOf('gpu')];
  return {
    load: engines.length === 0 ? undefined : Math.min(1, Math.max(0, ...engines) / 100),
    powerW: powerW === undefined || powerW < 0 ? undefined : powerW,
  };
}
