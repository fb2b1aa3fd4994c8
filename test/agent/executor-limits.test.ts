import test from 'ava';
import type { Run } from '../../agent/checkpoint/state.ts';
import { ExecutorLimits } from '../../agent/executors/executor-limits.ts';
import { executorConfinement } from '../../agent/isolation/confinement.ts';
import type { StartLimits } from '../../io/launcher.ts';
import { LIMITS } from '../../protocol/limits.ts';
import type { TaskInfo } from '../../protocol/task.ts';
import { resourcesOf } from '../resources-of.ts';
import { VirtualClock } from '../sim/clock.ts';
import { SimulatedMachine } from '../sim/launcher.ts';
import { executorTask, type ScriptedTask, scriptedExecutors } from './scripted-executor.ts';
import { AgentWorld } from './world.ts';

const MINUTE = 60_000;
const MB = 1_048_576;
const { taskProcesses } = LIMITS;
const ABLE = { cpu: true, memory: 'task', processes: 'task' } as const;

/** A task of executor `e` with a limit of so many MB. */
function limited(mb: number, does: ScriptedTask = {}, more: Partial<TaskInfo> = {}): ReturnType<typeof executorTask> {
  return executorTask('e', does, { resources: resourcesOf('cpus:0.5;mem:16'), limits: { mem: mb * 1_000 }, ...more });
}

/** Places a task, and waits until its executor has told of it. */
async function begun(world: AgentWorld, name: string, task: ReturnType<typeof executorTask>): Promise<void> {
  world.master.place(name, task);
  await world.until(() => world.master.states(name).length > 0, MINUTE);
}

/** What an executor is held to whose tasks are each {@link limited}. */
function heldTo(...mbs: number[]): StartLimits {
  const memory = mbs.reduce((sum, mb) => sum + mb, 0) * MB;
  return { cpuShare: 500 * mbs.length, memoryBytes: memory, processes: taskProcesses * mbs.length };
}

test('an executor is held to the sums of its tasks, and to nothing that one of them is not', (t) => {
  const task = (cpus: string, limits?: TaskInfo['limits']) => ({
    resources: resourcesOf(`cpus:${cpus};mem:16`),
    ...(limits === undefined ? {} : { limits }),
  });
  const both = { cpus: 1_000, mem: 64_000 };
  const bound = { processes: 2 * taskProcesses };
  t.deepEqual(executorConfinement([], ABLE), { cpuShare: 1_000, processes: taskProcesses });
  t.deepEqual(executorConfinement([task('0.5', both), task('1.5', { cpus: 2_000, mem: 32_000 })], ABLE), {
    ...{ cpuShare: 2_000, cpuMost: 3_000, memoryBytes: 96 * MB },
    ...bound,
  });
  t.deepEqual(executorConfinement([task('0.5', both), task('1')], ABLE), { cpuShare: 1_500, ...bound });
  t.deepEqual(executorConfinement([task('1', { mem: 'unlimited' }), task('1', both)], ABLE), {
    cpuShare: 2_000,
    ...bound,
  });
  // What cannot be changed later is not what the first tasks have; nor is more than a kernel counts.
  t.deepEqual(
    executorConfinement([task('1', both), task('1', both)], { ...ABLE, memory: 'process', processes: 'user' }),
    {
      ...{ cpuShare: 2_000, cpuMost: 2_000, processes: taskProcesses },
    },
  );
  t.is(executorConfinement(new Array(300).fill(task('1')), ABLE).processes, 32_768);
});

test('an executor has room for a task before it is given it, and gives it back when the task has ended', async (t) => {
  const world = new AgentWorld();
  const executors = scriptedExecutors(world);
  await world.up();
  await begun(world, 'a', limited(64));
  const [executor] = executors;
  const now = () => world.machine.limits(executor?.folder ?? '');
  t.deepEqual(world.made.get(executor?.folder ?? '')?.limits, heldTo(64));
  t.is(world.machine.limitsChanged, 0);
  world.machine.limitMs = 2_000;
  await begun(world, 'b', limited(96, { runMs: 10_000 }));
  t.deepEqual(executor?.heldTo, [heldTo(64), heldTo(64, 96)]);
  await world.until(() => world.master.ended('b'), MINUTE);
  await world.clock.advance(3_000);
  t.deepEqual(now(), heldTo(64));
  // One without a limit lifts it for as long as it lives.
  await begun(world, 'c', executorTask('e', { runMs: 5_000 }, { resources: resourcesOf('cpus:1;mem:16') }));
  t.deepEqual(now(), { cpuShare: 1_500, processes: 2 * taskProcesses });
  await world.until(() => world.master.ended('c'), MINUTE);
  await world.clock.advance(3_000);
  t.deepEqual(now(), heldTo(64));
  // Without tasks it stays as it is.
  const changed = world.machine.limitsChanged;
  world.master.kill('a');
  await world.until(() => world.master.ended('a'), MINUTE);
  await world.clock.advance(3_000);
  t.deepEqual(now(), heldTo(64));
  await begun(world, 'd', limited(64));
  t.is(world.machine.limitsChanged, changed);
});

