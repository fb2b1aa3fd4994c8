import test from 'ava';
import fc from 'fast-check';
import { type ExecutorFacts, type ExecutorTask, executorPlan, heardOf } from '../../agent/tasks/executor-plan.ts';
import { isTerminal, TASK_STATES } from '../../protocol/task.ts';

const GRACE = 5_000;

function facts(over: Partial<ExecutorFacts> = {}): ExecutorFacts {
  return {
    actual: { kind: 'running' },
    rebooted: false,
    subscribed: true,
    subscribeByMs: 60_000,
    again: true,
    shutdownGraceMs: GRACE,
    shutdown: undefined,
    tasks: [],
    ...over,
  };
}

function task(run: string, over: Partial<ExecutorTask> = {}): ExecutorTask {
  return {
    run,
    group: undefined,
    reported: 'TASK_RUNNING',
    delivered: true,
    files: 'there',
    startedMs: undefined,
    maxCompletionMs: undefined,
    timeUp: false,
    kill: undefined,
    ...over,
  };
}

const kill = (over: Partial<NonNullable<ExecutorTask['kill']>> = {}) => ({
  sinceMs: 0,
  graceMs: 3_000,
  told: 'nothing' as const,
  ...over,
});
const ending = (over: Partial<NonNullable<ExecutorFacts['shutdown']>> = {}) => ({
  why: 'asked' as const,
  sinceMs: 0,
  told: false,
  terminated: false,
  killed: false,
  ...over,
});
const fresh = { reported: undefined, delivered: false } as const;
const because = { reason: 'TASK_GROUP_FAILED', message: 'why' } as const;

/** What is so, and when it is looked at → what is done, and when it is looked at next. */
const TABLE: Readonly<Record<string, readonly [ExecutorFacts, number, readonly object[], number | undefined]>> = {
  'nothing is to be done': [facts({ tasks: [task('a')] }), 9, [], undefined],
  'not subscribed: its deadline is waited for': [
    facts({ subscribed: false, tasks: [task('a', fresh)] }),
    9,
    [],
    60_000,
  ],
  'it never subscribed': [
    facts({ subscribed: false, again: false }),
    60_000,
    [{ kind: 'shutDown', why: 'registration' }],
    60_000,
  ],
  'it did not come back': [facts({ subscribed: false }), 60_000, [{ kind: 'shutDown', why: 'reregistration' }], 60_000],
  'what a task needs is fetched, also before its executor has subscribed': [
    facts({ subscribed: false, tasks: [task('a', { ...fresh, files: 'wanted' })] }),
    9,
    [{ kind: 'fetch', run: 'a' }],
    60_000,
  ],
  'a task whose files are on their way waits, and its group with it': [
    facts({
      tasks: [
        task('a', { ...fresh, files: 'coming' }),
        task('b', { ...fresh, group: 'g 0' }),
        task('c', { ...fresh, group: 'g 0', files: 'coming' }),
      ],
    }),
    9,
    [],
    undefined,
  ],
  'of what the executor has nothing is fetched, whatever became of its files here': [
    facts({ tasks: [task('a', { files: 'wanted' })] }),
    9,
    [],
    undefined,
  ],
  'tasks are handed over, those of a group together': [
    facts({ tasks: ['a', 'b', 'c'].map((run) => task(run, { ...fresh, group: run === 'a' ? undefined : 'g 0' })) }),
    9,
    [
      { kind: 'launch', runs: ['a'], group: undefined },
      { kind: 'launch', runs: ['b', 'c'], group: 'g 0' },
    ],
    undefined,
  ],
  'killed before it was handed over': [
    facts({ subscribed: false, tasks: [task('a', { ...fresh, kill: kill() })] }),
    9,
    [
      {
        kind: 'report',
        run: 'a',
        state: 'TASK_KILLED',
        reason: 'KILLED_DURING_LAUNCH',
        message: 'killed before its executor had it',
      },
    ],
    60_000,
  ],
  'killed: told, with what is left of the grace': [
    facts({ tasks: [task('a', { kill: kill() })] }),
    1_000,
    [{ kind: 'killTask', run: 'a', graceMs: 2_000, told: 'kill' }],
    3_000,
  ],
  'killed and told: its grace is waited for': [
    facts({ tasks: [task('a', { kill: kill({ told: 'kill' }) })] }),
    1_000,
    [],
    3_000,
  ],
  'its grace is over: told without': [
    facts({ tasks: [task('a', { kill: kill({ told: 'kill' }) })] }),
    3_000,
    [{ kind: 'killTask', run: 'a', graceMs: 0, told: 'now' }],
    8_000,
  ],
  'deaf: its executor is ended': [
    facts({ tasks: [task('a', { kill: kill({ told: 'now' }) })] }),
    8_000,
    [{ kind: 'shutDown', why: 'deaf' }],
    8_000,
  ],
  'its time is up': [
    facts({ tasks: [task('a', { startedMs: 1_000, maxCompletionMs: 500 })] }),
    1_500,
    [{ kind: 'timeOut', run: 'a' }],
    1_500,
  ],
  'its time is not up': [facts({ tasks: [task('a', { startedMs: 1_000, maxCompletionMs: 500 })] }), 1_400, [], 1_500],
  'to be ended: told, half of the grace is waited for': [
    facts({ shutdown: ending() }),
    0,
    [{ kind: 'tellShutdown', graceMs: 5_000 }],
    2_500,
  ],
  'half of the grace is over': [facts({ shutdown: ending({ told: true }) }), 2_500, [{ kind: 'terminate' }], 5_000],
  'told, and its connection is closed: it may be ending': [
    facts({ subscribed: false, shutdown: ending({ told: true }) }),
    1_000,
    [],
    2_500,
  ],
  'it cannot be told': [facts({ subscribed: false, shutdown: ending() }), 0, [{ kind: 'terminate' }], 5_000],
  'all of the grace is over': [
    facts({ shutdown: ending({ told: true, terminated: true }) }),
    5_000,
    [{ kind: 'kill' }],
    undefined,
  ],
  'a task that comes while it is being ended is not handed over': [
    facts({ shutdown: ending({ told: true }), tasks: [task('a', fresh)] }),
    1_000,
    [],
    2_500,
  ],
};

