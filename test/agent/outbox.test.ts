import test from 'ava';
import { Outbox } from '../../agent/updates/outbox.ts';
import { TIMES } from '../../protocol/limits.ts';
import type { TaskStatus } from '../../protocol/task.ts';

function status(task: string, sequence: number, uuid = `${task}-${sequence}`): TaskStatus {
  return { framework: 'f', task, attempt: 0, restart: 0, uuid, sequence, state: 'TASK_RUNNING' };
}

const uuids = (statuses: readonly TaskStatus[]): string[] => statuses.map(({ uuid }) => uuid);

test('a report goes out at once, all of a task again after 10 s, doubling to 10 min, in order', (t) => {
  const outbox = new Outbox();
  outbox.add('a', status('a', 1));
  t.deepEqual(uuids(outbox.next(0)), ['a-1']);
  outbox.add('a', status('a', 2));
  t.deepEqual(uuids(outbox.next(1)), ['a-2'], 'what was sent is not sent with it');
  t.deepEqual(outbox.next(9_999), []);
  const times: number[] = [];
  for (let now = 10_000; times.length < 9; now = outbox.nextMs() ?? Number.NaN) {
    t.deepEqual(uuids(outbox.next(now)), ['a-1', 'a-2']);
    times.push(now);
  }
  const pauses = times.slice(1).map((time, at) => time - (times[at] ?? 0));
  t.deepEqual(pauses.slice(0, 3), [20_000, 40_000, 80_000]);
  t.is(pauses.at(-1), TIMES.updateRetryMaxMs);
});

test('a reconnect makes everything due, with the shortest pause again', (t) => {
  const outbox = new Outbox();
  outbox.add('a', status('a', 1));
  outbox.add('b', status('b', 1));
  outbox.next(0);
  outbox.next(10_000);
  outbox.reset();
  t.deepEqual(uuids(outbox.next(11_000)), ['a-1', 'b-1']);
  t.is(outbox.nextMs(), 21_000);
});

test('an acknowledgement takes what came before along, and the last one empties the box', (t) => {
  const outbox = new Outbox();
  for (const sequence of [1, 2, 3]) outbox.add('a', status('a', sequence));
  outbox.next(0);
  outbox.acknowledge('a', 2);
  outbox.acknowledge('unknown', 1);
  t.deepEqual(uuids(outbox.next(10_000)), ['a-3']);
  outbox.acknowledge('a', 3);
  t.is(outbox.size, 0);
  t.is(outbox.nextMs(), undefined);
});

test('a report of the same number takes the place of the last, also of one that was sent', (t) => {
  const outbox = new Outbox();
  t.is(outbox.add('a', status('a', 1)), undefined);
  t.is(outbox.add('a', status('a', 2, 'old')), undefined);
  outbox.next(0);
  t.is(outbox.add('a', status('a', 2, 'new')), 'old');
  t.deepEqual(uuids(outbox.next(1)), ['new']);
  t.deepEqual(uuids(outbox.next(10_000)), ['a-1', 'new']);
});
