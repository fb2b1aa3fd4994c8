import test from 'ava';
import * as v from 'valibot';
import { Arguments, TaskArguments } from '../../protocol/arguments.ts';
import { LIMITS } from '../../protocol/limits.ts';
import { isTerminal, TASK_STATES, transition } from '../../protocol/task.ts';

test('there are the fourteen states of Mesos, eight of them ends', (t) => {
  t.is(TASK_STATES.length, 14);
  t.deepEqual(
    TASK_STATES.filter(isTerminal).map((state) => state.replace('TASK_', '')),
    ['FINISHED', 'FAILED', 'KILLED', 'ERROR', 'LOST', 'DROPPED', 'GONE', 'GONE_BY_OPERATOR'],
  );
});

test('an end is an end, every state can be told again, and every other can come to an end', (t) => {
  for (const from of TASK_STATES) {
    t.is(transition(from, from), 'repeated');
    const moves = TASK_STATES.filter((to) => transition(from, to) === 'moved');
    t.is(moves.length === 0, isTerminal(from), from);
    if (!isTerminal(from))
      for (const to of ['TASK_GONE', 'TASK_GONE_BY_OPERATOR', 'TASK_LOST'] as const)
        t.is(transition(from, to), 'moved', `${from} ${to}`);
  }
});

test('what runs does not go back to being staged, and what is unreachable may come back', (t) => {
  for (const from of ['TASK_STARTING', 'TASK_RUNNING', 'TASK_KILLING', 'TASK_UNREACHABLE'] as const) {
    t.is(transition(from, 'TASK_STAGING'), 'refused');
  }
  t.is(transition('TASK_KILLING', 'TASK_RUNNING'), 'refused');
  for (const back of ['TASK_STARTING', 'TASK_RUNNING', 'TASK_KILLING'] as const)
    t.is(transition('TASK_UNREACHABLE', back), 'moved');
});

test('arguments that are refused are refused for what is wrong with them', (t) => {
  const said = (argv: readonly string[], schema: typeof TaskArguments | typeof Arguments = TaskArguments) =>
    v.safeParse(schema, argv).issues?.map(({ message }) => message);
  t.deepEqual(said(Array(LIMITS.arguments + 1).fill('a')), [`more than ${LIMITS.arguments} arguments`]);
  t.deepEqual(said(['', 'a']), ['the program is empty']);
  t.deepEqual(said(['a\0']), ['an argument cannot hold NUL']);
  t.is(said([]), undefined);
  t.deepEqual(said([], Arguments), ['a command needs a program']);
});
