import { printable } from './printable.ts';

export interface Column<Row> {
  readonly title: string;
  readonly value: (row: Row) => string | number | null;
  /** Numbers stand on the right. Default left. */
  readonly align?: 'right';
  /** What one copies from it, or must not misread: it is cut last of all. */
  readonly whole?: true;
  /** Where the table is too wide although it was cut, the column with the highest number is left out first. Default: never. */
  readonly spare?: number;
  /** Gives what is shown a colour. */
  readonly colour?: (row: Row) => Colour | undefined;
}

export const COLOURS = { red: 31, green: 32, yellow: 33, grey: 90 } as const;
export type Colour = keyof typeof COLOURS;

export interface TableOptions {
  /** Characters a line: wider tables lose the ends of their widest columns, then columns. Undefined: any width. */
  readonly columns: number | undefined;
  readonly colours: boolean;
}

const GAP = 2;
/** No column is cut below this. */
const NARROWEST = 6;

/** Lines with a heading, or one that says there is nothing. Null is shown as `-`. */
export function formatTable<Row>(rows: readonly Row[], all: readonly Column<Row>[], options: TableOptions): string {
  const { columns, cells, widths } = fitColumns(rows, all, options.columns);
  const line = (texts: readonly string[], paint: (text: string, at: number) => string): string =>
    texts
      .map((text, at) => {
        const shown = cut(text, widths[at] ?? 0);
        const space = ' '.repeat((widths[at] ?? 0) - widthOf(shown));
        const painted = paint(shown, at);
        if (columns[at]?.align === 'right') return space + painted;
        return at === texts.length - 1 ? painted : painted + space;
      })
      .join(' '.repeat(GAP))
      .trimEnd();
  const plain = (text: string): string => text;
  const titles = columns.map(({ title }) => title);
  const lines = [line(titles, options.colours ? (text) => paint(text, 'grey') : plain)];
  for (const [at, texts] of cells.entries()) {
    const row = rows[at];
    lines.push(
      line(texts, (text, column) => {
        const colour = row === undefined || !options.colours ? undefined : columns[column]?.colour?.(row);
        return colour === undefined ? text : paint(text, colour);
      }),
    );
  }
  return `${lines.join('\n')}\n`;
}

export function paint(text: string, colour: Colour): string {
  return `\u001b[${COLOURS[colour]}m${text}\u001b[39m`;
}

interface Fitted<Row> {
  readonly columns: readonly Column<Row>[];
  readonly cells: readonly (readonly string[])[];
  readonly widths: readonly number[];
}

/** Cuts what may be cut; where that is not enough, leaves a column out and tries again; cuts everything at last. */
function fitColumns<Row>(rows: readonly Row[], columns: readonly Column<Row>[], most: number | undefined): Fitted<Row> {
  const cells = rows.map((row) => columns.map(({ value }) => printable(String(value(row) ?? '-'))));
  const widths = columns.map(({ title }, at) =>
    Math.max(title.length, ...cells.map((line) => widthOf(line[at] ?? ''))),
  );
  const fitted = { columns, cells, widths };
  if (most === undefined || shrink(widths, columns, most, false)) return fitted;
  const spare = Math.max(...columns.map((column) => column.spare ?? 0));
  if (spare > 0)
    return fitColumns(
      rows,
      columns.filter((column) => column.spare !== spare),
      most,
    );
  shrink(widths, columns, most, true);
  return fitted;
}

/** Takes from the widest column, one character at a time, until the table fits (true) or nothing is left to take. */
function shrink(
  widths: number[],
  columns: readonly { readonly title: string; readonly whole?: true }[],
  most: number,
  everything: boolean,
): boolean {
  const total = (): number => widths.reduce((sum, width) => sum + width, 0) + GAP * (widths.length - 1);
  while (total() > most) {
    const open = widths.map((width, at) => {
      const column = columns[at];
      const least = Math.max(NARROWEST, column?.title.length ?? 0);
      return column?.whole === true && !everything ? 0 : width > least ? width : 0;
    });
    const widest = open.indexOf(Math.max(...open));
    const width = open[widest] ?? 0;
    if (width === 0) return false;
    widths[widest] = width - 1;
  }
  return true;
}

function cut(text: string, width: number): string {
  const characters = [...text];
  return characters.length <= width ? text : `${characters.slice(0, width - 1).join('')}…`;
}

function widthOf(text: string): number {
  return [...text].length;
}
