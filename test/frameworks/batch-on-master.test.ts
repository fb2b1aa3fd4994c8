import test from 'ava';
import { type Batch, createBatch } from '../../frameworks/batch/batch.ts';
import { assert, Fault } from '../../protocol/faults.ts';
import type { JobSpec, TaskView } from '../../protocol/job.ts';
import { type Client, createClient } from '../../sdk/client.ts';
import { createSchedulerDriver, type SchedulerDriver } from '../../sdk/scheduler-driver.ts';
import { MasterWorld, SimulatedAgent } from '../master/world.ts';
import { resourcesOf } from '../resources-of.ts';
import type { SimulatedBus } from '../sim/bus.ts';
import { spec } from './batch-world.ts';

const BATCH = { framework: 'batch' } as const;

/** Batch beside the real master: the jobs and the promises of the quick start, without processes. */
class Cluster {
  readonly world = new MasterWorld();
  readonly errors: string[] = [];
  readonly #clients = new Map<string, Client>();
  #batch: Batch | undefined;
  #bus: SimulatedBus | undefined;
  #driver: SchedulerDriver | undefined;

  async start(): Promise<void> {
    await this.world.start();
    const write = (event: string, fields: object = {}) => this.errors.push(`${event} ${JSON.stringify(fields)}`);
    const { clock, random } = this.world;
    this.#batch = createBatch({ clock, log: { debug: () => {}, info: () => {}, warn: write, error: write } });
    this.#bus = this.world.bus('framework:batch');
    this.#driver = createSchedulerDriver({
      bus: this.#bus,
      name: 'batch',
      roles: [],
      scheduler: this.#batch,
      clock,
      random,
      explicitAcknowledgements: true,
    });
    this.#driver.start();
  }

  /** The process that leads is killed, batch in it, and started again. */
  async restart(): Promise<void> {
    this.world.killMaster();
    this.#driver?.stop();
    this.#batch?.stop();
    this.#bus?.kill();
    await this.start();
  }

  client(name: string): Client {
    const { clock, random } = this.world;
    const client =
      this.#clients.get(name) ??
      createClient({ bus: this.world.bus(`client:${name}/s1`), name, session: 's1', clock, random });
    this.#clients.set(name, client);
    return client;
  }

  async ask<Value>(promise: Promise<Value | Fault>): Promise<Value> {
    let outcome: Value | Fault | undefined;
    void promise.then((value) => {
      outcome = value;
    });
    await this.world.until(() => outcome !== undefined, 120_000);
    if (outcome instanceof Fault) throw new Error(`${outcome.code} ${outcome.message}`);
    assert(outcome !== undefined, 'it was waited for');
    return outcome;
  }

  async submit(owner: string, job: Partial<JobSpec> & { job: string }, runMs: number): Promise<void> {
    const argv = ['true', JSON.stringify({ runMs })];
    const resources = resourcesOf('cpus:1;mem:32');
    await this.ask(this.client(owner).request('submit', spec({ argv, resources, ...job }), BATCH));
  }

  async job(job: string) {
    return (await this.ask(this.client('ann').request('job', { job }, BATCH))).job;
  }

  /** Tasks of a job that run. */
  async running(job: string): Promise<TaskView[]> {
    const { tasks } = await this.ask(this.client('ann').request('tasks', { job }, BATCH));
    return tasks.filter(({ state }) => state === 'TASK_RUNNING');
  }
}

async function agent(cluster: Cluster, name: string, resources: string): Promise<SimulatedAgent> {
  const made = new SimulatedAgent(cluster.world, name);
  made.resources = resources;
  await made.start();
  return made;
}

test('two owners share one agent about in halves, whoever came first and however much they want', async (t) => {
  const cluster = new Cluster();
  await cluster.start();
  await agent(cluster, 'a1', 'cpus:8;mem:8192');
  await cluster.submit('ann', { job: 'big', count: 300 }, 10_000);
  await cluster.world.clock.advance(25_000);
  t.is((await cluster.running('big')).length, 8, 'who is alone has everything');
  await cluster.submit('bob', { job: 'small', count: 60 }, 10_000);
  await cluster.world.clock.advance(20_000);
  const samples: number[] = [];
  for (let sample = 0; sample < 25; sample++) {
    samples.push((await cluster.running('small')).length);
    await cluster.world.clock.advance(4_000);
  }
  t.log(samples.join(' '));
  const mean = samples.reduce((sum, each) => sum + each, 0) / samples.length;
  t.true(mean >= 3 && mean <= 5, samples.join(' '));
  t.true(Math.min(...samples) >= 2, samples.join(' '));
  await cluster.world.clock.advance(120_000);
  t.is((await cluster.job('small')).state, 'finished');
  t.is((await cluster.running('big')).length, 8, 'and again');
});

test('the leader is killed in the middle of a job: nothing is lost, nothing runs twice', async (t) => {
  const cluster = new Cluster();
  await cluster.start();
  const machines = [await agent(cluster, 'a1', 'cpus:8;mem:8192'), await agent(cluster, 'a2', 'cpus:8;mem:8192')];
  const started: string[] = [];
  for (const { machine } of machines) machine.onStart = (folder) => started.push(folder);
  await cluster.submit('ann', { job: 'j', count: 300 }, 1_000);
  for (const after of [1_300, 2_100, 3_700]) {
    await cluster.world.clock.advance(after);
    await cluster.restart();
  }
  await cluster.world.clock.advance(300_000);
  t.like(await cluster.job('j'), { state: 'finished', tasks: { total: 300, finished: 300, failed: 0 } });
  t.is(started.length, 300);
  t.is(new Set(started.map((folder) => folder.replace(/\/\d+$/, ''))).size, 300);
  t.deepEqual(cluster.errors, []);
});

for (const [reconcile, keeps] of [
  ['keep_original', 'a1'],
  ['keep_replacement', 'a2'],
  ['longest_running', 'a1'],
] as const) {
  test(`${reconcile}: once a task that was replaced is in reach again, that one alone runs, whoever leads`, async (t) => {
    const cluster = new Cluster();
    await cluster.start();
    const first = await agent(cluster, 'a1', 'cpus:1;mem:1024');
    const argv = ['true', JSON.stringify({ stays: true })];
    await cluster.submit('ann', { job: 'j', argv, restart: 'always', disconnect: { replace: true, reconcile } }, 0);
    await cluster.world.until(() => first.machine.processes('batch/j.0.0/0') === 1);
    const second = await agent(cluster, 'a2', 'cpus:1;mem:1024');
    first.unplug();
    await cluster.world.until(() => second.machine.processes('batch/j.0.1/0') === 1, 600_000);
    t.is(first.machine.processes('batch/j.0.0/0'), 1, 'out of reach, and goes on');
    cluster.world.network.heal();
    await cluster.world.clock.advance(60_000);
    const runs = (): number[] => [first.machine.processes('batch/j.0.0/0'), second.machine.processes('batch/j.0.1/0')];
    t.deepEqual(runs(), keeps === 'a1' ? [1, 0] : [0, 1]);
    t.like(await cluster.running('j'), [{ agent: keeps, attempt: keeps === 'a1' ? 0 : 1 }]);
    await cluster.restart();
    await cluster.world.clock.advance(60_000);
    t.deepEqual(runs(), keeps === 'a1' ? [1, 0] : [0, 1], 'and under the next leader');
    t.like(await cluster.running('j'), [{ agent: keeps, attempt: keeps === 'a1' ? 0 : 1 }]);
    t.deepEqual(cluster.errors, []);
  });
}
