import test from 'ava';
import * as v from 'valibot';
import { applyRecord, emptyState, recover, stateSlices } from '../../agent/checkpoint/state.ts';
import { plan, type RunFacts } from '../../agent/tasks/plan.ts';
import { TIMES } from '../../protocol/limits.ts';
import { TaskInfo } from '../../protocol/task.ts';
import { AgentWorld, program } from './world.ts';

const FACTS: RunFacts = {
  restartPolicy: 'never',
  restart: 0,
  actual: { kind: 'running' },
  reported: 'TASK_RUNNING',
  reportedReason: undefined,
  launchedMs: 0,
  startedMs: 0,
  maxCompletionMs: undefined,
  kill: undefined,
  unhealthy: undefined,
  news: [],
  timeUp: false,
  rebooted: false,
  caveat: undefined,
  memPeakMb: undefined,
  quickEnds: 0,
};

/** As Mesos's CommandExecutor::kill has it: seconds of the first grace, of a second kill and its grace, and of SIGKILL. */
const KILLS: readonly [first: number, at: number | undefined, second: number, sigkill: number][] = [
  [20, undefined, 0, 20],
  [20, 3, 10, 10],
  [20, 3, 20, 20],
  [20, 3, 600, 20],
  [20, 7, 5, 7],
  [5, 1, 0, 1],
];

for (const [first, at, second, sigkill] of KILLS) {
  const again = at === undefined ? '' : `, again after ${at} s with ${second} s`;
  test(`killed with ${first} s of grace${again}: SIGKILL after ${sigkill} s`, async (t) => {
    const world = new AgentWorld(31);
    await world.up();
    world.master.place('deaf', { argv: program({ stays: true, ignoresTerm: true }) });
    await world.until(() => world.master.states('deaf').length > 0);
    const killedMs = world.clock.monotonic();
    world.master.kill('deaf', first * 1_000);
    if (at !== undefined) {
      await world.clock.advance(at * 1_000);
      world.master.kill('deaf', second * 1_000);
    }
    await world.until(() => world.master.ended('deaf'), 60_000);
    const tookMs = world.clock.monotonic() - killedMs;
    t.true(tookMs >= sigkill * 1_000 && tookMs < sigkill * 1_000 + 500, `${tookMs} ms`);
    t.like(world.master.last('deaf'), { state: 'TASK_KILLED', reason: 'KILLED_BY_REQUEST', exitCode: 137 });
  });
}

test('the grace of a kill goes on while the agent is away', async (t) => {
  const world = new AgentWorld(32);
  await world.up();
  world.master.place('deaf', { argv: program({ stays: true, ignoresTerm: true }) });
  await world.until(() => world.master.states('deaf').length > 0);
  const killedMs = world.clock.monotonic();
  world.master.kill('deaf', 30_000);
  await world.clock.advance(10_000);
  world.kill();
  await world.clock.advance(10_000);
  await world.up();
  await world.until(() => world.master.ended('deaf'), 60_000);
  const tookMs = world.clock.monotonic() - killedMs;
  t.true(tookMs >= 30_000 && tookMs < 31_000, `${tookMs} ms`);
});

test('a launch that the launcher leaves lying is taken back in time, and is nobody’s failure', async (t) => {
  const world = new AgentWorld(33);
  await world.up();
  world.machine.freeze();
  world.master.place('stuck', { argv: program({ stays: true }) });
  await world.until(() => world.made.has('batch/stuck.0/0'));
  await world.clock.advance(TIMES.startMs - 5_000);
  t.false(world.master.ended('stuck'));
  await world.until(() => world.master.ended('stuck'), 10_000);
  t.like(world.master.last('stuck'), { state: 'TASK_DROPPED', reason: 'LAUNCH_TIMED_OUT' });
  world.machine.thaw();
  await world.clock.advance(10_000);
  t.deepEqual(world.started, []);
});

test('whoever asks to hear TASK_KILLING hears it once, before the end', async (t) => {
  const world = new AgentWorld(34);
  await world.up();
  world.master.place('a', { argv: program({ stays: true, ignoresTerm: true }) });
  await world.until(() => world.master.states('a').length > 0);
  const key = { framework: 'batch', task: 'a', attempt: 0 };
  world.master.command({ type: 'KILL', tasks: [{ ...key, graceMs: 5_000, tell: true }] });
  await world.clock.advance(1_000);
  world.master.command({ type: 'KILL', tasks: [{ ...key, graceMs: 5_000, tell: true }] });
  await world.until(() => world.master.ended('a'), 30_000);
  t.deepEqual(world.master.states('a'), ['TASK_RUNNING', 'TASK_KILLING', 'TASK_KILLED']);
});

test('what even SIGKILL does not end is said to be so once, and keeps being killed', (t) => {
  const kill = { sinceMs: 0, graceMs: 1_000, terminated: true, killedMs: 2_000, tell: false };
  const late = 2_000 + TIMES.unkillableMs;
  t.deepEqual(plan({ ...FACTS, kill }, late - 1), { steps: [], wakeMs: late });
  const { steps } = plan({ ...FACTS, kill }, late);
  t.like(steps, [{ kind: 'report', state: 'TASK_RUNNING', reason: 'UNKILLABLE' }, { kind: 'kill' }]);
  t.deepEqual(plan({ ...FACTS, kill, reportedReason: 'UNKILLABLE' }, late).steps, [{ kind: 'kill' }]);
  const told = plan({ ...FACTS, kill: { ...kill, tell: true }, reported: 'TASK_KILLING' }, late).steps;
  t.like(told[0], { kind: 'report', state: 'TASK_KILLING', reason: 'UNKILLABLE' });
});

