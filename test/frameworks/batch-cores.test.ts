import test from 'ava';
import fc from 'fast-check';
import { EndedJobs } from '../../frameworks/batch/ended-jobs.ts';
import { IndexRanges } from '../../frameworks/batch/index-ranges.ts';
import {
  applyStatus,
  cancel,
  createJob,
  forgetDetails,
  type Job,
  killTask,
  newTask,
  phaseOf,
  place,
} from '../../frameworks/batch/job.ts';
import { JobRecord } from '../../frameworks/batch/job-record.ts';
import { createLiveJob, type LiveJob } from '../../frameworks/batch/live-job.ts';
import { PendingJobs, PendingTasks } from '../../frameworks/batch/pending-tasks.ts';
import { placeTasks } from '../../frameworks/batch/placement.ts';
import { Reconciliation } from '../../frameworks/batch/reconciliation.ts';
import {
  blockOf,
  blocksOf,
  decodeJob,
  encodeBlock,
  encodeSpec,
  encodeState,
  type StoredPart,
} from '../../frameworks/batch/stored-job.ts';
import { viewJob, viewTask } from '../../frameworks/batch/views.ts';
import { Fault } from '../../protocol/faults.ts';
import { LIMITS } from '../../protocol/limits.ts';
import type { Offer } from '../../protocol/offer.ts';
import { contains, subtract } from '../../protocol/resource-arithmetic.ts';
import { parseResources, type Resources } from '../../protocol/resources.ts';
import type { StatusEvent } from '../../protocol/scheduler.ts';
import { REASONS, type Reason, TASK_STATES, type TaskState } from '../../protocol/task.ts';
import type { SchedulerDriver } from '../../sdk/index.ts';
import { VirtualClock } from '../sim/clock.ts';
import { spec } from './batch-world.ts';

test('index ranges are a set', (t) => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 60 })), (indices) => {
      const ranges = new IndexRanges();
      const set = new Set<number>();
      for (const index of indices) t.is(ranges.add(index), !set.has(index) && set.add(index) !== undefined);
      t.is(ranges.size, set.size);
      for (let index = 0; index <= 60; index++) t.is(ranges.has(index), set.has(index));
      const whole = ranges.slice(0, 60);
      for (const [at, [first]] of whole.entries()) t.true(at === 0 || first > (whole[at - 1]?.[1] ?? 0) + 1);
      t.deepEqual(new IndexRanges(whole).slice(0, 60), whole);
    }),
  );
});

interface Status {
  readonly do: 'status';
  readonly index: number;
  /** How many attempts before the newest. */
  readonly back: number;
  readonly state: TaskState;
  readonly reason: Reason | undefined;
}
type Step = { readonly do: 'place' | 'kill' | 'forget'; readonly index: number } | { readonly do: 'cancel' } | Status;

const COUNT = 600;
const anIndex = fc.oneof(fc.integer({ min: 0, max: 8 }), fc.integer({ min: 0, max: COUNT - 1 }));
const aStep: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constantFrom('place' as const), index: anIndex }) },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('status' as const),
      index: anIndex,
      back: fc.constantFrom(0, 0, 0, 1, -1),
      state: fc.constantFrom(...TASK_STATES),
      reason: fc.option(fc.constantFrom(...REASONS), { nil: undefined }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('kill' as const, 'forget' as const), index: anIndex }) },
  { weight: 1, arbitrary: fc.constant({ do: 'cancel' as const }) },
);

/** Applies steps as the shell would; returns every placement. */
function run(job: Job, steps: readonly Step[]): string[] {
  const placements: string[] = [];
  for (const [now, step] of steps.entries()) {
    if (step.do === 'cancel') cancel(job, now);
    else if (step.do === 'kill') killTask(job, step.index, now);
    else if (step.do === 'forget') forgetDetails(job, step.index);
    else if (step.do === 'status') applyStatus(job, step.index, statusOf(job, step), now);
    else if (phaseOf(job, step.index) === 'waiting') {
      placements.push(`${step.index} ${place(job, step.index, 'a1', now).attempt}`);
    }
  }
  return placements;
}

function statusOf(job: Job, { index, back, state, reason }: Status): StatusEvent {
  const attempt = Math.max(0, (job.tasks.get(index)?.attempt ?? 0) - back);
  const status = {
    framework: 'batch',
    task: '',
    attempt,
    restart: 0,
    uuid: 'u',
    sequence: 1,
    acknowledge: true,
    state,
  };
  return reason === undefined ? status : { ...status, reason };
}

