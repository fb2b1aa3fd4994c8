import { cpus, loadavg, release, totalmem } from 'node:os';

/** One thing measured, beside what it is compared with in the same run. */
export interface Measured {
  readonly what: string;
  /** With its unit. */
  readonly value: string;
  /** The floor or the peer, by name, with its value; empty where there is none. */
  readonly beside: string;
  /** What it must reach; undefined where the number is only told. */
  readonly target: string | undefined;
  readonly met: boolean | undefined;
}

/** Rows under a heading, as a Markdown table: docs/benchmarks.md takes them as they are printed. */
export function printTable(heading: string, rows: readonly Measured[]): void {
  const header = ['measured', 'value', 'beside it', 'target', 'met'];
  const body = rows.map(({ what, value, beside, target, met }) => [
    what,
    value,
    beside,
    target ?? '–',
    met === undefined ? '–' : met ? 'yes' : 'no',
  ]);
  const widths = header.map((title, column) => Math.max(title.length, ...body.map((row) => row[column]?.length ?? 0)));
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`;
  const rule = `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`;
  console.log([`\n## ${heading}\n`, line(header), rule, ...body.map(line), ''].join('\n'));
}

/** The machine under all numbers of a run, and how busy others kept it in the minute before. */
export function machine(): string {
  const [cpu] = cpus();
  const memory = `${(totalmem() / 2 ** 30).toFixed(0)} GB`;
  return `${cpus().length} × ${cpu?.model.trim() ?? 'unknown CPU'}, ${memory}, Linux ${release()}, Node ${process.version}, load ${loadavg()[0]?.toFixed(1)}`;
}

/** The value below which the part `q` (0 to 1) of the values lies. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((one, other) => one - other);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN;
}
