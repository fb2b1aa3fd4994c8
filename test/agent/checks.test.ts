import test from 'ava';
import { checkStatusOf, isSameStatus, isWell, wordsOf } from '../../agent/checks/answer.ts';
import { beginHealth, firstMs, type Health, judge } from '../../agent/checks/health.ts';
import type { HealthCheck } from '../../protocol/task-checks.ts';
import { AgentWorld, program } from './world.ts';

const TIMING = { delayMs: 15_000, intervalMs: 10_000, timeoutMs: 20_000 } as const;
const HEALTH = { ...TIMING, consecutiveFailures: 3, gracePeriodMs: 10_000 } as const;
const TCP: HealthCheck = { tcp: { port: 8080 }, ...HEALTH };

/** Results (+ well, - not) at these times; what each comes to: `.` nothing, `t` told, `e` told and ended. */
const SERIES: readonly [name: string, results: readonly [atMs: number, well: boolean][], expected: string][] = [
  [
    'the first success is told, the next are not',
    [
      [1, true],
      [2, true],
      [3, true],
    ],
    't..',
  ],
  [
    'failures within the grace period do not count',
    [
      [1, false],
      [10_000, false],
      [10_001, false],
    ],
    '..t',
  ],
  [
    'every failure is told, the third in a row ends it',
    [
      [20_000, false],
      [30_000, false],
      [40_000, false],
    ],
    'tte',
  ],
  [
    'a success between begins the row anew',
    [
      [20_000, false],
      [30_000, false],
      [40_000, true],
      [50_000, false],
    ],
    'tttt',
  ],
  [
    'after a success the grace period is over',
    [
      [1, true],
      [2, false],
      [3, false],
      [4, false],
    ],
    'ttte',
  ],
  [
    'a recovery is told once',
    [
      [20_000, false],
      [30_000, true],
      [40_000, true],
    ],
    'tt.',
  ],
];

for (const [name, results, expected] of SERIES) {
  test(`health: ${name}`, (t) => {
    let health: Health = beginHealth(0);
    let said = '';
    for (const [atMs, well] of results) {
      const judgement = judge(health, HEALTH, well, atMs);
      health = judgement.health;
      said += judgement.ends ? 'e' : judgement.tell ? 't' : '.';
    }
    t.is(said, expected);
  });
}

test('health: an agent that comes back goes on from what was told', (t) => {
  const known = beginHealth(0, true);
  t.false(judge(known, HEALTH, true, 1).tell);
  t.true(judge(known, HEALTH, false, 1).tell, 'it was well before: no grace');
  t.is(judge(beginHealth(0, false), HEALTH, true, 1).health.healthy, true);
  t.is(firstMs(TIMING, 1_000, 1_000), 16_000);
  t.is(firstMs(TIMING, 1_000, 500_000), 500_000);
});

test('answers: what is well, what is told, and when it is the same', (t) => {
  const rows = [
    ['command', { exitCode: 0 }, true],
    ['command', { exitCode: 1 }, false],
    ['command', { trouble: 'late' }, false],
    ['http', { statusCode: 199 }, false],
    ['http', { statusCode: 200 }, true],
    ['http', { statusCode: 399 }, true],
    ['http', { statusCode: 400 }, false],
    ['http', { trouble: 'ECONNREFUSED' }, false],
    ['tcp', { connected: true }, true],
    ['tcp', { connected: false, trouble: 'ECONNREFUSED' }, false],
    ['tcp', {}, false],
  ] as const;
  for (const [kind, found, well] of rows) t.is(isWell(kind, found), well, `${kind} ${JSON.stringify(found)}`);
  t.deepEqual(checkStatusOf('command', { exitCode: 3 }), { kind: 'command', exitCode: 3 });
  t.deepEqual(checkStatusOf('http', { trouble: 'late' }), { kind: 'http' });
  t.deepEqual(checkStatusOf('tcp', { connected: false }), { kind: 'tcp', succeeded: false });
  t.false(isSameStatus(undefined, { kind: 'tcp' }));
  t.true(isSameStatus({ kind: 'tcp' }, { kind: 'tcp' }));
  t.false(isSameStatus({ kind: 'http', statusCode: 200 }, { kind: 'http', statusCode: 404 }));
  t.is(wordsOf('http', { statusCode: 503 }), 'HTTP status 503');
  t.is(wordsOf('command', { exitCode: 2 }), 'its command exited with 2');
  t.is(wordsOf('tcp', {}), 'no answer');
});

test('a task that is well is asked after the delay and then at every interval, and told well once', async (t) => {
  const world = new AgentWorld(21);
  await world.up();
  world.master.place('web', {
    argv: program({ stays: true }),
    healthCheck: { http: { scheme: 'http', path: '/health', portIndex: 1 }, ...HEALTH },
    resources: [
      {
        name: 'ports',
        ranges: [
          [31_000, 31_000],
          [31_005, 31_006],
        ],
      },
    ],
  });
  await world.until(() => world.master.states('web').length > 0);
  const begun = world.clock.monotonic();
  await world.clock.advance(60_000);
  const [first, second] = world.prober.asked;
  t.deepEqual(first?.probe, { kind: 'http', scheme: 'http', path: '/health', port: 31_005 });
  t.true(Math.abs((first?.atMs ?? 0) - begun - 15_000) < 500);
  t.true(Math.abs((second?.atMs ?? 0) - (first?.atMs ?? 0) - 10_001) < 10);
  t.deepEqual(world.master.states('web'), ['TASK_RUNNING', 'TASK_RUNNING']);
  t.like(world.master.last('web'), { healthy: true, reason: 'HEALTH_CHECK_STATUS_UPDATED', sequence: 2 });
  world.master.kill('web');
  await world.until(() => world.master.ended('web'), 10_000);
  t.like(world.master.last('web'), { state: 'TASK_KILLED', healthy: true });
  const asked = world.prober.asked.length;
  await world.clock.advance(60_000);
  t.is(world.prober.asked.length, asked, 'nobody asks what has ended');
});

