import test from 'ava';
import * as v from 'valibot';
import { containerBar, containerTask } from '../../agent/executors/container-task.ts';
import { ContainerInfo } from '../../protocol/container.ts';
import { Fault } from '../../protocol/faults.ts';
import { constraintsOf, JobSpec } from '../../protocol/job.ts';
import { TaskInfo } from '../../protocol/task.ts';
import { contradiction } from '../../protocol/task-contradiction.ts';
import { resourcesOf } from '../resources-of.ts';
import { AgentWorld, program } from './world.ts';

const info = (container: v.InferInput<typeof ContainerInfo>, resources: string, rest = {}): TaskInfo =>
  v.parse(TaskInfo, { task: 't', attempt: 0, resources: resourcesOf(resources), container, ...rest });
const PLACE = {
  environment: { MESQ_TASK_ID: 't' },
  sandbox: '/data/work',
  volumes: '/data/volumes',
  devices: ['/dev/hailo0'],
};

test('what an engine is asked to run: ports of the task, its own places, limits that were written', (t) => {
  const volumes = [
    { host: '/srv/models', path: '/models', readOnly: true },
    { volume: 'db', path: '/var/lib/db' },
  ];
  const ports = [{ container: 80 }, { container: 443, host: 31_009 }, { container: 81 }];
  const resources = [
    ...resourcesOf('cpus:0.5;mem:64;ports:[31000-31001,31007-31009]'),
    { name: 'disk', scalar: 10_000, role: 'apps', volume: 'db' },
  ];
  const task = info({ image: 'a/b:1', ports, volumes }, 'cpus:1', { resources, limits: { mem: 100_500, cpus: 2_000 } });
  t.is(contradiction(task), undefined);
  t.deepEqual(containerTask(task, task.container as ContainerInfo, PLACE), {
    image: 'a/b:1',
    pull: 'missing',
    argv: [],
    environment: PLACE.environment,
    network: 'bridge',
    ports: [
      { host: 31_000, container: 80 },
      { host: 31_009, container: 443 },
      { host: 31_007, container: 81 },
    ],
    mounts: [
      { source: '/data/work', target: '/data/work', readOnly: false },
      { source: '/data/volumes/apps/-db', target: '/data/volumes/apps/-db', readOnly: false },
      { source: '/srv/models', target: '/models', readOnly: true },
      { source: '/data/volumes/apps/-db', target: '/var/lib/db', readOnly: false },
    ],
    devices: ['/dev/hailo0'],
    limits: { cpuShare: 500, cpuMost: 2_000, memoryBytes: 105_381_888, processes: 4_096 },
  });
});

test('without a limit on memory there is none', (t) => {
  const task = info({ image: 'a' }, 'cpus:1;mem:64', { limits: { mem: 'unlimited' } });
  t.deepEqual(containerTask(task, task.container as ContainerInfo, PLACE).limits, {
    cpuShare: 1_000,
    processes: 4_096,
  });
});

test('what cannot be is said in words', (t) => {
  const wrong = (container: Partial<v.InferInput<typeof ContainerInfo>>, resources = 'cpus:1', rest = {}) =>
    contradiction(info({ image: 'a', ...container }, resources, rest)) ?? 'nothing wrong';
  t.regex(wrong({ ports: [{ container: 80 }] }), /takes only 0 ports/);
  t.regex(
    wrong({ ports: [{ container: 80, host: 22 }] }, 'cpus:1;ports:[31000-31000]'),
    /port 22 is none of the task's/,
  );
  t.regex(wrong({ network: 'host', ports: [{ container: 80 }] }, 'ports:[31000-31000]'), /nothing to map/);
  t.regex(wrong({ volumes: [{ volume: 'db', path: '/db' }] }), /no volume db/);
  t.regex(wrong({}, 'cpus:1', { executor: { executor: 'e', argv: ['e'] } }), /no container of its own/);
  t.regex(wrong({}, 'cpus:1', { healthCheck: { command: { argv: ['true'] } } }), /beside the container/);
  t.is(wrong({}), 'nothing wrong');
});

test('names and paths that lead elsewhere are refused', (t) => {
  const is = (container: unknown): boolean => v.is(ContainerInfo, container);
  t.true(is({ image: 'docker.io/library/busybox:1.37' }));
  for (const image of ['', '-v', '../x', 'a b', 'a?x=1', `a${'b'.repeat(600)}`]) t.false(is({ image }), image);
  const given = (host: string, path = '/x'): boolean => is({ image: 'a', volumes: [{ host, path }] });
  t.true(given('/srv/data'));
  for (const host of ['srv', '/srv/../etc', '/./srv', '/srv//x', '/srv:/etc', '/']) t.false(given(host), host);
  t.false(is({ image: 'a', volumes: [{ path: '/x' }] }));
  t.false(is({ image: 'a', volumes: [{ path: '/x', host: '/a', volume: 'b' }] }));
  for (const user of ['root', '1000:1000']) t.true(is({ image: 'a', user }));
  t.false(is({ image: 'a', user: '-x' }));
});

