import test from 'ava';
import type { Run } from '../../agent/checkpoint/state.ts';
import { knownDigest, knownTasks } from '../../agent/known-tasks.ts';

function run(task: string, acknowledged: number, state: string | undefined, unacknowledged = 0): Run {
  const latest = state === undefined ? undefined : { state };
  return {
    ...{ run: `fw/${task}/0`, framework: 'fw', info: { task, attempt: 0, resources: [] }, restart: 0 },
    ...{ acknowledged, latest, unacknowledged: Array.from({ length: unacknowledged }) },
  } as unknown as Run;
}

test('a run is told of until its end is acknowledged, and lives until the report of that', (t) => {
  const runs = [
    run('accepted', 0, undefined),
    run('runs', 1, 'TASK_RUNNING'),
    run('ended', 1, 'TASK_FINISHED', 1),
    run('over', 2, 'TASK_FINISHED'),
  ];
  t.deepEqual(
    knownTasks(runs).map(({ task, state }) => [task, state]),
    [
      ['accepted', 'TASK_STARTING'],
      ['runs', 'TASK_RUNNING'],
      ['ended', 'TASK_STARTING'],
    ],
  );
  t.is(knownDigest(runs), knownDigest(runs.slice(1, 3)), 'a master need not know what it has acknowledged nothing of');
  t.not(knownDigest(runs), knownDigest(runs.slice(1, 2)));
});
