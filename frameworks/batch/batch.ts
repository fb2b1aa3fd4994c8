import type { Candidate } from '../../protocol/constraints.ts';
import { Fault } from '../../protocol/faults.ts';
import { parseTaskName } from '../../protocol/job.ts';
import {
  type ClientRequest,
  type Clock,
  isTerminal,
  type Log,
  type Offer,
  type Registration,
  type Scheduler,
  type SchedulerDriver,
  type StatusEvent,
  type StoreEntry,
  type Timer,
} from '../../sdk/index.ts';
import { EndedJobs } from './ended-jobs.ts';
import {
  applyStatus,
  type Effect,
  firstAttemptOf,
  forgetDetails,
  isOfAgent,
  type Job,
  pauseOf,
  phaseOf,
} from './job.ts';
import { JobRecord } from './job-record.ts';
import { createLiveJob } from './live-job.ts';
import { shapeOf } from './offer-shape.ts';
import { OwnerRoles } from './owner-roles.ts';
import { PendingJobs } from './pending-tasks.ts';
import { placeTasks } from './placement.ts';
import { type Believed, Reconciliation } from './reconciliation.ts';
import { type BatchJobs, RequestHandler } from './request-handler.ts';
import { ShownJobs } from './shown-jobs.ts';
import { ShunnedAgents } from './shunned-agents.ts';
import { blockOf, decodeJob, PREFIX, parseKey, type StoredPart } from './stored-job.ts';
import { taskName } from './views.ts';
import { Watchers } from './watchers.ts';

/** Finished tasks whose times, agent and output are remembered; of older ones only that they finished. */
const MOST_DETAILS = 10_000;
const TRIM_MS = 3_600_000;
const STORE_AGAIN_MS = 5_000;
/** Between two writings of one job: its progress is told as it is then, and acknowledged thereafter. */
const STORE_PAUSE_MS = 50;
/** Messages that wait while the jobs are read; clients and masters repeat what is dropped. */
const MOST_EARLY = 10_000;

export interface BatchOptions {
  readonly clock: Clock;
  readonly log?: Log;
}

/**
 * The batch framework: jobs of one command and `count` tasks, run to their end. Start it with a driver of explicit
 * acknowledgements and no roles: it takes one role per owner by itself.
 */
export function createBatch(options: BatchOptions): Batch {
  return new Batch(options);
}

export class Batch implements Scheduler, BatchJobs {
  readonly clock: Clock;
  readonly watchers: Watchers;
  readonly records = new Map<string, JobRecord>();
  readonly #log: Log | undefined;
  readonly #pending = new PendingJobs();
  readonly #roles: OwnerRoles;
  readonly #reconciliation: Reconciliation;
  readonly #ended = new EndedJobs();
  readonly #shown: ShownJobs;
  readonly #requests: RequestHandler;
  /** Stored, but not readable by this version: left alone. */
  readonly #unreadable = new Set<string>();
  /** Agents as their offers show them, by name. */
  readonly #agents = new Map<string, Candidate>();
  readonly #shunned = new ShunnedAgents();
  #details: { job: Job; index: number }[] = [];
  #loaded = false;
  #reconciled = false;
  #early: StatusEvent[] = [];
  #asked: ClientRequest[] = [];
  #held: Offer[] = [];
  readonly #kills = new Map<string, { task: string; attempt?: number }>();
  readonly #awake = new Set<string>();
  readonly #toWrite = new Set<JobRecord>();
  readonly #delays = new Set<Timer>();
  #turn: Timer | undefined;
  #writing: Timer | undefined;
  #trim: Timer | undefined;

  constructor({ clock, log }: BatchOptions) {
    this.clock = clock;
    this.#log = log;
    this.watchers = new Watchers(clock);
    this.#roles = new OwnerRoles(clock);
    this.#reconciliation = new Reconciliation(clock, log);
    this.#requests = new RequestHandler(this);
    this.#shown = new ShownJobs(clock, (job) => this.records.get(job));
  }

