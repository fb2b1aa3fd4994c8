import { printable } from './printable.ts';

export interface Column<Row> {
  readonly title: string;
  readonly value: (row: Row) => string | number | null;
  /** Numbers stand on the right. Default left. */
  readonly align?: 'right';
  /** Gives what is shown a colour. */
  readonly colour?: (row: Row) => Colour | undefined;
}

export const COLOURS = { red: 31, green: 32, yellow: 33, grey: 90 } as const;
export type Colour = keyof typeof COLOURS;

export interface TableOptions {
  /** Characters a line: wider tables lose the ends of their widest columns. Undefined: any width. */
  readonly columns: number | undefined;
  readonly colours: boolean;
}

const GAP = 2;
/** No column is cut below this. */
const NARROWEST = 6;

/** Lines with a heading, or one that says there is nothing. Null is shown as `-`. */
export function formatTable<Row>(rows: readonly Row[], columns: readonly Column<Row>[], options: TableOptions): string {
  const cells = rows.map((row) => columns.map(({ value }) => printable(String(value(row) ?? '-'))));
  const widths = columns.map(({ title }, at) =>
    Math.max(title.length, ...cells.map((line) => widthOf(line[at] ?? ''))),
  );
  shrink(widths, columns, options.columns);
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

/** Takes from the widest column, one character at a time, until the table fits or nothing is left to take. */
function shrink(widths: number[], columns: readonly { title: string }[], most: number | undefined): void {
  if (most === undefined) return;
  const total = (): number => widths.reduce((sum, width) => sum + width, 0) + GAP * (widths.length - 1);
  while (total() > most) {
    const widest = widths.indexOf(Math.max(...widths));
    const width = widths[widest] ?? 0;
    if (width <= Math.max(NARROWEST, columns[widest]?.title.length ?? 0)) return;
    widths[widest] = width - 1;
  }
}

function cut(text: string, width: number): string {
  const characters = [...text];
  return characters.length <= width ? text : `${characters.slice(0, width - 1).join('')}…`;
}

function widthOf(text: string): number {
  return [...text].length;
}