test('tasks that come during a change are one change together, and a group goes over as a whole', async (t) => {
  const world = new AgentWorld();
  const executors = scriptedExecutors(world);
  await world.up();
  await begun(world, 'first', limited(16));
  world.machine.limitMs = 1_000;
  const names = ['a', 'b', 'c'];
  for (const name of names) world.master.place(name, limited(32));
  for (const name of ['x', 'y']) world.master.place(name, limited(8, {}, { group: 'pod' }));
  const all = [...names, 'x', 'y'];
  await world.until(() => all.every((name) => world.master.states(name).length > 0), MINUTE);
  t.is(world.machine.limitsChanged, 2);
  t.deepEqual(executors[0]?.groups, ['pod']);
  t.deepEqual(world.machine.limits(executors[0]?.folder ?? ''), heldTo(16, 32, 32, 32, 8, 8));
});

test('a task that is killed while room is made for it never reaches its executor', async (t) => {
  const world = new AgentWorld();
  const executors = scriptedExecutors(world);
  await world.up();
  await begun(world, 'a', limited(64));
  world.machine.limitMs = 10_000;
  world.master.place('b', limited(96));
  await world.clock.advance(5_000);
  t.deepEqual(world.master.states('b'), []);
  world.master.kill('b');
  await world.until(() => world.master.ended('b'), 4_000);
  t.like(world.master.last('b'), { state: 'TASK_KILLED', reason: 'KILLED_DURING_LAUNCH' });
  await world.clock.advance(MINUTE);
  t.deepEqual(
    executors[0]?.launched.map(({ task }) => task),
    ['a'],
  );
  t.deepEqual(world.machine.limits(executors[0]?.folder ?? ''), heldTo(64));
});

test('an agent that comes back holds its executors to what lives now', async (t) => {
  const world = new AgentWorld();
  const executors = scriptedExecutors(world);
  await world.up();
  world.master.place('long', limited(64));
  await begun(world, 'ends', limited(96, { runMs: 5_000 }));
  world.kill();
  await world.clock.advance(10_000);
  const { folder = '' } = executors[0] ?? {};
  t.deepEqual(world.machine.limits(folder), heldTo(64, 96));
  await world.start();
  await world.until(() => world.master.ended('ends'), MINUTE);
  await world.clock.advance(1_000);
  t.deepEqual(world.machine.limits(folder), heldTo(64));
});

test('an executor that is sent again after a restart of the agent begins with the limits of its tasks by then', async (t) => {
  const world = new AgentWorld();
  const executors = scriptedExecutors(world);
  await world.up();
  world.machine.freeze();
  world.master.place('a', limited(64));
  await world.until(() => world.made.size > 0, MINUTE);
  world.master.place('b', limited(96));
  await world.clock.advance(1_000);
  world.kill();
  const [folder = ''] = world.made.keys();
  t.deepEqual(world.made.get(folder)?.limits, heldTo(64));
  await world.start();
  world.machine.thaw();
  await world.until(() => world.master.states('b').length > 0, MINUTE);
  t.is(executors.length, 1);
  t.deepEqual(executors[0]?.heldTo, [heldTo(64, 96), heldTo(64, 96)]);
});

test('memory that is in use is asked for again, what cannot be done is said once, and no task waits for it', async (t) => {
  const machine = new SimulatedMachine(new VirtualClock());
  const warned: string[] = [];
  const log = {
    debug: () => undefined,
    info: () => undefined,
    warn: (event: string) => warned.push(event),
    error: () => undefined,
  };
  const launcher = machine.attach();
  const run = (name: string, mb: number): Run =>
    ({ run: name, info: { resources: resourcesOf('cpus:0.5'), limits: { mem: mb * 1_000 } } }) as unknown as Run;
  let live = [run('a', 64)];
  const limits = new ExecutorLimits({ launcher, log, folder: 'one' }, () => live);
  t.false(limits.covers(live));
  // There is no such folder.
  await limits.follow();
  live = [...live, run('b', 64)];
  await limits.follow();
  t.true(limits.covers(live));
  t.is(warned.length, 1);
  const asked: (number | undefined)[] = [];
  let answer: 'inUse' | 'held' = 'inUse';
  const busy = {
    ...{ isolation: machine.isolation },
    limit: (_folder: string, { memoryBytes }: StartLimits) => {
      asked.push(memoryBytes);
      return Promise.resolve(answer);
    },
  } as unknown as typeof launcher;
  const patient = new ExecutorLimits({ launcher: busy, log, folder: 'one' }, () => live);
  await patient.follow();
  await patient.follow();
  answer = 'held';
  await patient.follow();
  await patient.follow();
  t.deepEqual(asked, new Array(3).fill(128 * MB));
  t.is(warned.length, 1);
  Object.assign(machine, { isolation: { ...machine.isolation, cgroups: 'none' } });
  t.true(new ExecutorLimits({ launcher, log, folder: 'one' }, () => live).covers([run('c', 1)]));
});
