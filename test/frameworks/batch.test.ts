import test from 'ava';
import { Fault } from '../../protocol/faults.ts';
import type { JobView } from '../../protocol/job.ts';
import { LIMITS } from '../../protocol/limits.ts';
import type { Client } from '../../sdk/client.ts';
import type { TestTask } from '../../sdk/test-tasks.ts';
import { BatchWorld, spec } from './batch-world.ts';

const BATCH = { framework: 'batch' } as const;

async function jobOf(world: BatchWorld, client: Client, job: string): Promise<JobView> {
  const answer = await world.settled(client.request('job', { job }, BATCH));
  if (answer instanceof Fault) throw new Error(answer.message);
  return answer.job;
}

async function watchToEnd(world: BatchWorld, client: Client, job: string): Promise<JobView> {
  let last: JobView | undefined;
  await world.settled(
    (async () => {
      for await (const part of client.watch(job, { ...BATCH, timeoutMs: 3_600_000 })) {
        if (part instanceof Fault) throw new Error(`${part.code} ${part.message}`);
        last = part.job;
      }
    })(),
  );
  if (last === undefined) throw new Error('no part came');
  return last;
}

test('an array runs to its end, each task once, and what it used returns', async (t) => {
  const world = new BatchWorld(1);
  world.master.addAgent({ name: 'a1', resources: 'cpus:4;mem:1024' });
  world.master.addAgent({ name: 'a2', resources: 'cpus:4;mem:1024' });
  const client = world.client();
  t.deepEqual(await world.settled(client.request('submit', spec({ job: 'j1', count: 1_000 }), BATCH)), { job: 'j1' });
  const job = await watchToEnd(world, client, 'j1');
  t.is(job.state, 'finished');
  t.deepEqual(job.tasks, { total: 1_000, pending: 0, running: 0, finished: 1_000, failed: 0, killed: 0 });
  t.is(world.master.launches.length, 1_000);
  t.is(new Set(world.master.launches.map(({ task }) => task)).size, 1_000);
  t.deepEqual(world.errors, []);
  await world.clock.advance(1_000);
  t.deepEqual([...world.master.stored('batch').keys()].sort(), ['job/j1/spec', 'job/j1/state']);
});

test('a submission is answered again, and refused to another owner or with another spec', async (t) => {
  const world = new BatchWorld(2, { roleOf: () => 'user' });
  const ann = world.client('ann');
  const bob = world.client('bob');
  const submit = (client: Client, fields: { argv?: string[] } = {}) =>
    world.settled(client.request('submit', spec({ job: 'j1', ...fields }), BATCH));
  t.deepEqual(await submit(ann), { job: 'j1' });
  t.deepEqual(await submit(ann), { job: 'j1' });
  t.like(await submit(bob), { code: 'EXISTS' });
  t.like(await submit(ann, { argv: ['/bin/false'] }), { code: 'EXISTS' });
  world.restartBatch();
  t.deepEqual(await submit(ann), { job: 'j1' });
  t.like(await world.settled(bob.request('cancel', { job: 'j1' }, BATCH)), { code: 'NOT_ALLOWED' });
  t.like(await world.settled(bob.request('kill', { job: 'j1', index: 0 }, BATCH)), { code: 'NOT_ALLOWED' });
  t.is((await jobOf(world, bob, 'j1')).state, 'pending');
});

test('values of the environment of a job are told to its owner and to operators alone', async (t) => {
  const world = new BatchWorld(36, {
    roleOf: (name) => (name === 'eve' ? 'viewer' : name === 'op' ? 'operator' : 'user'),
  });
  const secret = spec({ job: 'j1', environment: { KEY: 'hunter2' } });
  await world.settled(world.client('ann').request('submit', secret, BATCH));
  const environmentFor = async (name: string): Promise<unknown> => {
    const answer = await world.settled(world.client(name).request('job', { job: 'j1' }, BATCH));
    return answer instanceof Fault ? answer : answer.spec.environment;
  };
  for (const name of ['ann', 'op']) t.deepEqual(await environmentFor(name), { KEY: 'hunter2' });
  for (const name of ['bob', 'eve']) t.deepEqual(await environmentFor(name), { KEY: '***' });
});

