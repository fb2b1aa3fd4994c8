import test from 'ava';
import { PartialLists } from '../../master/partial-lists.ts';
import type { KnownTask } from '../../protocol/agent-link.ts';
import { LIMITS } from '../../protocol/limits.ts';

/** Runs of an agent, of about so many bytes each. */
function runs(count: number, bytes = 100): KnownTask[] {
  const ranges = Array.from({ length: Math.ceil(bytes / 12) }, (_, at) => ({ begin: 1e9 + 2 * at, end: 1e9 + 2 * at }));
  return Array.from({ length: count }, (_, at) => ({
    ...{ framework: 'fw', task: `t${at}`, attempt: 0, restart: 0, state: 'TASK_RUNNING', sequence: 1 },
    resources: [{ name: 'ports', ranges }],
  })) as unknown as KnownTask[];
}

test('a list is whole with its last part; one that does not follow is none', (t) => {
  const lists = new PartialLists();
  t.is(lists.take('pi', 'a', { tasks: runs(2), part: 0, last: false }), 'more');
  t.is(lists.take('nuc', 'b', { tasks: runs(1), part: 1, last: true }), undefined, 'it never began');
  t.is((lists.take('pi', 'a', { tasks: runs(3), part: 1, last: true }) as KnownTask[]).length, 5);
  t.is(lists.bytes, 0);
  t.is(lists.take('pi', 'a', { tasks: runs(1), part: 0, last: false }), 'more');
  t.is(lists.take('pi', 'other', { tasks: runs(1), part: 1, last: true }), undefined);
  t.is(lists.take('pi', 'a', { tasks: runs(1), part: 1, last: true }), undefined, 'it was given up');
  t.is(lists.take('pi', 'a', { tasks: runs(LIMITS.tasksPerAgent + 1), part: 0, last: true }), undefined);
});

test('no list grows beyond what a command may have, nor all together; who leaves takes theirs along', (t) => {
  const lists = new PartialLists();
  const tasks = runs(10, 20_000);
  let part = 0;
  while (lists.take('mad', 'a', { tasks, part, last: false }) === 'more') part++;
  t.true(part > 10 && part * 10 < LIMITS.tasksPerAgent, `${part} parts`);
  t.is(lists.bytes, 0);
  for (let agent = 0; agent < 4; agent++)
    for (let at = 0; at < part; at++) lists.take(`mad-${agent}`, 'a', { tasks, part: at, last: false });
  t.true(lists.bytes > LIMITS.longCommandBytes && lists.bytes <= 2 * LIMITS.longCommandBytes, String(lists.bytes));
  t.is(lists.take('mad-0', 'a', { tasks, part, last: true }), undefined, 'the oldest made room');
  for (let agent = 0; agent < 4; agent++) lists.drop(`mad-${agent}`);
  t.is(lists.bytes, 0);
});
