import { BusError, type BusMessage, type MovableBus } from '../io/bus.ts';
import type { Timer } from '../io/clock.ts';
import { randomWord } from '../io/random.ts';
import { cut, type MessageOf, type Outgoing, read, write } from '../protocol/envelope.ts';
import { Fault } from '../protocol/faults.ts';
import { chooseLeader, type Leadership } from '../protocol/leader-choice.ts';
import { LIMITS } from '../protocol/limits.ts';
import type { Offer } from '../protocol/offer.ts';
import { CALLS, EVENTS } from '../protocol/scheduler.ts';
import { topicOf } from '../protocol/topics.ts';
import { cutAccept } from './accept-message.ts';
import { DeclineBackOff } from './decline-back-off.ts';
import { type GuardedScheduler, guardScheduler } from './guarded-scheduler.ts';
import { readLeader } from './leader-document.ts';
import { changeOfInterest } from './offer-interest.ts';
import type { ClientRequest, Scheduler } from './scheduler.ts';
import type {
  DriverStatus,
  Filters,
  FrameworkTerms,
  OfferOperation,
  ReplyPart,
  ResourceRequest,
  SchedulerDriverOptions,
  ShownThing,
  TaskLaunch,
} from './scheduler-driver-options.ts';
import { type StoreEntry, StoreRequests } from './store-requests.ts';

/** Nobody waits for an acknowledgement: those of this long go out together, and so the master commits them. */
const ACKNOWLEDGE_MS = 50;
const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 10_000;
/** Longest that an end waits for the broker to take the last calls. */
const LEAVE_MS = 5_000;
/** Offers that came before SUBSCRIBED overtook them, or that are still open; older ones have timed out. */
const MOST_OFFERS = 20_000;

/** Makes a driver; {@link SchedulerDriver.start} connects it. */
export function createSchedulerDriver(options: SchedulerDriverOptions): SchedulerDriver {
  return new SchedulerDriver(options);
}

/**
 * Connects a {@link Scheduler} to the masters over a bus: registers it and keeps it registered, cuts calls to the
 * limits of a message, sends declines once per turn of the loop and acknowledgements twenty times a second
 * (Mesos: include/mesos/scheduler.hpp SchedulerDriver).
 */
export class SchedulerDriver {
  readonly name: string;
  readonly #options: SchedulerDriverOptions;
  readonly #prefix: string;
  readonly #store: StoreRequests;
  readonly #scheduler: GuardedScheduler;
  readonly #backOff = new DeclineBackOff();
  readonly #offers = new Map<string, Offer>();
  #status: DriverStatus = 'DRIVER_NOT_STARTED';
  #roles: readonly string[];
  #suppressed: readonly string[] = [];
  #terms: FrameworkTerms;
  #requests: readonly ResourceRequest[] = [];
  #registeredBefore = false;
  #subscribed = false;
  #leader: Leadership = { generation: 0, term: 0, leader: null };
  /** Offers that overtook the SUBSCRIBED of their session. */
  #early: Offer[] = [];
  #acknowledgements: { task: string; uuid: string }[] = [];
  readonly #declines = new Map<number, string[]>();
  #flush: Timer | undefined;
  #acknowledging: Timer | undefined;
  #retry: Timer | undefined;
  #retryMs = FIRST_RETRY_MS;
  #unsubscribe: (() => void)[] = [];
  #looking: Timer | undefined;
  /** Calls that the broker has not taken yet. */
  readonly #leaving = new Set<Promise<void>>();
  #ended: (status: DriverStatus) => void = () => {};
  readonly #end: Promise<DriverStatus>;