test('a viewer reads and changes nothing', async (t) => {
  const world = new BatchWorld(3, { roleOf: () => 'viewer' });
  const client = world.client();
  t.like(await world.settled(client.request('submit', spec({ job: 'j1' }), BATCH)), { code: 'NOT_ALLOWED' });
  t.deepEqual(await world.settled(client.request('jobs', {}, BATCH)), { jobs: [] });
});

test('own failures are retried with back-off until the retries are used up', async (t) => {
  const began: number[] = [];
  const world = new BatchWorld(4, {
    onLaunch: (task) => {
      began.push(world.clock.monotonic());
      task.update('TASK_FAILED', { reason: 'COMMAND_FAILED', exitCode: 3 });
    },
  });
  world.master.addAgent({ name: 'a1', resources: 'cpus:4' });
  const client = world.client();
  await world.settled(client.request('submit', spec({ job: 'j1', retries: 3 }), BATCH));
  const job = await watchToEnd(world, client, 'j1');
  t.is(job.state, 'failed');
  t.deepEqual(
    world.master.launches.map(({ attempt }) => attempt),
    [0, 1, 2, 3],
  );
  const pauses = began.slice(1).map((at, index) => at - (began[index] ?? 0));
  for (const [index, pause] of pauses.entries())
    t.true(pause >= 1_000 * 2 ** index && pause < 1_000 * 2 ** index + 500, `${pauses}`);
  const answer = await world.settled(client.request('tasks', { job: 'j1' }, BATCH));
  t.like(answer, { tasks: [{ state: 'TASK_FAILED', exitCode: 3, attempt: 3, agent: 'a1' }] });
});

test('a pause before a retry is not cut short by a failover', async (t) => {
  const began: number[] = [];
  const world = new BatchWorld(41, {
    onLaunch: (task) => {
      began.push(world.clock.monotonic());
      task.update('TASK_FAILED', { reason: 'COMMAND_FAILED', exitCode: 3 });
    },
  });
  world.master.addAgent({ name: 'a1', resources: 'cpus:4' });
  const client = world.client();
  await world.settled(client.request('submit', spec({ job: 'j1', retries: 3 }), BATCH));
  await world.clock.until(() => began.length === 3);
  await world.clock.advance(1_000);
  const restartedMs = world.clock.monotonic();
  world.restartBatch();
  await watchToEnd(world, client, 'j1');
  t.is(began.length, 4);
  t.true((began[3] ?? 0) >= restartedMs + 4_000, `${began} ${restartedMs}`);
});

test('attempts lost through no fault of the task cost no retry, three times', async (t) => {
  const world = new BatchWorld(5, { onLaunch: (task) => task.update('TASK_FAILED', { reason: 'AGENT_REBOOTED' }) });
  world.master.addAgent({ name: 'a1', resources: 'cpus:4' });
  const client = world.client();
  await world.settled(client.request('submit', spec({ job: 'j1' }), BATCH));
  await world.settled(client.request('submit', spec({ job: 'j2', requeue: false }), BATCH));
  t.is((await watchToEnd(world, client, 'j1')).state, 'failed');
  t.is((await watchToEnd(world, client, 'j2')).state, 'failed');
  const attempts = (job: string) =>
    world.master.launches.filter(({ task }) => task.startsWith(job)).map(({ attempt }) => attempt);
  t.deepEqual(attempts('j1'), [0, 1, 2, 3]);
  t.deepEqual(attempts('j2'), [0]);
});

test('cancel drops what waits, kills what runs, and ends the job', async (t) => {
  const world = new BatchWorld(6, { onLaunch: (task) => task.update('TASK_RUNNING') });
  world.master.addAgent({ name: 'a1', resources: 'cpus:1' });
  const client = world.client();
  await world.settled(client.request('submit', spec({ job: 'j1', count: 100 }), BATCH));
  await world.clock.until(() => world.master.launches.length === 10);
  await world.settled(client.request('cancel', { job: 'j1' }, BATCH));
  const job = await watchToEnd(world, client, 'j1');
  t.is(job.state, 'cancelled');
  t.deepEqual(job.tasks, { total: 100, pending: 0, running: 0, finished: 0, failed: 100, killed: 100 });
  t.is(world.master.launches.length, 10);
  t.true([...world.master.tasks.values()].every(({ state }) => state === 'TASK_KILLED'));
});