for (const [name, [is, nowMs, steps, wakeMs]] of Object.entries(TABLE)) {
  test(`plan: ${name}`, (t) => {
    t.deepEqual(executorPlan(is, nowMs), { steps, wakeMs } as ReturnType<typeof executorPlan>);
  });
}

/** How an executor ended, and a task of it → state and reason. */
const ENDS: Readonly<Record<string, readonly [Partial<ExecutorFacts>, Partial<ExecutorTask>, string, string]>> = {
  'it exited': [{ actual: { kind: 'exited', code: 3 } }, {}, 'TASK_FAILED', 'EXECUTOR_TERMINATED'],
  'it ran out of memory': [
    { actual: { kind: 'exited', code: 137, outOfMemory: 'machine' } },
    {},
    'TASK_FAILED',
    'CONTAINER_LIMITATION_MEMORY',
  ],
  'it vanished': [{ actual: { kind: 'vanished' } }, {}, 'TASK_FAILED', 'EXECUTOR_TERMINATED'],
  'the machine was rebooted': [{ actual: { kind: 'vanished' }, rebooted: true }, {}, 'TASK_FAILED', 'AGENT_REBOOTED'],
  'it never subscribed': [
    { actual: { kind: 'exited', code: 143 }, shutdown: ending({ why: 'registration' }) },
    fresh,
    'TASK_FAILED',
    'EXECUTOR_REGISTRATION_TIMEOUT',
  ],
  'it did not come back': [
    { actual: { kind: 'exited', code: 137 }, shutdown: ending({ why: 'reregistration' }) },
    {},
    'TASK_FAILED',
    'EXECUTOR_REREGISTRATION_TIMEOUT',
  ],
  'it was shut down, and had it': [
    { actual: { kind: 'exited', code: 0 }, shutdown: ending() },
    {},
    'TASK_FAILED',
    'EXECUTOR_TERMINATED',
  ],
  'it was shut down, and never had it': [
    { actual: { kind: 'exited', code: 0 }, shutdown: ending() },
    fresh,
    'TASK_DROPPED',
    'EXECUTOR_TERMINATED',
  ],
  'it was deaf, and this one was killed': [
    { actual: { kind: 'exited', code: 137 }, shutdown: ending({ why: 'deaf' }) },
    { kill: kill() },
    'TASK_KILLED',
    'KILLED_BY_REQUEST',
  ],
  'it exited after the group had failed': [
    { actual: { kind: 'exited', code: 1 } },
    { kill: kill({ because }) },
    'TASK_KILLED',
    'TASK_GROUP_FAILED',
  ],
  'its time was up': [
    { actual: { kind: 'exited', code: 1 } },
    { kill: kill(), timeUp: true },
    'TASK_FAILED',
    'MAX_COMPLETION_TIME_REACHED',
  ],
  'it could not be started': [
    { actual: { kind: 'unstarted', reason: 'AGENT_DISK_FULL', message: 'full' } },
    fresh,
    'TASK_DROPPED',
    'AGENT_DISK_FULL',
  ],
};