test('whatever happens, the counts add up, no attempt is placed twice, and an end is an end', (t) => {
  fc.assert(
    fc.property(
      fc.array(aStep, { maxLength: 120, size: 'max' }),
      fc.nat(3),
      fc.boolean(),
      (steps, retries, requeue) => {
        const job = createJob(
          spec({ job: 'j', count: COUNT, retries, requeue, disconnect: { replace: requeue } }),
          'ann',
          1,
        );
        const placements = run(job, steps);
        t.is(new Set(placements).size, placements.length);
        const { waiting, placed, finished, failed } = job.counts;
        t.is(waiting + placed + finished + failed, COUNT);
        const counted = { waiting: 0, placed: 0, finished: 0, failed: 0 };
        for (let index = 0; index < COUNT; index++) counted[phaseOf(job, index)]++;
        t.deepEqual(counted, { ...job.counts });
        const ends = Array.from({ length: COUNT }, (_, index) => viewTask(job, index, 'batch'));
        const asked = ends.filter(
          ({ index, reason }) => phaseOf(job, index) === 'failed' && reason === 'KILLED_BY_REQUEST',
        );
        t.is(job.killed, asked.length);
        t.is(job.finished !== undefined, waiting + placed === 0);
      },
    ),
    { numRuns: 300 },
  );
});

test('a stored job is read back as it was', (t) => {
  fc.assert(
    fc.property(fc.array(aStep, { maxLength: 120, size: 'max' }), fc.nat(3), (steps, retries) => {
      const job = createJob(spec({ job: 'j', count: COUNT, retries }), 'ann', 1);
      run(job, steps);
      const parts = new Map<string, { part: StoredPart; value: string }>();
      const specText = encodeSpec(job);
      if (specText instanceof Fault) throw new Error(specText.message);
      parts.set('spec', { part: { kind: 'spec' }, value: specText });
      parts.set('state', { part: { kind: 'state' }, value: encodeState(job) });
      for (let block = 0; block < blocksOf(job); block++) {
        const value = encodeBlock(job, block);
        if (value !== null) parts.set(String(block), { part: { kind: 'block', block }, value });
      }
      const read = decodeJob(parts);
      if (read instanceof Fault) throw new Error(read.message);
      t.deepEqual(viewJob(read), {
        ...viewJob(job),
        state: read.begun === job.begun ? viewJob(job).state : viewJob(read).state,
      });
      for (let index = 0; index < COUNT; index++) {
        t.is(phaseOf(read, index), phaseOf(job, index));
        const [was, is] = [job.tasks.get(index), read.tasks.get(index)];
        if (is === undefined) continue;
        for (const field of ['attempt', 'retries', 'requeues', 'killed', 'state', 'exitCode', 'reason'] as const)
          t.is(is[field], was?.[field]);
      }
    }),
    { numRuns: 200 },
  );
});

test('of an attempt and its replacement the first to end wins, and the other is killed, whenever it is heard of', (t) => {
  const attempt = (number: number, state: TaskState): StatusEvent => ({
    ...{ framework: 'batch', task: 'j.0', attempt: number, restart: 0, uuid: `u${number}${state}` },
    ...{ sequence: 1, state, acknowledge: true },
  });
  const replaced = (): Job => {
    const job = createJob(spec({ job: 'j', disconnect: { replace: true } }), 'ann', 1);
    place(job, 0, 'a1', 1);
    applyStatus(job, 0, attempt(0, 'TASK_RUNNING'), 2);
    t.deepEqual(applyStatus(job, 0, attempt(0, 'TASK_UNREACHABLE'), 3), [{ kind: 'waits', index: 0, delayMs: 0 }]);
    place(job, 0, 'a2', 4);
    applyStatus(job, 0, attempt(1, 'TASK_RUNNING'), 5);
    return job;
  };
  const kill = [{ kind: 'kill' as const, index: 0 }];
  for (const state of ['TASK_FINISHED', 'TASK_FAILED'] as const) {
    const job = replaced();
    t.deepEqual(applyStatus(job, 0, attempt(1, state), 6), kill, 'the one that is away');
    t.deepEqual(applyStatus(job, 0, attempt(0, 'TASK_RUNNING'), 7), kill, 'it is back after all');
    t.is(applyStatus(job, 0, attempt(0, 'TASK_KILLED'), 8), undefined);
  }
  const back = replaced();
  t.deepEqual(applyStatus(back, 0, attempt(0, 'TASK_FINISHED'), 6), kill, 'the replacement');
});