test('kill ends one task for good', async (t) => {
  const world = new BatchWorld(7, { onLaunch: (task) => task.update('TASK_RUNNING') });
  world.master.addAgent({ name: 'a1', resources: 'cpus:1' });
  const client = world.client();
  await world.settled(client.request('submit', spec({ job: 'j1', count: 2, retries: 5 }), BATCH));
  await world.clock.until(() => world.master.launches.length === 2);
  await world.settled(client.request('kill', { job: 'j1', index: 1 }, BATCH));
  await world.clock.until(() => world.master.tasks.get('batch j1.1 0')?.state === 'TASK_KILLED');
  world.master.tasks.get('batch j1.0 0')?.update('TASK_FINISHED', { exitCode: 0 });
  const job = await watchToEnd(world, client, 'j1');
  t.is(job.state, 'failed');
  t.deepEqual(job.tasks, { total: 2, pending: 0, running: 0, finished: 1, failed: 1, killed: 1 });
  t.is(world.master.launches.length, 2);
});

test('another process takes the jobs over and starts nothing twice', async (t) => {
  const running: TestTask[] = [];
  const world = new BatchWorld(8, {
    onLaunch: (task) => {
      task.update('TASK_RUNNING');
      running.push(task);
    },
  });
  world.master.addAgent({ name: 'a1', resources: 'cpus:10' });
  const client = world.client();
  await world.settled(client.request('submit', spec({ job: 'j1', count: 300 }), BATCH));
  await world.clock.until(() => running.length === 100);
  for (const task of running.splice(0, 50)) task.update('TASK_FINISHED', { exitCode: 0 });
  world.restartBatch();
  for (const task of running.splice(0, 25)) task.update('TASK_FINISHED', { exitCode: 0 });
  await world.clock.until(() => running.length === 100);
  world.master.failOver();
  world.restartBatch();
  while ((await jobOf(world, client, 'j1')).finished === null) {
    for (const task of running.splice(0)) task.update('TASK_FINISHED', { exitCode: 0 });
    await world.clock.advance(1_000);
  }
  t.like(await jobOf(world, client, 'j1'), { state: 'finished' });
  const runs = world.master.launches.map(({ task, attempt }) => `${task} ${attempt}`);
  t.is(new Set(runs).size, runs.length);
  t.is(runs.length, 300);
});

test('a task that the masters have lost gets a new attempt', async (t) => {
  const world = new BatchWorld(9, { onLaunch: (task) => task.update('TASK_RUNNING') });
  world.master.addAgent({ name: 'a1', resources: 'cpus:1' });
  const client = world.client();
  await world.settled(client.request('submit', spec({ job: 'j1' }), BATCH));
  await world.clock.until(() => world.master.launches.length === 1);
  world.master.forget('j1.0');
  world.master.failOver();
  await world.clock.until(() => world.master.launches.length === 2);
  t.deepEqual(
    world.master.launches.map(({ attempt }) => attempt),
    [0, 1],
  );
});

test('offers that are taken back cost nothing but a pause', async (t) => {
  let rescinds = 0;
  const world = new BatchWorld(10);
  world.master.addAgent({ name: 'a1', resources: 'cpus:1' });
  const client = world.client();
  await world.settled(client.request('submit', spec({ job: 'j1', count: 20, requeue: false }), BATCH));
  while ((await jobOf(world, client, 'j1')).finished === null) {
    if (rescinds < 20) world.master.rescind();
    rescinds += 1;
    await world.clock.advance(2);
  }
  t.like(await jobOf(world, client, 'j1'), { state: 'finished' });
});

