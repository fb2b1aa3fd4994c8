import test from 'ava';
import { confinementOf } from '../../agent/isolation/confinement.ts';
import type { Isolation } from '../../io/launcher.ts';
import { LIMITS } from '../../protocol/limits.ts';
import { resourcesOf } from '../resources-of.ts';
import { AgentWorld, program } from './world.ts';

const MB = 1_048_576;
const ABLE = { cpu: true, memory: 'task' } as const;

test('a request is a share and no limit; a limit is only what was written as one', (t) => {
  const resources = resourcesOf('cpus:0.5;mem:64');
  const { taskProcesses: processes } = LIMITS;
  t.deepEqual(confinementOf({ resources }, ABLE), { limits: { cpuShare: 500, processes }, caveat: undefined });
  t.deepEqual(confinementOf({ resources, limits: { cpus: 'unlimited', mem: 'unlimited' } }, ABLE), {
    limits: { cpuShare: 500, processes },
    caveat: undefined,
  });
  t.deepEqual(confinementOf({ resources, limits: { cpus: 750, mem: 64_000 } }, ABLE), {
    limits: { cpuShare: 500, cpuMost: 750, memoryBytes: 64 * MB, processes },
    caveat: undefined,
  });
  t.is(confinementOf({ resources: resourcesOf('cpus:1;cpus(ops):0.25;mem:1') }, ABLE).limits.cpuShare, 1_250);
});

test('what a machine does not enforce of a limit is said, and nothing where no limit was asked for', (t) => {
  const resources = resourcesOf('cpus:1;mem:64');
  const weak = { cpu: false, memory: 'process' } as const;
  t.is(confinementOf({ resources }, weak).caveat, undefined);
  t.is(confinementOf({ resources, limits: { mem: 64_000 } }, { cpu: false, memory: 'task' }).caveat, undefined);
  t.regex(confinementOf({ resources, limits: { cpus: 1_000 } }, weak).caveat ?? '', /^its limit on CPUs is not/);
  const both = confinementOf({ resources, limits: { cpus: 1_000, mem: 64_000 } }, weak).caveat ?? '';
  t.regex(both, /CPUs .*, and its limit on memory .* each of its processes/);
});

test('a task that takes more memory than its limit fails with a reason, in words, and tells what it used', async (t) => {
  const world = new AgentWorld(31);
  await world.up();
  world.master.place('greedy', { argv: program({ uses: 96, runMs: 50 }), limits: { mem: 48_000 } });
  world.master.place('modest', { argv: program({ uses: 96, runMs: 50 }) });
  await world.until(() => world.master.ended('greedy') && world.master.ended('modest'));
  t.like(world.master.last('greedy'), {
    state: 'TASK_FAILED',
    reason: 'CONTAINER_LIMITATION_MEMORY',
    message: 'it took more memory than its limit, and the kernel ended it; it had 48 MB at most',
    exitCode: 137,
    usage: { cpuMs: 0, memPeakKb: 48 * 1_024 },
  });
  t.like(world.master.last('modest'), { state: 'TASK_FINISHED', usage: { memPeakKb: 96 * 1_024 } });
  t.like(world.made.get('batch/modest.0/0'), { limits: { processes: LIMITS.taskProcesses } });
  t.is(world.made.get('batch/modest.0/0')?.limits?.memoryBytes, undefined);
});

test('a service that runs out of memory starts again, and says why', async (t) => {
  const world = new AgentWorld(32);
  await world.up();
  world.master.place('web', { argv: program({ uses: 96 }), limits: { mem: 48_000 }, restart: 'on-failure' });
  await world.until(() => world.master.last('web')?.state === 'TASK_STARTING');
  t.regex(world.master.last('web')?.message ?? '', /^it took more memory than its limit.*; restart 1 in/);
});

test('why a task ended is found out by an agent that was away', async (t) => {
  const world = new AgentWorld(33);
  await world.up();
  world.master.place('greedy', { argv: program({ uses: 96, runMs: 50 }), limits: { mem: 48_000 } });
  await world.until(() => world.started.length === 1);
  world.kill();
  await world.clock.advance(1_000);
  await world.up();
  await world.until(() => world.master.ended('greedy'));
  t.like(world.master.last('greedy'), { reason: 'CONTAINER_LIMITATION_MEMORY', exitCode: 137 });
});

test('what left its session ends with the task', async (t) => {
  const world = new AgentWorld(34);
  await world.up();
  world.master.place('daemon', { argv: program({ runMs: 50, escapes: true, forks: true }) });
  world.master.place('stuck', { argv: program({ stays: true, escapes: true, ignoresTerm: true }) });
  await world.until(() => world.master.ended('daemon') && world.master.states('stuck').length > 0);
  t.is(world.machine.processes('batch/daemon.0/0'), 0);
  t.is(world.machine.processes('batch/stuck.0/0'), 2);
  world.master.kill('stuck');
  await world.until(() => world.master.ended('stuck'));
  t.is(world.machine.processes('batch/stuck.0/0'), 0);
});

test('what a task whose supervisor was killed left behind ends with it', async (t) => {
  const world = new AgentWorld(35);
  await world.up();
  world.master.place('a', { argv: program({ runMs: 5_000, escapes: true }) });
  await world.until(() => world.master.states('a').length > 0);
  world.machine.killSupervisor('batch/a.0/0');
  await world.until(() => world.master.ended('a'), 100_000);
  t.is(world.machine.processes('batch/a.0/0'), 0);
});

test('a task hears in its first RUNNING what of its limits is not enforced here', async (t) => {
  const world = new AgentWorld(36);
  const weak: Isolation = { ...world.machine.isolation, cgroups: 'none', cpu: false, memory: 'process' };
  Object.assign(world.machine, { isolation: weak });
  await world.up();
  world.master.place('a', { argv: program({ stays: true }), limits: { mem: 48_000 } });
  world.master.place('b', { argv: program({ stays: true }) });
  await world.until(() => world.master.states('a').length > 0 && world.master.states('b').length > 0);
  t.regex(world.master.last('a')?.message ?? '', /no control group for it on this machine/);
  t.is(world.master.last('b')?.message, undefined);
});