  registered(driver: SchedulerDriver, { generation }: Registration): void {
    this.#firstAttempt = firstAttemptOf(generation);
    this.#load(driver);
  }

  reregistered(driver: SchedulerDriver, { generation }: Registration): void {
    this.#firstAttempt = firstAttemptOf(generation);
    if (!this.#loaded) return;
    this.#shown.everything(driver, this.records.keys());
    this.#reconcile(driver);
  }

  disconnected(): void {
    this.#reconciled = false;
    this.#held = [];
    this.#shown.pause();
  }

  /** Lets go of timers and watchers; the jobs go on, and the next batch of that name takes them over. */
  stop(): void {
    this.#forgetAll();
    this.#shown.pause();
    this.#trim?.cancel();
  }

  resourceOffers(driver: SchedulerDriver, offers: readonly Offer[]): void {
    for (const { name, hostname, attributes } of offers) this.#agents.set(name, { agent: name, hostname, attributes });
    if (this.#reconciled) this.#place(driver, offers);
    else this.#held.push(...offers);
  }

  offerRescinded(_driver: SchedulerDriver, offer: string): void {
    this.#held = this.#held.filter((held) => held.offer !== offer);
  }

  statusUpdate(driver: SchedulerDriver, status: StatusEvent): void {
    if (this.#reconciliation.answered(status.task)) return;
    if (this.#loaded) this.#take(driver, status);
    else if (this.#early.length < MOST_EARLY) this.#early.push(status);
  }

  error(_driver: SchedulerDriver, fault: Fault): void {
    this.#log?.error('batch-refused', { code: fault.code, message: fault.message });
  }

  request(driver: SchedulerDriver, request: ClientRequest): void {
    if (this.#loaded) this.#requests.handle(driver, request);
    else if (this.#asked.length < MOST_EARLY) this.#asked.push(request);
  }

  /** Wall-clock milliseconds, whole. */
  now(): number {
    return Math.floor(this.clock.wall());
  }

  liveJobs(): number {
    return this.records.size - this.#endedCount;
  }

  #endedCount = 0;
  #firstAttempt = 0;

  /** A job that the store has: it is run from now on. */
  begin(driver: SchedulerDriver, record: JobRecord): void {
    const { job } = record;
    this.records.set(job.spec.job, record);
    this.#shown.changed(driver, job.spec.job);
    if (record.ended) {
      this.#endedCount++;
      this.#ended.add(record);
      return;
    }
    const live = createLiveJob(job, this.#agents);
    if (live instanceof Fault) {
      this.#log?.error('job-unplaceable', { job: job.spec.job, message: live.message });
      return;
    }
    record.live = live;
    this.#roles.jobBegan(job.owner);
    for (const [index, task] of job.tasks) {
      if (task.phase !== 'waiting') continue;
      const delayMs = pauseOf(task);
      if (delayMs === 0) live.pending.add(index);
      else this.#effect(driver, record, { kind: 'waits', index, delayMs });
    }
    this.#wake(driver, record);
  }

  /** What follows from a change of the job: of one task, or without an index of the whole job. */
  changed(driver: SchedulerDriver, record: JobRecord, index: number | undefined, effects: readonly Effect[]): void {
    const { job } = record;
    if (index !== undefined) record.blockChanged(blockOf(index));
    if (index !== undefined && phaseOf(job, index) !== 'placed') record.live?.spread.delete(index);
    for (const effect of effects) this.#effect(driver, record, effect);
    if (record.ended && record.live !== undefined) this.#end(driver, record);
    this.watchers.changed(driver, job, index);
    this.#shown.changed(driver, job.spec.job);
    this.writeSoon(driver, record);
  }

  writeSoon(driver: SchedulerDriver, record: JobRecord): void {
    this.#toWrite.add(record);
    this.#turnSoon(driver);
  }

  #take(driver: SchedulerDriver, status: StatusEvent): void {
    const name = parseTaskName(status.task);
    const record = name === undefined ? undefined : this.records.get(name.job);
    this.#reconciliation.heard(status.task);
    if (record === undefined || name?.index === undefined) {
      const forgotten = name === undefined || !this.#unreadable.has(name.job);
      const live = !isTerminal(status.state) && status.state !== 'TASK_UNKNOWN';
      // What a restored backup has forgotten is somebody's work: whoever knows it decides.
      if (forgotten && live && status.orphan !== true) this.#kill(driver, status.task);
      if (forgotten) driver.acknowledgeStatusUpdate(status);
      return;
    }
    const { job } = record;
    const { index } = name;
    // Attempts of this generation are minted here: what nobody has launched is no attempt of ours, whatever becomes of it.
    if (status.orphan === true && status.attempt >= this.#firstAttempt) {
      this.#kill(driver, status.task, status.attempt);
      driver.acknowledgeStatusUpdate(status);
      return;
    }
    if (status.agentName !== undefined) {
      if (isOfAgent(status)) this.#shunned.failed(status.agentName, this.clock.monotonic());
      else if (status.state === 'TASK_RUNNING') this.#shunned.ran(status.agentName);
    }
    const effects = applyStatus(job, index, status, this.now());
    const acknowledge = (): void => {
      driver.acknowledgeStatusUpdate(status);
    };
    // A run that goes on is told again after a failover; only what ends one has an effect to be kept.
    const durable = isTerminal(status.state) || effects?.some(isLasting) === true;
    if (durable) record.whenStored(acknowledge);
    if (effects === undefined) this.#toWrite.add(record);
    else if (durable) this.changed(driver, record, index, effects);
    else {
      for (const effect of effects) this.#effect(driver, record, effect);
      this.watchers.changed(driver, job, index);
      if (status.agentName !== undefined) record.live?.spread.add(index, status.agentName);
    }
    if (!durable) acknowledge();
    else this.#turnSoon(driver);
    if (effects !== undefined && phaseOf(job, index) === 'finished') this.#remember(job, index);
  }

  #effect(driver: SchedulerDriver, record: JobRecord, effect: Effect): void {
    const { job } = record;
    if (effect.kind === 'kill') {
      this.#kill(driver, taskName(job.spec.job, effect.index), effect.attempt);
      return;
    }
    if (effect.kind === 'keeps') return;
    const ready = (): void => {
      if (record.live === undefined) return;
      record.live.pending.add(effect.index);
      this.#wake(driver, record);
    };
    if (effect.delayMs === 0) {
      ready();
      return;
    }
    const timer = this.clock.after(effect.delayMs, () => {
      this.#delays.delete(timer);
      ready();
    });
    this.#delays.add(timer);
  }

  #kill(driver: SchedulerDriver, task: string, attempt?: number): void {
    this.#kills.set(`${task} ${attempt ?? ''}`, { task, ...(attempt === undefined ? {} : { attempt }) });
    this.#turnSoon(driver);
  }

  #wake(driver: SchedulerDriver, { job, live }: JobRecord): void {
    if (live?.pending.peek() === undefined) return;
    this.#pending.add(live.pending);
    this.#awake.add(job.owner);
    this.#turnSoon(driver);
  }

  #end(driver: SchedulerDriver, record: JobRecord): void {
    record.live = undefined;
    record.stateChanged();
    this.#endedCount++;
    this.#ended.add(record);
    this.#roles.jobEnded(driver, record.job.owner);
    this.#forgetOld(driver);
  }

  #remember(job: Job, index: number): void {
    this.#details.push({ job, index });
    if (this.#details.length <= 2 * MOST_DETAILS) return;
    for (const old of this.#details.splice(0, MOST_DETAILS)) forgetDetails(old.job, old.index);
  }

  #forgetOld(driver: SchedulerDriver): void {
    for (const record of this.#ended.takeOld(this.now())) {
      this.#endedCount--;
      this.records.delete(record.job.spec.job);
      this.#shown.changed(driver, record.job.spec.job);
      // A write that is under way ends first: a removal in between would leave its key behind.
      record.whenStored(() => {
        record.remove(driver).then((fault) => this.#storeFailed(driver, fault), rethrow);
      });
      this.writeSoon(driver, record);
    }
    this.#trim?.cancel();
    this.#trim = this.clock.after(TRIM_MS, () => this.#forgetOld(driver));
  }

  #place(driver: SchedulerDriver, all: readonly Offer[]): void {
    const offers = all
      .filter((offer) => {
        const refuseMs = Math.ceil(this.#shunned.restMs(offer.name, this.clock.monotonic()));
        if (refuseMs > 0) driver.declineOffer(offer.offer, { refuseMs });
        return refuseMs === 0;
      })
      .sort((one, other) => Number(this.#shunned.isSuspect(one.name)) - Number(this.#shunned.isSuspect(other.name)));
    const live = (job: string) => this.records.get(job)?.live;
    const { placements, declined } = placeTasks(offers, this.#pending, live, this.now(), this.#firstAttempt);
    for (const { offer, tasks, placed, more } of placements) {
      driver.launchTasks([offer.offer], tasks, more ? { refuseMs: 0 } : {});
      for (const { task, attempt } of tasks) this.#reconciliation.launched(driver, task, attempt);
      for (const job of new Set(placed.map((one) => one.job))) {
        this.watchers.changed(driver, job);
        this.#shown.changed(driver, job.spec.job);
      }
    }
    for (const { offer } of declined) driver.declineOffer(offer);
    for (const role of new Set(offers.map((offer) => offer.role))) {
      if (this.#pending.of(role).length === 0) this.#roles.idle(driver, role);
    }
  }

  #turnSoon(driver: SchedulerDriver): void {
    this.#turn ??= this.clock.after(0, () => {
      this.#turn = undefined;
      driver.killTasks([...this.#kills.values()]);
      this.#kills.clear();
      for (const owner of this.#awake) this.#roles.wants(driver, owner, shapeOf(this.#pending.of(owner)));
      this.#awake.clear();
      this.#writeDue(driver);
    });
  }

  #writeDue(driver: SchedulerDriver): void {
    const now = this.clock.monotonic();
    let next = Number.POSITIVE_INFINITY;
    for (const record of this.#toWrite) {
      const due = record.writtenMs + STORE_PAUSE_MS;
      if (due > now) {
        next = Math.min(next, due);
        continue;
      }
      this.#toWrite.delete(record);
      record.writtenMs = now;
      record.write(driver).then((fault) => this.#storeFailed(driver, fault, record), rethrow);
    }
    this.#writing?.cancel();
    if (next < Number.POSITIVE_INFINITY)
      this.#writing = this.clock.after(Math.ceil(next - now), () => this.#writeDue(driver));
  }

  #storeFailed(driver: SchedulerDriver, fault: Fault | undefined, record?: JobRecord): void {
    if (fault === undefined || driver.status !== 'DRIVER_RUNNING') return;
    this.#log?.error('batch-store-failed', { code: fault.code, message: fault.message });
    if (fault.code === 'CONFLICT') {
      // Somebody else wrote under this name: what they wrote is the truth.
      // Those that are gone from the store lose their topics.
      for (const job of this.records.keys()) this.#shown.changed(driver, job);
      this.#forgetAll();
      this.#load(driver);
    } else if (record !== undefined) {
      const timer = this.clock.after(STORE_AGAIN_MS, () => {
        this.#delays.delete(timer);
        this.writeSoon(driver, record);
      });
      this.#delays.add(timer);
    }
  }

  #load(driver: SchedulerDriver): void {
    driver.load(PREFIX).then((entries) => {
      if (this.#loaded || driver.status !== 'DRIVER_RUNNING') return;
      if (entries instanceof Fault) {
        this.#log?.error('batch-load-failed', { code: entries.code, message: entries.message });
        const timer = this.clock.after(STORE_AGAIN_MS, () => this.#load(driver));
        this.#delays.add(timer);
        return;
      }
      this.#loaded = true;
      this.#restore(driver, entries);
      this.#shown.everything(driver, this.records.keys());
      for (const status of this.#early.splice(0)) this.#take(driver, status);
      this.#reconcile(driver);
      for (const request of this.#asked.splice(0)) this.#requests.handle(driver, request);
    }, rethrow);
  }

  #restore(driver: SchedulerDriver, entries: readonly StoreEntry[]): void {
    const records: JobRecord[] = [];
    for (const [name, { parts, versions }] of grouped(entries)) {
      const job = decodeJob(parts);
      if (job instanceof Fault) {
        this.#unreadable.add(name);
        this.#log?.error('job-unreadable', { job: name, message: job.message });
        continue;
      }
      const record = new JobRecord(job, versions);
      if (job.finished === undefined && job.counts.waiting + job.counts.placed === 0) {
        job.finished = this.now();
        record.stateChanged();
        this.writeSoon(driver, record);
      }
      records.push(record);
    }
    const key = ({ job }: JobRecord): number => job.finished ?? job.created;
    for (const record of records.sort((one, other) => key(one) - key(other))) this.begin(driver, record);
    this.#forgetOld(driver);
  }

  #reconcile(driver: SchedulerDriver): void {
    this.#reconciled = false;
    const believed = (): Believed[] => {
      const tasks: Believed[] = [];
      for (const { job, live } of this.records.values()) {
        if (live === undefined) continue;
        for (const [index, { phase, attempt, kept }] of job.tasks) {
          if (phase === 'placed') tasks.push({ task: taskName(job.spec.job, index), attempt: kept ?? attempt });
        }
      }
      return tasks;
    };
    this.#reconciliation.begin(driver, believed, () => {
      this.#reconciled = true;
      const held = this.#held;
      this.#held = [];
      if (held.length > 0) this.#place(driver, held);
    });
  }

  #forgetAll(): void {
    this.#loaded = false;
    this.#reconciled = false;
    this.#reconciliation.stop();
    this.#turn?.cancel();
    this.#turn = undefined;
    this.#writing?.cancel();
    for (const timer of this.#delays) timer.cancel();
    this.#delays.clear();
    for (const { job } of this.records.values()) this.#pending.forget(job.owner);
    this.records.clear();
    this.#endedCount = 0;
    this.#ended.clear();
    this.#roles.clear();
    this.watchers.clear();
    this.#details = [];
    this.#held = [];
    this.#kills.clear();
    this.#awake.clear();
    this.#toWrite.clear();
    this.#unreadable.clear();
  }
}

/** Which attempt goes on must be known to whoever comes after, as must be that one waits. */
function isLasting(effect: Effect): boolean {
  return effect.kind !== 'kill';
}

type Grouped = Map<string, { parts: Map<string, { part: StoredPart; value: string }>; versions: Map<string, number> }>;

function grouped(entries: readonly StoreEntry[]): Grouped {
  const jobs: Grouped = new Map();
  for (const { key, value, version } of entries) {
    const parsed = parseKey(key);
    if (parsed === undefined) continue;
    const found = jobs.get(parsed.job) ?? { parts: new Map(), versions: new Map() };
    jobs.set(parsed.job, found);
    found.parts.set(key.slice(key.lastIndexOf('/') + 1), { part: parsed.part, value });
    found.versions.set(key, version);
  }
  return jobs;
}

/** A promise of ours that fails is a bug: out of the promise, into the process. */
function rethrow(error: unknown): never {
  throw error;
}