test('an agent that cannot start tasks is left alone, and its failures cost the task nothing', async (t) => {
  let full = true;
  const agentOf = (task: TestTask): string => task.agent;
  const world = new BatchWorld(37, {
    onLaunch: (task) => {
      const refused = full && agentOf(task) === 'full';
      task.update(refused ? 'TASK_DROPPED' : 'TASK_RUNNING', refused ? { reason: 'AGENT_DISK_FULL' } : {});
      if (!refused) task.update('TASK_FINISHED');
    },
  });
  world.master.addAgent({ name: 'full', resources: 'cpus:4' });
  const client = world.client();
  await world.settled(client.request('submit', spec({ job: 'alone', retries: 0 }), BATCH));
  await world.clock.advance(60_000);
  t.is((await jobOf(world, client, 'alone')).finished, null);
  const tried = world.master.launches.length;
  t.true(tried >= 4 && tried <= 8, `${tried} launches in a minute`);
  world.master.addAgent({ name: 'roomy', resources: 'cpus:1' });
  await world.settled(client.request('submit', spec({ job: 'array', count: 100 }), BATCH));
  t.is((await watchToEnd(world, client, 'array')).state, 'finished');
  t.is((await watchToEnd(world, client, 'alone')).state, 'finished');
  full = false;
  await world.settled(client.request('submit', spec({ job: 'again', count: 100 }), BATCH));
  await world.clock.advance(120_000);
  await world.settled(client.request('submit', spec({ job: 'once-more', count: 100 }), BATCH));
  t.is((await watchToEnd(world, client, 'once-more')).state, 'finished');
  t.true(
    [...world.master.tasks.values()].some((task) => task.info.task.startsWith('once-more') && agentOf(task) === 'full'),
  );
});

test('an owner has a role of their own, suppressed while nothing waits, and gone once idle', async (t) => {
  const world = new BatchWorld(11, { onLaunch: (task) => task.update('TASK_RUNNING') });
  world.master.addAgent({ name: 'a1', resources: 'cpus:1' });
  const ann = world.client('ann');
  const bob = world.client('bob');
  await world.settled(ann.request('submit', spec({ job: 'j1' }), BATCH));
  await world.settled(bob.request('submit', spec({ job: 'j2', count: 1_000 }), BATCH));
  await world.clock.until(() => world.master.launches.length === 10);
  await world.clock.advance(10_000);
  t.deepEqual(world.master.rolesOf('batch'), { roles: ['ann', 'bob'], suppressed: ['ann'] });
  for (const task of world.master.tasks.values()) if (task.info.task === 'j1.0') task.update('TASK_FINISHED');
  await world.clock.advance(61_000);
  t.deepEqual(world.master.rolesOf('batch'), { roles: ['bob'], suppressed: [] });
});

test('ports come from the offer, and the environment names them', async (t) => {
  const world = new BatchWorld(12, { onLaunch: (task) => task.update('TASK_RUNNING') });
  world.master.addAgent({ name: 'a1', resources: 'cpus:4;ports:[31000-31004]' });
  const client = world.client();
  await world.settled(
    client.request('submit', spec({ job: 'j1', count: 3, ports: 2, environment: { A: 'b' } }), BATCH),
  );
  await world.clock.until(() => world.master.launches.length === 2);
  await world.clock.advance(20_000);
  t.is(world.master.launches.length, 2);
  const environments = [...world.master.tasks.values()].map(({ info }) => info.environment);
  t.deepEqual(environments[0], {
    A: 'b',
    MESQ_JOB: 'j1',
    MESQ_TASK_INDEX: '0',
    MESQ_TASK_COUNT: '3',
    MESQ_PORT: '31000',
    MESQ_PORT0: '31000',
    MESQ_PORT1: '31001',
  });
  t.like(environments[1], { MESQ_PORT0: '31002', MESQ_PORT1: '31003' });
});