  constructor(options: SchedulerDriverOptions) {
    this.name = options.name;
    this.#options = options;
    this.#prefix = options.prefix ?? 'mesq';
    this.#roles = options.roles;
    this.#terms = options.terms ?? {};
    this.#end = new Promise((resolve) => {
      this.#ended = resolve;
    });
    this.#scheduler = guardScheduler(options.scheduler, (callback, error) => this.#callbackFailed(callback, error));
    this.#store = new StoreRequests(
      options.clock,
      () => this.#mint(),
      (message) => {
        if (this.#subscribed) this.#send(message);
      },
    );
  }

  get status(): DriverStatus {
    return this.#status;
  }

  /** Subscribes, and goes on trying until {@link stop}. */
  start(): DriverStatus {
    if (this.#status !== 'DRIVER_NOT_STARTED') return this.#status;
    this.#status = 'DRIVER_RUNNING';
    const { bus } = this.#options;
    const listen = (kind: 'event' | 'offers' | 'leader', handler: (message: BusMessage) => void): void => {
      const topic = topicOf(this.#prefix, kind === 'leader' ? { kind } : { kind, name: this.name });
      bus
        .subscribe(topic, 1, (message) => this.#running() && handler(message))
        .then(
          (remove) => {
            if (this.#running()) this.#unsubscribe.push(remove);
            else remove();
          },
          (error: unknown) => this.#busFailed(error),
        );
    };
    listen('event', (message) => this.#received(message));
    listen('offers', (message) => this.#received(message));
    listen('leader', (message) => this.#leaderSaid(message));
    bus.onConnected(() => this.#running() && this.#subscribe());
    bus.onDisconnected(() => this.#running() && this.#lost());
    return this.#status;
  }

  /**
   * Stops. The framework's tasks go on and it may come back under its name, unless `failover` is false: then the
   * master removes it and kills them (where none hears it, nothing is removed). Mesos's `stop()` removes it unless
   * told otherwise.
   */
  stop(failover = true): DriverStatus {
    if (this.#status !== 'DRIVER_RUNNING') return this.#status;
    this.#flushNow();
    this.#acknowledge();
    if (!failover) this.#call({ type: 'TEARDOWN' });
    return this.#finish('DRIVER_STOPPED');
  }

  /**
   * Ends at once: no callback is called any more, nothing more is acknowledged. The framework's tasks go on, and it may
   * come back under its name.
   */
  abort(): DriverStatus {
    return this.#status === 'DRIVER_RUNNING' ? this.#finish('DRIVER_ABORTED') : this.#status;
  }

  /** Resolves once the driver has stopped or was aborted, and its last calls have left; at once if it never started. */
  join(): Promise<DriverStatus> {
    return this.#status === 'DRIVER_NOT_STARTED' ? Promise.resolve(this.#status) : this.#end;
  }

  /** {@link start}, then {@link join}. */
  run(): Promise<DriverStatus> {
    this.start();
    return this.join();
  }

  /**
   * Asks {@link Scheduler.wantsOffers} again soon: for work that came or went outside of a callback. Those of one turn
   * of the loop are one question.
   */
  workChanged(): DriverStatus {
    if (this.#running() && this.#options.scheduler.wantsOffers !== undefined)
      this.#looking ??= this.#options.clock.after(0, () => this.#look());
    return this.#status;
  }

  /**
   * Spends offers of one agent and one role. What the operations leave is declined with `refuseMs` (default 5 s).
   * What cannot be sent (not registered, or over the size of one message) comes back as TASK_DROPPED and
   * OPERATION_DROPPED.
   */
  acceptOffers(offers: readonly string[], operations: readonly OfferOperation[], filters: Filters = {}): DriverStatus {
    if (!this.#running()) return this.#status;
    if (!this.#subscribed) {
      this.#dropped(operations, 'no master is connected');
      return this.#status;
    }
    for (const id of offers) {
      const offer = this.#offers.get(id);
      if (offer !== undefined) this.#backOff.accepted(offer);
      this.#offers.delete(id);
    }
    const { operations: fitting, rest } = cutAccept(operations);
    this.#send({
      type: 'ACCEPT',
      offers: [...offers],
      operations: fitting,
      ...(filters.refuseMs === undefined ? {} : { refuseMs: filters.refuseMs }),
    });
    this.#dropped(rest, `the operations of one accept are limited to ${LIMITS.partBytes} bytes`);
    return this.#status;
  }

  /** {@link acceptOffers} with one LAUNCH. */
  launchTasks(offers: readonly string[], tasks: readonly TaskLaunch[], filters: Filters = {}): DriverStatus {
    return this.acceptOffers(offers, [{ type: 'LAUNCH', tasks }], filters);
  }

  declineOffer(offer: string, filters: Filters = {}): DriverStatus {
    if (!this.#running() || !this.#subscribed) return this.#status;
    const known = this.#offers.get(offer);
    this.#offers.delete(offer);
    const refuseMs = filters.refuseMs ?? (known === undefined ? -1 : this.#backOff.declined(known));
    const together = this.#declines.get(refuseMs);
    if (together === undefined) this.#declines.set(refuseMs, [offer]);
    else together.push(offer);
    this.#flushSoon();
    return this.#status;
  }

  /** Clears the filters of `roles` (default: all) and takes offers under them again. */
  reviveOffers(roles: readonly string[] = []): DriverStatus {
    if (!this.#running()) return this.#status;
    this.#backOff.revived();
    this.#suppressed = roles.length === 0 ? [] : this.#suppressed.filter((role) => !roles.includes(role));
    // Declines of this turn would set the filters again that the revive clears.
    this.#flushNow();
    return this.#call({ type: 'REVIVE', roles: [...roles] });
  }

  /**
   * Says what waits, so that `mesq why FRAMEWORK` can tell people why; it replaces what was said before, and is said again
   * at each registration. At most 100, what is over one message is left out. The allocator does not look at it:
   * `terms.wishes` have an effect.
   */
  requestResources(requests: readonly ResourceRequest[]): DriverStatus {
    const [first = []] = cut(requests, LIMITS.partBytes, LIMITS.operations);
    this.#requests = first;
    return this.#request();
  }

  #request(): DriverStatus {
    const requests = this.#requests as unknown as Extract<Outgoing<typeof CALLS>, { type: 'REQUEST' }>['requests'];
    return this.#call({ type: 'REQUEST', requests });
  }

  /** No more offers under `roles` (default: all) until revived. */
  suppressOffers(roles: readonly string[] = []): DriverStatus {
    if (!this.#running()) return this.#status;
    this.#suppressed = roles.length === 0 ? this.#roles : [...new Set([...this.#suppressed, ...roles])];
    return this.#call({ type: 'SUPPRESS', roles: [...roles] });
  }

  /** Replaces the roles, `suppressed` being those that take no offers for now, and the terms where they are given. */
  updateFramework(
    roles: readonly string[],
    suppressed: readonly string[] = [],
    terms: FrameworkTerms = this.#terms,
  ): DriverStatus {
    this.#roles = roles;
    this.#suppressed = suppressed;
    this.#terms = terms;
    this.#call({ type: 'UPDATE_FRAMEWORK', roles: [...roles], suppressed: [...suppressed], ...terms });
    return this.workChanged();
  }

  killTask(task: string, graceMs?: number): DriverStatus {
    return this.killTasks([{ task, ...(graceMs === undefined ? {} : { graceMs }) }]);
  }

  /** At most once each: a kill that may have been lost shows in the reconciliation, and is asked for again. */
  killTasks(tasks: readonly { task: string; graceMs?: number }[]): DriverStatus {
    if (tasks.length === 0) return this.#status;
    for (const part of cut(tasks, LIMITS.partBytes, LIMITS.tasksPerMessage)) this.#call({ type: 'KILL', tasks: part });
    return this.#status;
  }

  /** Says something to an executor; at most once, and lost where it does not run. At most 8,192 characters. */
  sendFrameworkMessage(executor: string, agent: string, data: string): DriverStatus {
    return this.#call({ type: 'MESSAGE', agent, executor, data });
  }

  /** Ends an executor and its tasks; at most once: `executorLost` says that it has ended. */
  shutdownExecutor(executor: string, agent: string): DriverStatus {
    return this.#call({ type: 'SHUTDOWN', agent, executor });
  }

  /** Only with `explicitAcknowledgements`: call it once the status' effect is durable. The master repeats it until then. */
  acknowledgeStatusUpdate(status: {
    readonly task: string;
    readonly uuid: string;
    readonly acknowledge: boolean;
  }): DriverStatus {
    if (!this.#running() || !status.acknowledge) return this.#status;
    this.#acknowledgements.push({ task: status.task, uuid: status.uuid });
    this.#acknowledging ??= this.#options.clock.after(ACKNOWLEDGE_MS, () => this.#acknowledge());
    return this.#status;
  }

  /** As {@link acknowledgeStatusUpdate}, of an operation on resources. */
  acknowledgeOperationStatus({
    operation,
    uuid,
    acknowledge,
  }: {
    readonly operation: string;
    readonly uuid: string;
    readonly acknowledge: boolean;
  }): DriverStatus {
    if (!acknowledge) return this.#status;
    return this.#call({ type: 'ACKNOWLEDGE_OPERATION_STATUS', updates: [{ operation, uuid }] });
  }

  /** Asks what became of these operations; each is answered. None named: all that are not acknowledged. `agent`: where it was to be. */
  reconcileOperations(operations: readonly { operation: string; agent?: string }[] = []): DriverStatus {
    for (const part of cut(operations, LIMITS.partBytes, LIMITS.tasksPerMessage))
      this.#call({ type: 'RECONCILE_OPERATIONS', operations: part });
    return this.#status;
  }

  /** Says that this framework's tasks will have left the agents when they become unavailable. Advice. */
  acceptInverseOffers(offers: readonly string[]): DriverStatus {
    return this.#answerInverse('ACCEPT_INVERSE_OFFERS', offers);
  }

  /** Says that they will not, which the operator is shown. */
  declineInverseOffers(offers: readonly string[]): DriverStatus {
    return this.#answerInverse('DECLINE_INVERSE_OFFERS', offers);
  }

  #answerInverse(type: 'ACCEPT_INVERSE_OFFERS' | 'DECLINE_INVERSE_OFFERS', offers: readonly string[]): DriverStatus {
    for (const part of cut(offers, LIMITS.partBytes, LIMITS.operations))
      if (part.length > 0) this.#call({ type, offers: part });
    return this.#status;
  }

  /** Asks for the state of these tasks; each is answered. None named: every task of this framework is told. */
  reconcileTasks(tasks: readonly { task: string; attempt?: number; agent?: string }[] = []): DriverStatus {
    for (const part of cut(tasks, LIMITS.partBytes, LIMITS.tasksPerMessage))
      this.#call({ type: 'RECONCILE', tasks: part });
    return this.#status;
  }

  /**
   * Writes a value of the framework's store (at most 32 kB) if its version is still `version` (0: there is none yet);
   * null removes it. Resolves with the new version, or a fault: CONFLICT where somebody else wrote it, LIMIT,
   * TIMED_OUT after {@link stop}. Sent until it is answered.
   */
  store(key: string, value: string | null, version: number): Promise<number | Fault> {
    if (!this.#running()) return Promise.resolve(new Fault('NOT_REGISTERED', 'the driver does not run'));
    return this.#store.store(key, value, version);
  }

  /** Every entry of the store whose key begins with `prefix`. Sent until it is answered. */
  load(prefix = ''): Promise<StoreEntry[] | Fault> {
    if (!this.#running()) return Promise.resolve(new Fault('NOT_REGISTERED', 'the driver does not run'));
    return this.#store.load(prefix);
  }

  /** Answers a client's request, with a fault or one part. A reply may be lost: the client asks again. */
  reply(to: Pick<ClientRequest, 'request' | 'session' | 'principal'>, answer: ReplyPart | Fault): DriverStatus {
    const address = { type: 'REPLY', request: to.request, client: to.principal.name, session: to.session } as const;
    if (answer instanceof Fault) {
      const { code, message, hint } = answer;
      return this.#call({ ...address, part: 0, last: true, fault: { code, message: message.slice(0, 2_000), hint } });
    }
    return this.#call({ ...address, part: answer.part ?? 0, last: answer.last ?? true, body: answer.body });
  }

  /**
   * Shows small things to people under the retained topics `state/jobs/…`; `view` null removes one. At most once: a
   * framework shows everything again when it is registered again.
   */
  show(things: readonly ShownThing[]): DriverStatus {
    for (const part of cut(things, LIMITS.partBytes, LIMITS.operations))
      if (part.length > 0) this.#call({ type: 'SHOW', things: part });
    return this.#status;
  }

  #running(): boolean {
    return this.#status === 'DRIVER_RUNNING';
  }

  #mint(): string {
    return randomWord(this.#options.random, 16);
  }

  #call(message: Outgoing<typeof CALLS>): DriverStatus {
    // Not registered: the call would be refused, and whoever registers again has to say it again anyway.
    if (this.#running() && this.#subscribed) this.#send(message);
    return this.#status;
  }

  #send(message: Outgoing<typeof CALLS>): void {
    const { bus, encoding } = this.#options;
    const topic = topicOf(this.#prefix, { kind: 'call', name: this.name });
    const sent = bus
      .publish(topic, write(CALLS, message, encoding), { qos: 1 })
      .catch((error: unknown) => this.#busFailed(error))
      .finally(() => this.#leaving.delete(sent));
    this.#leaving.add(sent);
  }

  #finish(status: 'DRIVER_STOPPED' | 'DRIVER_ABORTED'): DriverStatus {
    this.#status = status;
    this.#subscribed = false;
    for (const timer of [this.#flush, this.#acknowledging, this.#retry, this.#looking]) timer?.cancel();
    this.#store.stop();
    for (const remove of this.#unsubscribe) remove();
    this.#unsubscribe = [];
    let late: Timer | undefined;
    const tooLate = new Promise<void>((resolve) => {
      late = this.#options.clock.after(LEAVE_MS, resolve);
    });
    Promise.race([Promise.all(this.#leaving), tooLate])
      .then(() => late?.cancel())
      .then(() => this.#options.onEnded?.())
      .catch((error: unknown) => this.#options.log?.error('driver-end-failed', { message: String(error) }))
      .then(() => this.#ended(status), rethrow);
    return status;
  }

  /** Suppresses roles without work, revives those with some. */
  #look(): void {
    this.#looking = undefined;
    if (!this.#running()) return;
    const { suppress, revive } = changeOfInterest(this.#roles, this.#suppressed, (role) => this.#wants(role));
    if (suppress.length > 0) this.suppressOffers(suppress);
    if (revive.length > 0) this.reviveOffers(revive);
  }

  #wants(role: string): boolean {
    try {
      return this.#options.scheduler.wantsOffers?.(role) ?? true;
    } catch (error) {
      this.#callbackFailed('wantsOffers', error);
      return true;
    }
  }

  #busFailed(error: unknown): void {
    // A lost connection mends itself: registering again brings a reconciliation.
    if (error instanceof BusError && (error.code === 'DISCONNECTED' || error.code === 'CLOSED')) return;
    const message = error instanceof Error ? error.message : String(error);
    this.#options.log?.error('scheduler-bus-failed', { framework: this.name, message });
    if (!this.#running() || !(error instanceof BusError)) return;
    const code =
      error.code === 'NOT_ALLOWED' ? 'NOT_ALLOWED' : error.code === 'TOO_LARGE' ? 'TOO_LARGE' : 'UNREACHABLE';
    this.#scheduler.error(this, new Fault(code, message));
  }

  #callbackFailed(callback: keyof Scheduler, error: unknown): void {
    const { clock, onCallbackFailed } = this.#options;
    if (onCallbackFailed !== undefined) onCallbackFailed(callback, error);
    else
      clock.after(0, () => {
        throw error;
      });
  }

  #subscribe(): void {
    this.#lost();
    this.#early = [];
    this.#retryMs = FIRST_RETRY_MS;
    this.#sendSubscribe();
  }

  #sendSubscribe(): void {
    this.#retry?.cancel();
    if (!this.#options.bus.connected) return;
    if (this.#options.scheduler.wantsOffers !== undefined)
      this.#suppressed = this.#roles.filter((role) => !this.#wants(role));
    this.#send({
      type: 'SUBSCRIBE',
      roles: [...this.#roles],
      suppressed: this.#suppressed.filter((role) => this.#roles.includes(role)),
      ...this.#terms,
    });
    const waitMs = Math.round(this.#retryMs * (0.5 + this.#options.random.next() / 2));
    this.#retryMs = Math.min(LAST_RETRY_MS, this.#retryMs * 2);
    this.#retry = this.#options.clock.after(waitMs, () => {
      if (this.#running() && !this.#subscribed) this.#sendSubscribe();
    });
  }

  #lost(): void {
    this.#retry?.cancel();
    this.#offers.clear();
    this.#declines.clear();
    // The master repeats what was not acknowledged.
    this.#acknowledgements = [];
    if (!this.#subscribed) return;
    this.#subscribed = false;
    this.#scheduler.disconnected(this);
  }

  #leaderSaid({ payload }: BusMessage): void {
    const document = readLeader(payload);
    if (document === undefined) return;
    const { bus, urls = [], log } = this.#options;
    if ('moveTo' in bus) {
      const choice = chooseLeader(this.#leader, document, bus.url, urls);
      if (choice.kind === 'move') {
        log?.info('scheduler-moves', { framework: this.name, url: choice.url });
        return this.#move(bus, choice.url);
      }
    }
    const { generation, term, leader } = document;
    const known = this.#leader;
    if (generation < known.generation || (generation === known.generation && term < known.term)) return;
    const newer = generation > known.generation || term > known.term;
    this.#leader = { generation, term, leader };
    if (newer && this.#subscribed) this.#subscribe();
    // Somebody leads again: no need to sit out a long back-off. A call that was just sent is left to be answered.
    else if (!this.#subscribed && leader !== null && this.#retryMs > 2 * FIRST_RETRY_MS) this.#subscribe();
  }

  #move(bus: MovableBus, url: string): void {
    try {
      bus.moveTo(url);
    } catch (error) {
      this.#busFailed(error);
    }
  }

  #received({ payload }: BusMessage): void {
    if (payload.length === 0) return;
    const received = read(EVENTS, payload);
    if (received instanceof Fault) {
      this.#options.log?.warn('event-unreadable', {
        framework: this.name,
        code: received.code,
        message: received.message,
      });
      return;
    }
    this.#event(received.message);
    this.workChanged();
  }

  #event(event: MessageOf<typeof EVENTS>): void {
    const scheduler = this.#scheduler;
    switch (event.type) {
      case 'SUBSCRIBED':
        this.#taken(event);
        break;
      case 'OFFERS':
        if (this.#subscribed) this.#offered(event.offers);
        else if (this.#early.length < MOST_OFFERS) this.#early.push(...event.offers);
        break;
      case 'RESCIND':
        this.#early = this.#early.filter(({ offer }) => !event.offers.includes(offer));
        for (const offer of event.offers) {
          if (this.#offers.delete(offer)) scheduler.offerRescinded(this, offer);
        }
        break;
      case 'UPDATE':
        for (const status of event.updates) {
          if (scheduler.statusUpdate(this, status) && this.#options.explicitAcknowledgements !== true)
            this.acknowledgeStatusUpdate(status);
        }
        break;
      case 'UPDATE_OPERATION_STATUS':
        for (const status of event.updates) {
          if (scheduler.operationStatusUpdate(this, status) && this.#options.explicitAcknowledgements !== true)
            this.acknowledgeOperationStatus(status);
        }
        break;
      case 'INVERSE_OFFERS':
        scheduler.inverseOffers(this, event.offers);
        break;
      case 'RESCIND_INVERSE_OFFERS':
        for (const offer of event.offers) scheduler.inverseOfferRescinded(this, offer);
        break;
      case 'FAILURE':
        if (event.state !== 'executor-ended') scheduler.agentLost(this, event.agent, event.state);
        else scheduler.executorLost(this, event.executor ?? '', event.agent, event.status ?? null);
        break;
      case 'MESSAGE':
        scheduler.frameworkMessage(this, event.executor, event.agent, event.data);
        break;
      case 'ERROR':
        if (event.fault.code === 'NOT_REGISTERED') {
          if (this.#subscribed) this.#subscribe();
        } else scheduler.error(this, event.fault);
        break;
      case 'STORED':
        this.#store.stored(event.request, event.version, event.fault);
        break;
      case 'LOADED':
        this.#store.loaded(event.request, event.part, event.last, event.entries);
        break;
      case 'REQUEST':
        if (this.#options.scheduler.request === undefined)
          this.reply(event, new Fault('NOT_FOUND', `${this.name} answers no requests`));
        else scheduler.request(this, event);
        break;
    }
  }

  #taken(registration: { framework: string; cluster: string; term: number; offerMs: number }): void {
    // A leader of an older term that has not heard yet, or the answer to a SUBSCRIBE that was sent twice.
    if (registration.term < this.#leader.term || this.#subscribed) return;
    this.#leader = { ...this.#leader, term: registration.term };
    this.#subscribed = true;
    this.#retry?.cancel();
    const { framework, cluster, term, offerMs } = registration;
    const again = this.#registeredBefore;
    this.#registeredBefore = true;
    const scheduler = this.#scheduler;
    this.#store.sendAgain();
    if (this.#requests.length > 0) this.#request();
    if (again) scheduler.reregistered(this, { framework, cluster, term, offerMs });
    else scheduler.registered(this, { framework, cluster, term, offerMs });
    const early = this.#early;
    this.#early = [];
    if (early.length > 0) this.#offered(early);
  }

  #offered(offers: readonly Offer[]): void {
    if (this.#offers.size > MOST_OFFERS) this.#offers.clear();
    // An offer that comes twice is one offer.
    const fresh = offers.filter(({ offer }) => !this.#offers.has(offer));
    for (const offer of fresh) this.#offers.set(offer.offer, offer);
    const wanted = fresh.filter(({ offer, role }) => {
      if (this.#wants(role)) return true;
      this.declineOffer(offer);
      return false;
    });
    if (wanted.length === 0 || this.#scheduler.resourceOffers(this, wanted)) return;
    for (const { offer } of wanted) if (this.#offers.has(offer)) this.declineOffer(offer);
  }

  /** Tells the scheduler what the master would have said, in a later turn as the master would. */
  #dropped(operations: readonly OfferOperation[], message: string): void {
    if (operations.length === 0) return;
    this.#options.clock.after(0, () => {
      for (const operation of operations) {
        if ('tasks' in operation) for (const task of operation.tasks) this.#taskDropped(task, message);
        else if (operation.id !== undefined && this.#running()) {
          const about = { operation: operation.id, uuid: this.#mint(), message, acknowledge: false };
          this.#scheduler.operationStatusUpdate(this, { ...about, state: 'OPERATION_DROPPED' });
        }
      }
      this.workChanged();
    });
  }

  #taskDropped({ task, attempt }: TaskLaunch, message: string): void {
    if (!this.#running()) return;
    this.#scheduler.statusUpdate(this, {
      framework: this.name,
      task,
      attempt,
      restart: 0,
      uuid: this.#mint(),
      sequence: 0,
      state: 'TASK_DROPPED',
      reason: 'INVALID_OFFERS',
      message,
      acknowledge: false,
    });
  }

  #flushSoon(): void {
    this.#flush ??= this.#options.clock.after(0, () => this.#flushNow());
  }

  #acknowledge(): void {
    this.#acknowledging?.cancel();
    this.#acknowledging = undefined;
    const acknowledgements = this.#acknowledgements;
    this.#acknowledgements = [];
    for (const updates of cut(acknowledgements, LIMITS.partBytes, LIMITS.tasksPerMessage))
      if (updates.length > 0) this.#call({ type: 'ACKNOWLEDGE', updates });
  }

  #flushNow(): void {
    this.#flush?.cancel();
    this.#flush = undefined;
    for (const [refuseMs, offers] of this.#declines) {
      for (const part of cut(offers, LIMITS.partBytes, LIMITS.operations)) {
        this.#call({ type: 'DECLINE', offers: part, ...(refuseMs < 0 ? {} : { refuseMs }) });
      }
    }
    this.#declines.clear();
  }
}

function rethrow(error: unknown): never {
  throw error;
}
