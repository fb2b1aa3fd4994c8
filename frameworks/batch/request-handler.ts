import { Fault } from '../../protocol/faults.ts';
import type { JobSpec } from '../../protocol/job.ts';
import { LIMITS } from '../../protocol/limits.ts';
import type { ClientRequest, Clock, SchedulerDriver } from '../../sdk/index.ts';
import { cancel, createJob, type Effect, type Job, killTask } from './job.ts';
import { JobRecord } from './job-record.ts';
import { createLiveJob } from './live-job.ts';
import { jobsParts, mayChange, readRequest, specFor, tasksParts } from './requests.ts';
import { viewJob, viewTask } from './views.ts';
import type { Watchers } from './watchers.ts';

/** Names that a launch adds to the environment, beside those of ports that fit. */
const OWN_NAMES = 4;

/** What the handler needs of the framework. */
export interface BatchJobs {
  readonly clock: Clock;
  readonly watchers: Watchers;
  readonly records: ReadonlyMap<string, JobRecord>;
  /** Wall-clock milliseconds, whole. */
  now(): number;
  liveJobs(): number;
  begin(driver: SchedulerDriver, record: JobRecord): void;
  changed(driver: SchedulerDriver, record: JobRecord, index: number | undefined, effects: readonly Effect[]): void;
  writeSoon(driver: SchedulerDriver, record: JobRecord): void;
}

/** Answers clients (protocol/job.ts BATCH_OPERATIONS). What changes a job is answered once it is in the store. */
export class RequestHandler {
  readonly #batch: BatchJobs;
  /** Submissions that the store has not confirmed, with everybody who waits for it. */
  readonly #submitting = new Map<string, { record: JobRecord; waiting: ClientRequest[] }>();
  #newest = 0;

  constructor(batch: BatchJobs) {
    this.#batch = batch;
  }

