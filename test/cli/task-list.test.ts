import test from 'ava';
import { mergeTasks } from '../../cli/task-list.ts';
import type { TaskView } from '../../protocol/job.ts';

function view(id: string, created: number, attempt = 0, agent: string | null = null): TaskView {
  const [job = '', index = '0'] = id.split('.');
  return {
    ...{ id, framework: 'batch', job, index: Number(index), attempt, restart: 0, state: 'TASK_RUNNING' },
    ...{ reason: null, message: null, agent, exitCode: null, output: null, healthy: null },
    ...{ created, started: null, finished: null },
  };
}

test('the newest job comes first, its tasks by their numbers, also where a later attempt is younger than another job', (t) => {
  const placed = [view('old.10', 1), view('old.2', 9, 1, 'a1'), view('new.1', 5), view('new.0', 6)];
  const waiting = [view('old.2', 1), view('old.0', 1), view('same.0', 5), view('new.2', 5)];
  t.deepEqual(
    mergeTasks(placed, waiting).map(({ id, attempt }) => `${id}.${attempt}`),
    ['new.0.0', 'new.1.0', 'new.2.0', 'same.0.0', 'old.0.0', 'old.2.1', 'old.10.0'],
  );
});

test('of one attempt the leader’s word counts', (t) => {
  const [task] = mergeTasks([view('j.0', 1, 0, 'a1')], [view('j.0', 1)]);
  t.is(task?.agent, 'a1');
});
