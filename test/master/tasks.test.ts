import test from 'ava';
import { answerUnknown } from '../../master/tasks/reconcile.ts';
import { TASK_STATES } from '../../protocol/task.ts';

test('a reconcile is always answered', (t) => {
  t.is(answerUnknown({ known: undefined, agent: 'registered' })?.state, 'TASK_GONE');
  t.is(answerUnknown({ known: undefined, agent: 'disconnected' })?.state, 'TASK_UNKNOWN');
  t.is(answerUnknown({ known: undefined, agent: 'unreachable' })?.state, 'TASK_UNREACHABLE');
  t.is(answerUnknown({ known: undefined, agent: 'gone' })?.state, 'TASK_GONE_BY_OPERATOR');
  t.is(answerUnknown({ known: undefined, agent: undefined })?.state, 'TASK_UNKNOWN');
  t.is(answerUnknown({ known: { state: 'TASK_RUNNING', attempt: 0 }, agent: undefined }), undefined);
});

test('a task the registry knows is answered with its own state, whatever its agent', (t) => {
  for (const state of TASK_STATES) {
    for (const agent of ['registered', 'disconnected', 'unreachable', 'gone', 'unknown', undefined] as const) {
      t.is(answerUnknown({ known: { state, attempt: 0 }, agent }), undefined);
      t.truthy(answerUnknown({ known: undefined, agent })?.message, 'and one it does not know, in words');
    }
  }
});