test('a block of the longest words fits the store', (t) => {
  const job = createJob(spec({ job: 'j', count: LIMITS.jobCount }), 'ann', 1);
  for (let index = 0; index < LIMITS.jobCount; index++) {
    const task = place(job, index, 'a1', 1);
    Object.assign(task, {
      phase: 'failed',
      attempt: 1_000_000,
      kept: 999_999,
      retries: 1_000,
      requeues: 3,
      killed: true,
      exitCode: 255,
    });
    Object.assign(task, { state: 'TASK_GONE_BY_OPERATOR', reason: 'MAX_COMPLETION_TIME_REACHED' });
  }
  for (let block = 0; block < blocksOf(job); block++)
    t.true((encodeBlock(job, block)?.length ?? 0) < LIMITS.storeValueBytes);
  t.is(blockOf(LIMITS.jobCount - 1), blocksOf(job) - 1);
});

test('a damaged part is a fault that names it', (t) => {
  const specText = encodeSpec(createJob(spec({ job: 'j' }), 'ann', 1));
  const value = specText instanceof Fault ? '' : specText;
  t.like(decodeJob(new Map()), { code: 'CORRUPT' });
  for (const damaged of ['', '{', '{"format":2}', '[]', 'null']) {
    t.like(decodeJob(new Map([['spec', { part: { kind: 'spec' }, value: damaged }]])), { code: 'CORRUPT' });
    const parts = new Map<string, { part: StoredPart; value: string }>([
      ['spec', { part: { kind: 'spec' }, value }],
      ['0', { part: { kind: 'block', block: 0 }, value: damaged }],
    ]);
    t.like(decodeJob(parts), { code: 'CORRUPT' });
  }
});

function resources(text: string): Resources {
  const parsed = parseResources(text);
  if (parsed instanceof Fault) throw new Error(parsed.message);
  return parsed;
}

const anOffer = fc
  .record({
    cpus: fc.integer({ min: 1, max: 8 }),
    mem: fc.integer({ min: 1, max: 4_096 }),
    ports: fc.integer({ min: 1, max: 40 }),
    reserved: fc.nat(3),
    role: fc.constantFrom('ann', 'bob'),
  })
  .map(
    ({ cpus, mem, ports, reserved, role }): Omit<Offer, 'offer' | 'agent' | 'name'> => ({
      framework: 'batch',
      role,
      hostname: 'h',
      attributes: [],
      resources: resources(`cpus:${cpus};mem:${mem};ports:[31000-${31_000 + ports}];cpus(${role}):${reserved}`),
    }),
  );

test('a placement never exceeds its offer, and follows the order of submission', (t) => {
  const aJob = fc.record({
    owner: fc.constantFrom('ann', 'bob'),
    count: fc.integer({ min: 1, max: 200 }),
    cpus: fc.integer({ min: 10, max: 3_000 }),
    ports: fc.nat(5),
  });
  fc.assert(
    fc.property(fc.array(anOffer, { maxLength: 6 }), fc.array(aJob, { maxLength: 6 }), (offers, jobs) => {
      const pending = new PendingJobs();
      const live = new Map<string, LiveJob>();
      for (const [at, { owner, count, cpus, ports }] of jobs.entries()) {
        const made = createLiveJob(
          createJob(spec({ job: `j${at}`, count, ports, resources: [{ name: 'cpus', scalar: cpus }] }), owner, at),
          new Map(),
        );
        if (made instanceof Fault) throw new Error(made.message);
        live.set(`j${at}`, made);
        pending.add(made.pending);
      }
      const named = offers.map((offer, at) => ({ ...offer, offer: `o${at}`, agent: `a${at}`, name: `a${at}` }));
      const { placements, declined } = placeTasks(named, pending, (job) => live.get(job), 0);
      t.is(placements.length + declined.length, named.length);
      for (const { offer, tasks, placed, more } of placements) {
        t.true(tasks.length <= LIMITS.tasksPerMessage && tasks.length > 0);
        let left = offer.resources;
        for (const task of tasks) {
          const taken = task.resources as Resources;
          t.true(contains(left, taken));
          left = subtract(left, taken);
        }
        t.true(placed.every(({ job }) => job.owner === offer.role));
        const orders = placed.map(({ job }) => job.created);
        t.deepEqual(
          orders,
          [...orders].sort((one, other) => one - other),
        );
        const contended = new Set(jobs.map(({ owner }) => owner)).size > 1;
        t.true(!more || contended || tasks.length === LIMITS.tasksPerMessage);
      }
    }),
    { numRuns: 200 },
  );
});