test('unique:hostname puts one task on a host', async (t) => {
  const world = new BatchWorld(13, { onLaunch: (task) => task.update('TASK_RUNNING') });
  world.master.addAgent({ name: 'a1', resources: 'cpus:4', hostname: 'h1' });
  world.master.addAgent({ name: 'a2', resources: 'cpus:4', hostname: 'h1' });
  world.master.addAgent({ name: 'a3', resources: 'cpus:4', hostname: 'h2' });
  const client = world.client();
  await world.settled(client.request('submit', spec({ job: 'j1', count: 3, constraints: ['unique:hostname'] }), BATCH));
  await world.clock.advance(30_000);
  t.is(world.master.launches.length, 2);
  world.restartBatch();
  await world.clock.advance(30_000);
  t.is(world.master.launches.length, 2);
});

test('connections that break and messages that come twice lose and double nothing', async (t) => {
  for (let seed = 100; seed < 105; seed++) {
    let failures = 40;
    const world = new BatchWorld(
      seed,
      {
        onLaunch: (task) => {
          task.update('TASK_RUNNING');
          const fails = failures-- > 0;
          world.clock.after(100, () =>
            fails ? task.update('TASK_FAILED', { exitCode: 1 }) : task.update('TASK_FINISHED', { exitCode: 0 }),
          );
        },
      },
      0.2,
    );
    world.master.addAgent({ name: 'a1', resources: 'cpus:2' });
    const client = world.client();
    await world.settled(
      client.request('submit', spec({ job: 'j1', count: 200, retries: 100 }), { ...BATCH, timeoutMs: 60_000 }),
    );
    const ended = watchToEnd(world, client, 'j1');
    for (let round = 0; round < 10; round++) {
      await world.clock.advance(150);
      world.network.cut(['batch', 'master', 'client-ann'][round % 3] ?? '');
      if (round === 4) world.master.failOver();
      if (round === 7) world.restartBatch();
    }
    const job = await ended;
    t.is(job.state, 'finished', `seed ${seed}`);
    const runs = world.master.launches.map(({ task, attempt }) => `${task} ${attempt}`);
    t.is(new Set(runs).size, runs.length, `seed ${seed}`);
    const finished = [...world.master.tasks.values()].filter(({ state }) => state === 'TASK_FINISHED');
    t.is(finished.length, 200, `seed ${seed}`);
  }
});

test('jobs are shown to people: without values of the environment, seldom, again after a failover, and no longer than they are kept', async (t) => {
  const world = new BatchWorld(31);
  world.master.addAgent({ name: 'a1', resources: 'cpus:4;mem:1024' });
  const client = world.client();
  const big = spec({ job: 'j1', name: 'render', count: 500, environment: { KEY: 'hunter2' } });
  await world.settled(client.request('submit', big, BATCH));
  await watchToEnd(world, client, 'j1');
  await world.clock.advance(2_000);
  const { view, progress } = world.master.shown.get('batch j1') ?? {};
  t.like(view, { name: 'render', owner: 'ann', kind: 'batch', state: 'finished', tasks: 500, environment: ['KEY'] });
  t.is(view?.['resources'], 'cpus:0.1');
  t.deepEqual(progress, { pending: 0, running: 0, finished: 500, failed: 0, killed: 0 });
  t.false(JSON.stringify(view).includes('hunter2'));
  t.true(world.master.shows <= 5, `${world.master.shows} times for 500 tasks`);
  world.master.shown.clear();
  world.restartBatch();
  await world.clock.advance(10_000);
  t.like(world.master.shown.get('batch j1')?.view, { state: 'finished' });
  await world.clock.advance(8 * 24 * 3_600_000);
  t.deepEqual([...world.master.shown.keys()], []);
});

test('topics of jobs that were forgotten while no master listened are removed later', async (t) => {
  const world = new BatchWorld(32);
  world.master.addAgent({ name: 'a1', resources: 'cpus:4;mem:1024' });
  const client = world.client();
  await world.settled(client.request('submit', spec({ job: 'j1' }), BATCH));
  await watchToEnd(world, client, 'j1');
  await world.clock.advance(7 * 24 * 3_600_000 - 10_000);
  t.true(world.master.shown.has('batch j1'));
  await world.clock.until(() => world.batch.records.size === 0, 2 * 3_600_000);
  // Before the pause is over, nobody hears it any more.
  world.network.partition((clientId) => clientId === 'batch');
  world.network.cut('batch');
  await world.clock.advance(60_000);
  t.true(world.master.shown.has('batch j1'));
  world.network.heal();
  await world.clock.advance(60_000);
  t.false(world.master.shown.has('batch j1'));
});