test('how far it is, and what a launcher says of its end, are told', (t) => {
  const running: RunFacts = { ...FACTS, reported: 'TASK_RUNNING', news: [{ message: '42 %' }] };
  t.deepEqual(plan(running, 0).steps, [{ kind: 'report', state: 'TASK_RUNNING', message: '42 %' }]);
  const ended = (code: number, message?: string) =>
    plan({ ...FACTS, restartPolicy: 'never', actual: { kind: 'exited', code, message } }, 0).steps.at(-1);
  t.deepEqual(ended(0, 'it is ON'), { kind: 'report', state: 'TASK_FINISHED', message: 'it is ON', exitCode: 0 });
  t.like(ended(1, 'no answer'), { state: 'TASK_FAILED', reason: 'COMMAND_FAILED', message: 'no answer', exitCode: 1 });
  t.like(ended(1), { message: 'exited with 1' });
  t.deepEqual(ended(0), { kind: 'report', state: 'TASK_FINISHED', exitCode: 0 });
});

test('a kill that comes while a start is being ended for its health ends the run for good', (t) => {
  const unhealthy = { sinceMs: 0, graceMs: 1_000, terminated: true, killedMs: 1_000, message: 'unhealthy: no answer' };
  const kill = { sinceMs: 0, graceMs: 1_000, terminated: true, killedMs: 1_000, tell: false };
  const exited: RunFacts = { ...FACTS, restartPolicy: 'always', actual: { kind: 'exited', code: 137 }, unhealthy };
  t.is(plan({ ...exited, kill }, 1_100).steps.at(-1)?.kind, 'report');
  t.like(plan({ ...exited, kill }, 1_100).steps.at(-1), { state: 'TASK_KILLED' });
  t.is(plan(exited, 1_100).steps.at(-1)?.kind, 'wait');
});

test('the time a task may take counts from its beginning, whatever its checks told since', async (t) => {
  const world = new AgentWorld(35);
  await world.up();
  const { started } = world;
  world.master.place('long', {
    argv: program({ stays: true }),
    maxCompletionMs: 120_000,
    healthCheck: {
      ...{ tcp: { port: 80 }, delayMs: 60_000, intervalMs: 10_000, timeoutMs: 1_000 },
      ...{ consecutiveFailures: 3, gracePeriodMs: 0 },
    },
  });
  await world.until(() => started.length > 0);
  const begunMs = world.clock.monotonic();
  await world.until(() => world.master.last('long')?.healthy === true, 90_000);
  world.kill();
  await world.clock.advance(5_000);
  await world.up();
  await world.until(() => world.master.ended('long'), 300_000);
  t.like(world.master.last('long'), { state: 'TASK_FAILED', reason: 'MAX_COMPLETION_TIME_REACHED' });
  const tookMs = world.clock.monotonic() - begunMs;
  t.true(tookMs >= 120_000 && tookMs < 121_000, `${tookMs} ms`);
});

test('a snapshot keeps when a start began and when its kill came, though the reports that told it are forgotten', (t) => {
  const state = emptyState();
  const info = v.parse(TaskInfo, { task: 'a', attempt: 0, argv: ['x'], resources: [{ name: 'cpus', scalar: 1 }] });
  applyRecord(state, { kind: 'ACCEPTED', framework: 'fw', info, epoch: 1 });
  const run = 'fw/a.0';
  for (const sequence of [1, 2]) {
    const at = { boot: 'b1', monotonicMs: sequence * 1_000, wallMs: null };
    const status = { framework: 'fw', task: 'a', attempt: 0, restart: 0, uuid: `u${sequence}`, sequence, at };
    applyRecord(state, { kind: 'STATUS', run, status: { ...status, state: 'TASK_RUNNING' } });
    applyRecord(state, { kind: 'ACKNOWLEDGED', run, sequence });
  }
  const since = { boot: 'b1', monotonicMs: 5_000 };
  applyRecord(state, { kind: 'KILL', run, graceMs: 9_000, tell: true, since });
  applyRecord(state, { kind: 'KILL', run, graceMs: 4_000, since: { boot: 'b1', monotonicMs: 6_000 } });
  const again = recover(stateSlices(state)).runs.get(run);
  t.deepEqual(again, state.runs.get(run));
  t.deepEqual(again?.began, { restart: 0, at: { boot: 'b1', monotonicMs: 1_000 } });
  t.like(again?.kill, { graceMs: 4_000, tell: true, since });
});

test('a start that is ended for its health is ended at once, also where its time would run out later', (t) => {
  const unhealthy = { sinceMs: 0, graceMs: 5_000, terminated: false, killedMs: undefined, message: 'unhealthy' };
  const facts: RunFacts = { ...FACTS, maxCompletionMs: 60_000, unhealthy };
  t.deepEqual(plan(facts, 0), { steps: [{ kind: 'terminate' }], wakeMs: 5_000 });
  t.deepEqual(plan(facts, 5_000).steps, [{ kind: 'kill' }]);
  t.is(plan({ ...facts, maxCompletionMs: 3_000 }, 0).wakeMs, 3_000);
  t.deepEqual(plan({ ...facts, maxCompletionMs: 3_000 }, 3_000).steps, [{ kind: 'timeOut' }]);
});