test('an agent without an engine, and one whose operator did not allow the folder, take no such task', (t) => {
  const container = v.parse(ContainerInfo, { image: 'a', volumes: [{ host: '/srv/data', path: '/d' }] });
  const code = (mounts: readonly string[] | undefined) => {
    const bar = containerBar(container, mounts, 'pi');
    return bar instanceof Fault ? bar.code : bar;
  };
  t.is(code(undefined), 'UNSUPPORTED');
  t.is(code([]), 'NOT_ALLOWED');
  t.is(code(['/srv/dat', '/srv/data/more']), 'NOT_ALLOWED');
  t.is(code(['/srv/data']), undefined);
  t.is(code(['/tmp', '/srv']), undefined);
  t.is(containerBar(undefined, undefined, 'pi'), undefined);
});

test('a job in containers goes where an engine is, and needs no command', (t) => {
  const spec = { job: 'j', argv: [], resources: resourcesOf('cpus:1'), constraints: ['site==roof'] };
  const plain = v.parse(JobSpec, spec);
  t.deepEqual(constraintsOf(plain), ['site==roof']);
  t.deepEqual(constraintsOf({ ...plain, container: v.parse(ContainerInfo, { image: 'a' }) }), [
    'site==roof',
    'containers~=docker|podman',
  ]);
});

test('a job with files goes where somebody fetches them, for an agent of an older version would start it without', (t) => {
  const spec = {
    job: 'j',
    argv: ['x'],
    resources: resourcesOf('cpus:1'),
    artifacts: [{ uri: 'https://host/model.bin' }],
  };
  t.deepEqual(constraintsOf(v.parse(JobSpec, spec)), ['artifacts==yes']);
  t.deepEqual(constraintsOf(v.parse(JobSpec, { ...spec, artifacts: [] })), []);
});

/** An agent without an engine, that finds one when it looks after `come`; a look lasts until `held` resolves. */
async function lateWorld(held: Promise<void> = Promise.resolve()) {
  const world = new AgentWorld();
  let running = false;
  const engine = {
    there: false,
    look: async () => {
      await held;
      engine.there = running;
    },
    image: () => Promise.resolve(undefined),
    removeImage: () => Promise.resolve(false),
  };
  world.more = { containers: { engine, mounts: [], mostBytes: 0 } };
  await world.up();
  const run = (task: string) =>
    world.master.place(task, { container: v.parse(ContainerInfo, { image: 'a' }), argv: ['{}'] });
  return { world, run, come: () => (running = true) };
}

test('a container that comes to an agent without an engine has it look; it is refused where there still is none', async (t) => {
  const { world, run, come } = await lateWorld();
  const early = run('early');
  await world.until(() => early.refused !== undefined);
  t.is(early.refused?.code, 'UNSUPPORTED');
  come();
  const later = run('later');
  // A report about it says as well that it was accepted.
  await world.until(() => later.updates.length > 0);
  t.is(later.refused, undefined);
});

test('an agent that comes back waits for no engine that does not answer: what is in no container goes on', async (t) => {
  const { world, run, come } = await lateWorld();
  come();
  run('inside');
  world.master.place('plain', { argv: program({ stays: true }) });
  await world.until(() => world.started.length === 2);
  world.kill();
  const attach = world.machine.attach.bind(world.machine);
  world.machine.attach = () => {
    const launcher = attach();
    const { adopt } = launcher;
    launcher.adopt = (folder) =>
      folder.startsWith('batch/inside') ? new Promise(() => undefined) : adopt.call(launcher, folder);
    return launcher;
  };
  await world.start();
  world.master.kill('plain');
  await world.until(() => world.master.ended('plain'));
  t.is(world.master.last('plain')?.state, 'TASK_KILLED');
});

test('a kill that comes while an engine is looked for is heeded', async (t) => {
  let release = (): void => undefined;
  const { world, run, come } = await lateWorld(
    new Promise((done) => {
      release = done;
    }),
  );
  const placed = run('t');
  come();
  await world.clock.advance(1_000);
  world.master.kill('t');
  await world.clock.advance(10);
  // No second KILL: the one that came meanwhile has to be enough.
  placed.kill = undefined;
  release();
  await world.until(() => placed.updates.some(({ state }) => state === 'TASK_KILLED'));
  t.deepEqual(world.started, []);
});
