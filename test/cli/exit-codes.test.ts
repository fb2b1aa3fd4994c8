import test from 'ava';
import { exitCodeOf, exitCodeOfAll } from '../../cli/exit-codes.ts';

test('what a task ended with is what is passed on, but for ends that say more', (t) => {
  const rows = [
    ['TASK_FINISHED', null, 0, 0],
    ['TASK_FAILED', 'COMMAND_FAILED', 3, 3],
    ['TASK_FAILED', 'MAX_COMPLETION_TIME_REACHED', 137, 124],
    ['TASK_FAILED', 'HEALTH_CHECK_FAILED', 143, 143],
    ['TASK_FAILED', 'HEALTH_CHECK_FAILED', 0, 125],
    ['TASK_DROPPED', 'LAUNCH_TIMED_OUT', null, 125],
  ] as const;
  for (const [state, reason, exitCode, code] of rows)
    t.is(exitCodeOf({ state, reason, exitCode }), code, `${state} ${reason} ${exitCode}`);
  t.is(exitCodeOfAll(rows.map(([state, reason, exitCode]) => ({ state, reason, exitCode }))), 143);
});