  handle(driver: SchedulerDriver, request: ClientRequest): void {
    const understood = readRequest(request);
    if (understood instanceof Fault) {
      driver.reply(request, understood);
      return;
    }
    switch (understood.op) {
      case 'submit':
        this.#submit(driver, request, understood.body);
        break;
      case 'jobs':
        this.#answer(driver, request, jobsParts([...this.#batch.records.values()].map(({ job }) => job)).values());
        break;
      case 'job':
        this.#with(driver, request, understood.body.job, ({ job }) =>
          driver.reply(request, { body: { job: viewJob(job), spec: specFor(request.principal, job) } }),
        );
        break;
      case 'tasks':
        this.#tasks(driver, request, understood.body.job);
        break;
      case 'cancel':
        this.#with(driver, request, understood.body.job, (record) => this.#cancel(driver, request, record));
        break;
      case 'kill': {
        const { job, index } = understood.body;
        this.#with(driver, request, job, (record) => this.#kill(driver, request, record, index));
        break;
      }
      case 'watch':
        this.#with(driver, request, understood.body.job, ({ job }) => this.#batch.watchers.add(driver, request, job));
        break;
    }
  }

  #with(driver: SchedulerDriver, request: ClientRequest, job: string, handle: (record: JobRecord) => void): void {
    const record = this.#batch.records.get(job);
    if (record === undefined) driver.reply(request, new Fault('NOT_FOUND', `there is no job ${job}`));
    else handle(record);
  }

  #submit(driver: SchedulerDriver, request: ClientRequest, spec: JobSpec): void {
    const { records } = this.#batch;
    const job = createJob(spec, request.principal.name, Math.max(this.#newest + 1, this.#batch.now()));
    const submitting = this.#submitting.get(spec.job);
    const known = records.get(spec.job) ?? submitting?.record;
    if (known !== undefined) {
      if (!known.isSame(job)) driver.reply(request, new Fault('EXISTS', `there is another job ${spec.job}`));
      else if (submitting !== undefined) submitting.waiting.push(request);
      else driver.reply(request, { body: { job: spec.job } });
      return;
    }
    const refusal = this.#refusal(job);
    if (refusal !== undefined) {
      driver.reply(request, refusal);
      return;
    }
    this.#newest = job.created;
    const record = new JobRecord(job);
    const waiting = [request];
    this.#submitting.set(spec.job, { record, waiting });
    record.create(driver).then(
      (fault) => {
        this.#submitting.delete(spec.job);
        if (fault === undefined && !records.has(spec.job)) this.#batch.begin(driver, record);
        for (const one of waiting) driver.reply(one, fault ?? { body: { job: spec.job } });
      },
      (error: unknown) => {
        throw error;
      },
    );
  }

  /** Why this job cannot be taken, or undefined. */
  #refusal(job: Job): Fault | undefined {
    const { spec } = job;
    if (this.#batch.liveJobs() + this.#submitting.size >= LIMITS.jobs)
      return new Fault('LIMIT', `at most ${LIMITS.jobs} jobs at once`);
    const other = spec.resources.find((resource) => resource.scalar === undefined);
    if (other !== undefined)
      return new Fault('BAD_JOB', `resources.${other.name}: a job's needs are scalars; ports are counted in ports`);
    if (spec.resources.length === 0 && spec.ports === 0)
      return new Fault('BAD_JOB', 'resources: a task needs something');
    if (Object.keys(spec.environment).length > LIMITS.environmentNames - OWN_NAMES) {
      return new Fault('BAD_JOB', `environment: more than ${LIMITS.environmentNames - OWN_NAMES} names`);
    }
    const live = createLiveJob(job, new Map());
    return live instanceof Fault ? live : undefined;
  }

  #cancel(driver: SchedulerDriver, request: ClientRequest, record: JobRecord): void {
    const { job } = record;
    if (!mayChange(request.principal, job)) {
      driver.reply(request, new Fault('NOT_ALLOWED', `job ${job.spec.job} belongs to ${job.owner}`));
      return;
    }
    if (job.finished === undefined && !job.cancelled) {
      const effects = cancel(job, this.#batch.now());
      record.stateChanged();
      record.everythingChanged();
      this.#batch.changed(driver, record, undefined, effects);
    }
    record.whenStored(() => driver.reply(request, { body: { job: viewJob(job) } }));
    this.#batch.writeSoon(driver, record);
  }

  #kill(driver: SchedulerDriver, request: ClientRequest, record: JobRecord, index: number): void {
    const { job } = record;
    if (!mayChange(request.principal, job)) {
      driver.reply(request, new Fault('NOT_ALLOWED', `job ${job.spec.job} belongs to ${job.owner}`));
      return;
    }
    if (index >= job.spec.count) {
      driver.reply(
        request,
        new Fault('NOT_FOUND', `job ${job.spec.job} has ${job.spec.count} tasks; there is no ${index}`),
      );
      return;
    }
    const effects = killTask(job, index, this.#batch.now());
    this.#batch.changed(driver, record, index, effects);
    record.whenStored(() => driver.reply(request, { body: { task: viewTask(job, index, driver.name) } }));
    this.#batch.writeSoon(driver, record);
  }

  #tasks(driver: SchedulerDriver, request: ClientRequest, only: string | undefined): void {
    const answer = (records: Iterable<JobRecord>): void => {
      const jobs = [...records].map(({ job }) => job);
      this.#answer(driver, request, tasksParts(jobs, only !== undefined, driver.name));
    };
    if (only !== undefined) this.#with(driver, request, only, (record) => answer([record]));
    else answer([...this.#batch.records.values()].filter(({ ended }) => !ended));
  }

  /** Sends a part each turn of the loop, so that a long answer holds up nothing. */
  #answer(driver: SchedulerDriver, request: ClientRequest, parts: Iterator<object>): void {
    let part = 0;
    let next = parts.next();
    const send = (): void => {
      if (next.done === true) return;
      const body = next.value;
      next = parts.next();
      driver.reply(request, { body, part: part++, last: next.done === true });
      if (next.done !== true) this.#batch.clock.after(0, send);
    };
    send();
  }
}