test('a task with a time limit goes nowhere that will be drained before it could end', (t) => {
  const placedOn = (timeMs: number | undefined, startMs: number | undefined): boolean => {
    const limit = timeMs === undefined ? {} : { timeMs };
    const live = createLiveJob(createJob(spec({ job: 'j', ...limit }), 'ann', 0), new Map());
    if (live instanceof Fault) throw new Error(live.message);
    const pending = new PendingJobs();
    pending.add(live.pending);
    const unavailability = startMs === undefined ? {} : { unavailability: { startMs } };
    const resources = parseResources('cpus:8;mem:1024') as Resources;
    const about = { offer: 'o', framework: 'batch', role: 'ann', agent: 'a', name: 'a', hostname: 'a', attributes: [] };
    return placeTasks([{ ...about, resources, ...unavailability }], pending, () => live, 1_000).placements.length > 0;
  };
  t.true(placedOn(600_000, undefined));
  t.true(placedOn(600_000, 601_000));
  t.false(placedOn(600_000, 600_999));
  t.true(placedOn(undefined, 2_000));
});

test('a device that only does actions gets the tasks that name it', (t) => {
  const isPlaced = (constraints: string[]): boolean => {
    const live = createLiveJob(createJob(spec({ job: 'j', constraints }), 'ann', 0), new Map());
    if (live instanceof Fault) throw new Error(live.message);
    const pending = new PendingJobs();
    pending.add(live.pending);
    const attributes = [
      { name: 'runs', text: 'actions' },
      { name: 'site', text: 'roof' },
    ];
    const about = { offer: 'o', framework: 'batch', role: 'ann', agent: 'a', name: 'plug', hostname: 'h', attributes };
    const offer = { ...about, resources: resources('cpus:8;mem:1024') };
    return placeTasks([offer], pending, () => live, 1_000).placements.length > 0;
  };
  t.false(isPlaced([]));
  t.false(isPlaced(['site==roof']));
  t.true(isPlaced(['site==roof', 'agent==plug']));
});

test('pending tasks are those that wait, first the ones that come again', (t) => {
  const job = createJob(spec({ job: 'j', count: 3 }), 'ann', 1);
  const pending = new PendingTasks(job);
  t.is(pending.peek(), 0);
  place(job, 0, 'a1', 1);
  t.is(pending.peek(), 1);
  pending.add(0);
  t.is(pending.peek(), 1, 'what is placed does not wait');
  killTask(job, 1, 1);
  t.is(pending.peek(), 2);
  cancel(job, 1);
  t.is(pending.peek(), undefined);
});

test('a reconciliation that is answered while it asks is asked once', (t) => {
  const clock = new VirtualClock();
  const reconciliation = new Reconciliation(clock, undefined);
  let asked = 0;
  const driver = {
    reconcileTasks: (tasks: readonly { task: string }[] = []) => {
      asked++;
      for (const { task } of tasks) reconciliation.answered(task);
    },
  } as unknown as SchedulerDriver;
  let done = 0;
  reconciliation.begin(
    driver,
    () => [],
    () => done++,
  );
  t.deepEqual([asked, done, clock.timers], [2, 1, 0]);
});

test('ended jobs are kept by number, age, keys and exceptions; the newest always', (t) => {
  const ended = (count: number, exceptions: number, keys: number, finished = (at: number) => at): EndedJobs => {
    const jobs = new EndedJobs();
    for (let at = 0; at < count; at++) {
      const job = createJob(spec({ job: `j${at}`, count: 10_000 }), 'ann', at);
      for (let index = 0; index < exceptions; index++) job.tasks.set(index, newTask());
      job.finished = finished(at);
      jobs.add(new JobRecord(job, new Map(Array.from({ length: keys }, (_, key) => [`k${key}`, 1]))));
    }
    return jobs;
  };
  const forgotten = (jobs: EndedJobs, now = 0): string[] => jobs.takeOld(now).map(({ job }) => job.spec.job);
  t.deepEqual(forgotten(ended(1_003, 0, 2)), ['j0', 'j1', 'j2']);
  t.deepEqual(forgotten(ended(12, 10_000, 2)), ['j0', 'j1']);
  t.deepEqual(forgotten(ended(130, 1, 40)), ['j0', 'j1', 'j2', 'j3', 'j4']);
  t.deepEqual(forgotten(ended(1, 10_000, 6_000)), []);
  const week = 7 * 24 * 3_600_000;
  const aged = ended(3, 0, 2, (at) => at * 1_000);
  t.deepEqual(forgotten(aged, week + 1_500), ['j0', 'j1']);
  t.deepEqual(forgotten(aged, week + 1_500), []);
  t.deepEqual(forgotten(aged, week + 2_001), ['j2']);
});
