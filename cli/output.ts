import type { Fault } from '../protocol/faults.ts';
import { printable } from './printable.ts';
import { type Column, formatTable, paint } from './table.ts';
import type { Terminal } from './terminal.ts';
import type { Context } from './verb.ts';

/** Prints one JSON value on a line of its own: all that standard output gets with `--json`. */
export async function printJson({ terminal }: Context, value: unknown): Promise<void> {
  await terminal.out.write(`${JSON.stringify(value)}\n`);
}

/** Prints rows as a table, or as the JSON that `json` makes of them; `none` is said where there are no rows. */
export async function printRows<Row>(
  context: Context,
  rows: readonly Row[],
  shown: { columns: readonly Column<Row>[]; json: (row: Row) => unknown; none: string },
): Promise<void> {
  const { out } = context.terminal;
  if (context.options.json) await printJson(context, rows.map(shown.json));
  else if (rows.length === 0) await notice(context, shown.none);
  else await out.write(formatTable(rows, shown.columns, out));
}

/** Prints a line of plain result, unless `--json` asks for something else. */
export async function printLine(context: Context, text: string): Promise<void> {
  await context.terminal.out.write(`${text}\n`);
}

/** Says something to people, on standard error; `--quiet` keeps it silent. */
export async function notice({ terminal, options }: Context, text: string): Promise<void> {
  if (!options.quiet) await terminal.error.write(`${printable(text)}\n`);
}

/** Says what went wrong and what to try next, on standard error. */
export async function printFault(terminal: Pick<Terminal, 'error'>, fault: Fault, json: boolean): Promise<void> {
  const { code, message, hint } = fault;
  const { error } = terminal;
  if (json) {
    await error.write(`${JSON.stringify({ error: { code, message, hint } })}\n`);
    return;
  }
  const lines = message.split('\n').map(printable);
  const label = error.colours ? paint('error:', 'red') : 'error:';
  await error.write(`${label} ${lines.join('\n  ')}\n  ${printable(hint)}\n`);
}

/** Wall-clock milliseconds as `--json` has them. */
export function isoTime(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString();
}

/** How long ago, in the largest unit that fits: `12s`, `5m`, `3h`, `2d`. */
export function ago(ms: number | null, now: number): string {
  if (ms === null) return '-';
  const seconds = Math.max(0, Math.round((now - ms) / 1000));
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 7_200) return `${Math.floor(seconds / 60)}m`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3_600)}h` : `${Math.floor(seconds / 86_400)}d`;
}
