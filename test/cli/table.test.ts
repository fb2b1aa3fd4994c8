import test from 'ava';
import { type Column, formatTable } from '../../cli/table.ts';
import { taskColumns } from '../../cli/task-list.ts';
import type { TaskView } from '../../protocol/job.ts';

const TASK: TaskView = {
  ...{ id: 'k3v9x2ab.12', framework: 'batch', job: 'k3v9x2ab', index: 12, attempt: 0, restart: 0 },
  ...{ state: 'TASK_FAILED', reason: null, message: `exited with 3 ${'and more '.repeat(20)}`, agent: 'pi-3' },
  ...{ exitCode: 3, output: null, healthy: null, created: 0, started: 1_000, finished: 5_000 },
};

function lines(columns: number | undefined, task: TaskView = TASK): string[] {
  return formatTable([task], taskColumns(60_000), { columns, colours: false }).trimEnd().split('\n');
}

test('a table fits every terminal that has room for what one copies from it, and cuts none of that', (t) => {
  for (let columns = 40; columns <= 200; columns++) {
    const [title = '', row = ''] = lines(columns);
    t.true(title.length <= columns && row.length <= columns, `${columns}: ${row}`);
    t.regex(row, /^k3v9x2ab\.12 +/);
    t.regex(row, / TASK_FAILED /);
    t.regex(row, / pi-3( |$)/);
  }
});

test('what can be done without goes first, one after another; elsewhere than in a terminal everything is there', (t) => {
  const titles = (columns: number | undefined): string => lines(columns)[0]?.replace(/ +/g, ' ') ?? '';
  t.is(titles(undefined), 'TASK ATTEMPT STATE AGENT EXIT STARTED TOOK WHY');
  t.is(titles(80), 'TASK ATTEMPT STATE AGENT EXIT STARTED TOOK WHY');
  t.is(titles(60), 'TASK STATE AGENT EXIT STARTED TOOK WHY');
  t.is(titles(40), 'TASK STATE AGENT EXIT');
  t.is(lines(undefined)[1]?.includes('and more and more'), true);
});

test('where not even that has room, all is cut', (t) => {
  const columns: Column<string>[] = [{ title: 'ID', whole: true, value: (row) => row }];
  const [, row] = formatTable(['x'.repeat(50)], columns, { columns: 20, colours: false }).split('\n');
  t.is(row, `${'x'.repeat(19)}…`);
});