test('a job of 10,000 tasks is a small record: while it runs, with failures, and when it has ended', async (t) => {
  const world = new BatchWorld(33, {
    onLaunch: (task) => {
      const index = Number(task.info.task.split('.')[1]);
      // One in a hundred fails its first attempt, one in a thousand every one.
      const fails = index % 1_000 === 7 || (index % 100 === 3 && task.info.attempt === 0);
      if (fails) task.update('TASK_FAILED', { reason: 'COMMAND_FAILED', exitCode: 3 });
      else task.update('TASK_FINISHED', { exitCode: 0 });
    },
  });
  for (let agent = 0; agent < 10; agent++) world.master.addAgent({ name: `a${agent}`, resources: 'cpus:20' });
  const client = world.client();
  await world.settled(client.request('submit', spec({ job: 'j1', count: 10_000, retries: 1 }), BATCH));
  const values = (): string[] => [...world.master.stored('batch').values()];
  let most = 0;
  while ((await jobOf(world, client, 'j1')).finished === null) {
    await world.clock.advance(500);
    const stored = values();
    most = Math.max(
      most,
      stored.reduce((sum, value) => sum + value.length, 0),
    );
    for (const value of stored) t.true(value.length <= LIMITS.storeValueBytes);
  }
  t.like(await jobOf(world, client, 'j1'), { state: 'failed', tasks: { finished: 9_990, failed: 10 } });
  await world.clock.advance(1_000);
  const ended = values().reduce((sum, value) => sum + value.length, 0);
  t.log(`${most} bytes at most, ${ended} at the end`);
  t.true(ended < 20_000, `${ended} bytes`);
  t.true(most < 40_000, `${most} bytes`);
});

test('max-per and group-by count the tasks of one job, across offers, ends and a restart of batch', async (t) => {
  const world = new BatchWorld(34, { onLaunch: (task) => task.update('TASK_RUNNING') });
  for (const [name, site] of Object.entries({ a1: 'roof', a2: 'roof', b1: 'hall', b2: 'hall', c1: 'yard' }))
    world.master.addAgent({ name, resources: 'cpus:4', attributes: [{ name: 'site', text: site }] });
  const client = world.client();
  const submit = (job: string, count: number, constraint: string) =>
    world.settled(client.request('submit', spec({ job, count, constraints: [constraint] }), BATCH));
  const sites = (job: string): Record<string, number> => {
    const count: Record<string, number> = {};
    for (const { info, agent, state } of world.master.tasks.values()) {
      if (!info.task.startsWith(`${job}.`) || state !== 'TASK_RUNNING') continue;
      const site = { a: 'roof', b: 'hall', c: 'yard' }[agent.charAt(0)] ?? '';
      count[site] = (count[site] ?? 0) + 1;
    }
    return count;
  };
  await submit('capped', 10, 'max-per:site:2');
  await submit('spread', 9, 'group-by:site:3');
  await world.clock.advance(60_000);
  t.deepEqual(sites('capped'), { roof: 2, hall: 2, yard: 2 });
  t.deepEqual(sites('spread'), { roof: 3, hall: 3, yard: 3 });
  world.restartBatch();
  await world.clock.advance(60_000);
  t.deepEqual(sites('capped'), { roof: 2, hall: 2, yard: 2 });
  // One of the roof ends: its place, and no other, is free for the next.
  const [gone] = [...world.master.tasks.values()].filter(
    ({ info, agent }) => info.task.startsWith('capped.') && agent.startsWith('a'),
  );
  gone?.update('TASK_FINISHED', { exitCode: 0 });
  await world.clock.advance(400_000);
  t.deepEqual(sites('capped'), { roof: 2, hall: 2, yard: 2 });
  t.is((await jobOf(world, client, 'capped')).tasks.pending, 3);
});
