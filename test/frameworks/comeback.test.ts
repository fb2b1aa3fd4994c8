import test from 'ava';
import { applyStatus, createJob, type Effect, type Job, phaseOf, place } from '../../frameworks/batch/job.ts';
import { decodeJob, encodeBlock, encodeSpec, type StoredPart } from '../../frameworks/batch/stored-job.ts';
import { viewTask } from '../../frameworks/batch/views.ts';
import { Fault } from '../../protocol/faults.ts';
import type { JobSpec } from '../../protocol/job.ts';
import type { StatusEvent } from '../../protocol/scheduler.ts';
import type { TaskState } from '../../protocol/task.ts';
import { spec } from './batch-world.ts';

/** A service or a batch task whose first attempt went out of reach and was replaced; the replacement is as told. */
function twice(fields: Partial<JobSpec>, replacement: 'waiting' | 'starting' | 'running'): Job {
  const job = createJob(spec({ job: 'j', ...fields }), 'ann', 1);
  place(job, 0, 'a1', 1);
  applyStatus(job, 0, ofAttempt(0, 'TASK_RUNNING'), 2);
  applyStatus(job, 0, ofAttempt(0, 'TASK_UNREACHABLE'), 3);
  if (replacement === 'waiting') return job;
  place(job, 0, 'a2', 4);
  if (replacement === 'running') applyStatus(job, 0, ofAttempt(1, 'TASK_RUNNING'), 5);
  return job;
}

function ofAttempt(attempt: number, state: TaskState, restart = 0): StatusEvent {
  return {
    ...{ framework: 'batch', task: 'j.0', attempt, restart, uuid: `u${attempt}${state}` },
    ...{ sequence: 1, state, acknowledge: true, agentName: attempt === 0 ? 'a1' : 'a2' },
  };
}

/** As a leader after this one has it. */
function readBack(job: Job): Job {
  const value = encodeBlock(job, 0) ?? '';
  const parts = new Map<string, { part: StoredPart; value: string }>([
    ['spec', { part: { kind: 'spec' }, value: String(encodeSpec(job)) }],
    ['0', { part: { kind: 'block', block: 0 }, value }],
  ]);
  const read = decodeJob(parts);
  if (read instanceof Fault) throw new Error(read.message);
  return read;
}

const keeps = { kind: 'keeps' as const, index: 0 };
const killed = (attempt: number): Effect => ({ kind: 'kill', index: 0, attempt });

for (const [title, fields, replacement, restart, effects, runs] of [
  ['keep_original', { reconcile: 'keep_original' }, 'running', 0, [keeps, killed(1)], 0],
  ['keep_original', { reconcile: 'keep_original' }, 'waiting', 0, [keeps], 0],
  ['keep_replacement', { reconcile: 'keep_replacement' }, 'running', 0, [keeps, killed(0)], 1],
  ['longest_running', { reconcile: 'longest_running' }, 'running', 0, [keeps, killed(1)], 0],
  ['longest_running after a restart', { reconcile: 'longest_running' }, 'running', 1, [keeps, killed(0)], 1],
  ['longest_running after a restart', { reconcile: 'longest_running' }, 'starting', 1, [keeps, killed(1)], 0],
  ['nothing', {}, 'running', 0, undefined, 1],
  ['nothing', {}, 'waiting', 0, [keeps], 0],
] as const) {
  test(`${title}: the original is back while the replacement is ${replacement}`, (t) => {
    const job = twice({ disconnect: { replace: true, ...fields } }, replacement);
    t.deepEqual(
      applyStatus(job, 0, ofAttempt(0, 'TASK_RUNNING', restart), 6),
      effects as readonly Effect[] | undefined,
    );
    t.like(viewTask(job, 0, 'batch'), { attempt: runs, agent: runs === 0 ? 'a1' : 'a2' });
    t.is(phaseOf(job, 0), 'placed');
  });
}

test('the replacement is kept once it runs, and the original ends only then', (t) => {
  const job = twice({ disconnect: { replace: true, reconcile: 'keep_replacement' } }, 'starting');
  t.is(applyStatus(job, 0, ofAttempt(0, 'TASK_RUNNING'), 6), undefined);
  t.deepEqual(applyStatus(job, 0, ofAttempt(1, 'TASK_RUNNING'), 7), [keeps, killed(0)]);
  t.is(applyStatus(job, 0, ofAttempt(0, 'TASK_KILLED'), 8), undefined);
  t.is(phaseOf(job, 0), 'placed');
});

test('an original that is kept outlives the end of its replacement, and its number is not minted again', (t) => {
  const disconnect = { replace: true, reconcile: 'keep_original' } as const;
  const job = twice({ disconnect, retries: 1 }, 'running');
  applyStatus(job, 0, ofAttempt(0, 'TASK_RUNNING'), 6);
  t.deepEqual(applyStatus(job, 0, ofAttempt(1, 'TASK_RUNNING'), 7), [killed(1)], 'the kill got lost');
  t.is(applyStatus(job, 0, ofAttempt(1, 'TASK_KILLED'), 8), undefined);
  for (const one of [job, readBack(job)]) {
    t.is(applyStatus(one, 0, ofAttempt(1, 'TASK_KILLED'), 9), undefined, 'told again to a leader after this one');
    t.deepEqual(applyStatus(one, 0, ofAttempt(0, 'TASK_FAILED'), 10), [{ kind: 'waits', index: 0, delayMs: 1_000 }]);
    t.is(place(one, 0, 'a3', 11).attempt, 2);
  }
});

test('of two attempts of a service one is kept, for neither would ever end', (t) => {
  const job = twice({ disconnect: { replace: true }, restart: 'always' }, 'running');
  t.deepEqual(applyStatus(job, 0, ofAttempt(0, 'TASK_RUNNING'), 6), [keeps, killed(1)]);
});

test('a leader after this one does not end the replacement while the original is being ended', (t) => {
  const job = twice({ disconnect: { replace: true }, restart: 'always' }, 'running');
  t.deepEqual(applyStatus(job, 0, ofAttempt(0, 'TASK_RUNNING', 1), 6), [keeps, killed(0)]);
  const read = readBack(job);
  t.deepEqual(applyStatus(read, 0, ofAttempt(0, 'TASK_RUNNING', 1), 7), [killed(0)]);
  t.deepEqual(applyStatus(read, 0, ofAttempt(1, 'TASK_RUNNING'), 8), []);
  t.is(applyStatus(read, 0, { ...ofAttempt(0, 'TASK_KILLED', 1), reason: 'KILLED_BY_REQUEST' }, 9), undefined);
  t.is(phaseOf(read, 0), 'placed');
  t.like(viewTask(read, 0, 'batch'), { attempt: 1, agent: 'a2' });
});