test('three failures in a row end a task: each is told, and the end says why', async (t) => {
  const world = new AgentWorld(22);
  await world.up();
  world.prober.answer = () => ({ connected: false, trouble: 'connect ECONNREFUSED' });
  world.master.place('web', { argv: program({ stays: true }), healthCheck: TCP });
  await world.until(() => world.master.ended('web'), 120_000);
  t.deepEqual(
    world.master.placed.get('web.0')?.updates.map(({ state, reason, healthy }) => [state, reason, healthy]),
    [
      ['TASK_RUNNING', undefined, undefined],
      ['TASK_RUNNING', 'HEALTH_CHECK_STATUS_UPDATED', false],
      ['TASK_RUNNING', 'HEALTH_CHECK_STATUS_UPDATED', false],
      ['TASK_RUNNING', 'HEALTH_CHECK_FAILED', false],
      ['TASK_FAILED', 'HEALTH_CHECK_FAILED', false],
    ],
  );
  t.is(world.master.last('web')?.message, 'unhealthy: connect ECONNREFUSED (3 of 3 in a row)');
});

test('a service that is not well is started again, and asked anew', async (t) => {
  const world = new AgentWorld(23);
  await world.up();
  world.prober.answer = () => (world.started.length < 2 ? 'never' : { connected: true });
  const timing = { ...HEALTH, timeoutMs: 1_000, consecutiveFailures: 2 };
  world.master.place('web', {
    argv: program({ stays: true, ignoresTerm: true }),
    restart: 'on-failure',
    healthCheck: { tcp: { port: 80 }, ...timing },
  });
  await world.until(() => world.master.last('web')?.healthy === true, 600_000);
  t.deepEqual(world.started, ['batch/web.0/0', 'batch/web.0/1']);
  t.like(world.master.last('web'), { restart: 1, state: 'TASK_RUNNING' });
  const starting = world.master.placed.get('web.0')?.updates.find(({ state }) => state === 'TASK_STARTING');
  t.regex(starting?.message ?? '', /^unhealthy: no answer within 1000 ms \(2 of 2 in a row\); restart 1/);
});

test('a check is told when its result changes, is judged by nobody, and runs beside the task', async (t) => {
  const world = new AgentWorld(24);
  await world.up();
  const codes = [0, 0, 7, 7, 0];
  world.prober.answer = () => ({ exitCode: codes.shift() ?? 0 });
  world.master.place('job', {
    argv: program({ stays: true }),
    environment: { LEVEL: '3' },
    check: { command: { argv: ['is-it-so'] }, ...TIMING },
  });
  await world.until(() => world.prober.asked.length >= 8, 600_000);
  const updates = world.master.placed.get('job.0')?.updates ?? [];
  t.deepEqual(
    updates.map(({ checkStatus, reason }) => [checkStatus?.exitCode, reason]),
    [
      [undefined, undefined],
      [0, 'CHECK_STATUS_UPDATED'],
      [7, 'CHECK_STATUS_UPDATED'],
      [0, 'CHECK_STATUS_UPDATED'],
    ],
  );
  const probe = world.prober.asked[0]?.probe;
  t.like(probe, { kind: 'command', argv: ['is-it-so'], folder: '/data/tasks/batch/job.0/0/work' });
  t.like(probe?.kind === 'command' ? probe.environment : {}, { LEVEL: '3', MESQ_TASK_ID: 'job' });
});

test('checks go on after the agent was killed: told news is not told again, and no delay begins anew', async (t) => {
  const world = new AgentWorld(25);
  await world.up();
  world.master.place('web', { argv: program({ stays: true }), healthCheck: TCP });
  await world.until(() => world.master.last('web')?.healthy === true, 60_000);
  world.kill();
  await world.clock.advance(60_000);
  const asked = world.prober.asked.length;
  await world.up();
  await world.clock.advance(5_000);
  t.true(world.prober.asked.length > asked, 'the delay counts from the beginning of the task');
  t.is(world.master.states('web').length, 2, 'it was told well before');
  world.prober.answer = () => 'never';
  await world.until(() => world.master.ended('web'), 300_000);
  t.like(world.master.last('web'), { state: 'TASK_FAILED', reason: 'HEALTH_CHECK_FAILED' });
});

test('an agent that dies between the verdict and the end still ends the task for its health', async (t) => {
  const world = new AgentWorld(26);
  await world.up();
  world.prober.answer = () => ({ connected: false });
  const argv = program({ stays: true, ignoresTerm: true });
  world.master.place('web', { argv, healthCheck: TCP, killGraceMs: 20_000 });
  await world.until(() => world.master.last('web')?.reason === 'HEALTH_CHECK_FAILED', 300_000);
  world.kill();
  await world.clock.advance(1_000);
  world.prober.answer = () => ({ connected: true });
  await world.up();
  await world.until(() => world.master.ended('web'), 60_000);
  t.like(world.master.last('web'), { state: 'TASK_FAILED', reason: 'HEALTH_CHECK_FAILED', exitCode: 137 });
});