for (const [name, [how, about, state, reason]] of Object.entries(ENDS)) {
  test(`the end of an executor, for a task: ${name}`, (t) => {
    const { steps } = executorPlan(facts({ ...how, tasks: [task('a', about)] }), 0);
    t.like(steps[0], { kind: 'report', run: 'a', state, reason });
    t.deepEqual(steps.slice(1), [{ kind: 'end' }]);
  });
}

test('what an executor says is reported as it says it; a kill has the reason that it was asked for', (t) => {
  const about = { reported: 'TASK_RUNNING', kill: undefined, timeUp: false } as const;
  t.deepEqual(heardOf(about, { state: 'TASK_FINISHED', message: 'well' }), { state: 'TASK_FINISHED', message: 'well' });
  t.deepEqual(heardOf(about, { state: 'TASK_KILLED' }), { state: 'TASK_KILLED' });
  t.deepEqual(heardOf({ ...about, kill: kill() }, { state: 'TASK_KILLED' }), {
    state: 'TASK_KILLED',
    reason: 'KILLED_BY_REQUEST',
  });
  t.deepEqual(heardOf({ ...about, kill: kill({ because }) }, { state: 'TASK_KILLED' }), {
    state: 'TASK_KILLED',
    ...because,
  });
  t.like(heardOf({ ...about, kill: kill(), timeUp: true }, { state: 'TASK_KILLED' }), {
    state: 'TASK_FAILED',
    reason: 'MAX_COMPLETION_TIME_REACHED',
  });
  for (const reported of TASK_STATES.filter(isTerminal))
    t.is(heardOf({ ...about, reported }, { state: 'TASK_RUNNING' }), 'unlikely');
  t.is(heardOf({ ...about, reported: 'TASK_KILLING' }, { state: 'TASK_RUNNING' }), 'unlikely');
});

test('whatever is so, a plan does something, waits for a time to come, or for an event that must come', (t) => {
  const tasks = fc.record({
    run: fc.constantFrom('a', 'b', 'c'),
    group: fc.constantFrom(undefined, 'g 0'),
    reported: fc.constantFrom(undefined, 'TASK_STARTING' as const, 'TASK_RUNNING' as const),
    delivered: fc.boolean(),
    startedMs: fc.option(fc.nat(20_000), { nil: undefined }),
    maxCompletionMs: fc.option(fc.nat(20_000), { nil: undefined }),
    timeUp: fc.constant(false),
    files: fc.constantFrom('wanted' as const, 'coming' as const, 'there' as const),
    kill: fc.option(
      fc.record({
        sinceMs: fc.nat(20_000),
        graceMs: fc.nat(9_000),
        told: fc.constantFrom('nothing' as const, 'kill' as const, 'now' as const),
      }),
      { nil: undefined },
    ),
  });
  fc.assert(
    fc.property(
      fc.uniqueArray(tasks, { selector: ({ run }) => run }),
      fc.boolean(),
      fc.option(fc.record({ sinceMs: fc.nat(20_000), told: fc.boolean(), terminated: fc.boolean() }), {
        nil: undefined,
      }),
      fc.nat(30_000),
      (some, subscribed, shutdown, nowMs) => {
        const is = facts({
          subscribed,
          subscribeByMs: 25_000,
          tasks: some,
          shutdown: shutdown === undefined ? undefined : ending(shutdown),
        });
        const { steps, wakeMs } = executorPlan(is, nowMs);
        if (wakeMs !== undefined && steps.length === 0) t.true(wakeMs > nowMs);
        const waits = shutdown !== undefined || !subscribed || some.some((one) => one.kill !== undefined);
        if (waits && wakeMs === undefined) t.true(steps.length > 0);
      },
    ),
  );
});
