import { BusError, type BusMessage } from '../io/bus.ts';
import { randomWord } from '../io/random.ts';
import { cut, type MessageOf, read } from '../protocol/envelope.ts';
import { Fault } from '../protocol/faults.ts';
import { LIMITS } from '../protocol/limits.ts';
import type { Offer } from '../protocol/offer.ts';
import { EVENTS } from '../protocol/scheduler.ts';
import { topicOf } from '../protocol/topics.ts';
import { Acknowledgements } from './acknowledgements.ts';
import { type Call, CallSender } from './call-sender.ts';
import { type GuardedScheduler, guardScheduler } from './guarded-scheduler.ts';
import { OpenOffers } from './open-offers.ts';
import { RoleInterest } from './role-interest.ts';
import type { Scheduler } from './scheduler.ts';
import type { SchedulerDriver } from './scheduler-driver.ts';
import type {
  DriverStatus,
  OfferOperation,
  ResourceRequest,
  SchedulerDriverOptions,
  TaskLaunch,
} from './scheduler-driver-options.ts';
import { StoreRequests } from './store-requests.ts';
import { Subscription } from './subscription.ts';
import { Teardown } from './teardown.ts';

type Event = MessageOf<typeof EVENTS>;
type Requests = Extract<Call, { type: 'REQUEST' }>['requests'];

/** What a {@link SchedulerDriver} lives on: hears the events, calls the scheduler back, and lets calls out while it may. */
export class SchedulerSession {
  readonly offers: OpenOffers;
  readonly acknowledgements: Acknowledgements;
  readonly interest: RoleInterest;
  readonly store: StoreRequests;
  readonly #driver: SchedulerDriver;
  readonly #options: SchedulerDriverOptions;
  readonly #scheduler: GuardedScheduler;
  readonly #subscription: Subscription;
  readonly #sender: CallSender;
  #status: DriverStatus = 'DRIVER_NOT_STARTED';
  #registeredBefore = false;
  /** What the framework says that waits: for people. */
  #requests: Requests = [];
  #unsubscribe: (() => void)[] = [];
  /** Under way after the end, until it is answered. */
  #teardown: Teardown | undefined;
  #ended: (status: DriverStatus) => void = () => {};
  readonly #end: Promise<DriverStatus>;

  constructor(driver: SchedulerDriver, options: SchedulerDriverOptions) {
    this.#driver = driver;
    this.#options = options;
    const { clock, roles, terms = {}, scheduler } = options;
    this.#end = new Promise((resolve) => {
      this.#ended = resolve;
    });
    this.#scheduler = guardScheduler(scheduler, (callback, error) => this.#callbackFailed(callback, error));
    this.#sender = new CallSender(options, (error) => this.#busFailed(error));
    const call = (message: Call) => this.call(message);
    this.offers = new OpenOffers(clock, call);
    this.acknowledgements = new Acknowledgements(clock, call);
    this.store = new StoreRequests(clock, () => this.#mint(), call);
    this.interest = new RoleInterest(roles, terms, {
      clock,
      wants: scheduler.wantsOffers === undefined ? undefined : (role) => this.#wants(role),
      suppress: (idle) => driver.suppressOffers(idle),
      revive: (busy) => driver.reviveOffers(busy),
    });
    this.#subscription = new Subscription(options, {
      subscribe: () => this.#sender.send(this.interest.subscribeCall()),
      over: (stood) => this.#over(stood),
      failed: (error) => this.#busFailed(error),
    });
  }

  get status(): DriverStatus {
    return this.#status;
  }

  get running(): boolean {
    return this.#status === 'DRIVER_RUNNING';
  }

  /** Running, and a master knows it. */
  get subscribed(): boolean {
    return this.running && this.#subscription.stands;
  }

  start(): void {
    this.#status = 'DRIVER_RUNNING';
    const { bus } = this.#options;
    this.#listen('event', (payload) => this.#received(payload));
    this.#listen('offers', (payload) => this.#received(payload));
    this.#listen('leader', (payload) => this.#subscription.leaderSaid(payload));
    bus.onConnected(() => {
      this.#subscription.renew();
      this.#teardown?.connected();
    });
    bus.onDisconnected(() => this.#subscription.disconnected());
  }

  /** Ends it; {@link join} resolves once the last calls have left, and the TEARDOWN is answered where `remove` asks for one. */
  finish(status: 'DRIVER_STOPPED' | 'DRIVER_ABORTED', remove = false): void {
    this.#status = status;
    this.#subscription.end();
    this.offers.clear();
    this.acknowledgements.clear();
    this.interest.stop();
    this.store.stop();
    const { clock, bus, log } = this.#options;
    if (remove) this.#teardown = new Teardown(clock, () => bus.connected && this.#sender.send({ type: 'TEARDOWN' }));
    Promise.resolve(this.#teardown?.answered)
      .then((answered) => {
        if (answered === false) log?.error('teardown-unanswered', { framework: this.#driver.name });
        this.#deafen();
        return this.#sender.left();
      })
      .then(() => this.#options.onEnded?.())
      .catch((error: unknown) => log?.error('driver-end-failed', { message: String(error) }))
      .then(() => this.#ended(status), rethrow);
  }

  join(): Promise<DriverStatus> {
    return this.#end;
  }

  /** Not registered: the call would be refused, and whoever registers again has to say it again anyway. */
  call(message: Call): void {
    if (this.subscribed) this.#sender.send(message);
  }

  /** Says what waits, now and at each registration: what fits into one message. */
  request(requests: readonly ResourceRequest[]): void {
    const [first = []] = cut(requests, LIMITS.partBytes, LIMITS.operations);
    // The schema's input type has no read-only arrays; nobody writes to these.
    this.#requests = first as unknown as Requests;
    this.call({ type: 'REQUEST', requests: this.#requests });
  }

  /** Tells the scheduler what the master would have said, in a later turn as the master would. */
  dropped(operations: readonly OfferOperation[], message: string): void {
    if (operations.length === 0) return;
    this.#options.clock.after(0, () => {
      for (const operation of operations) {
        if ('tasks' in operation) for (const task of operation.tasks) this.#taskDropped(task, message);
        else if (operation.id !== undefined && this.running) {
          const about = { operation: operation.id, uuid: this.#mint(), message, acknowledge: false };
          this.#scheduler.operationStatusUpdate(this.#driver, { ...about, state: 'OPERATION_DROPPED' });
        }
      }
      this.#driver.workChanged();
    });
  }

  #taskDropped({ task, attempt }: TaskLaunch, message: string): void {
    if (!this.running) return;
    this.#scheduler.statusUpdate(this.#driver, {
      framework: this.#driver.name,
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

  #mint(): string {
    return randomWord(this.#options.random, 16);
  }

  get #listens(): boolean {
    return this.running || this.#teardown !== undefined;
  }

  #deafen(): void {
    for (const stop of this.#unsubscribe) stop();
    this.#unsubscribe = [];
    this.#teardown = undefined;
  }

  #listen(kind: 'event' | 'offers' | 'leader', handler: (payload: Uint8Array) => void): void {
    const { bus, name, prefix = 'mesq' } = this.#options;
    const topic = topicOf(prefix, kind === 'leader' ? { kind } : { kind, name });
    bus
      .subscribe(topic, 1, ({ payload }: BusMessage) => this.#listens && handler(payload))
      .then(
        (remove) => {
          if (this.#listens) this.#unsubscribe.push(remove);
          else remove();
        },
        (error: unknown) => this.#busFailed(error),
      );
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
    this.#options.log?.error('scheduler-bus-failed', { framework: this.#driver.name, message });
    if (!this.running || !(error instanceof BusError)) return;
    const code =
      error.code === 'NOT_ALLOWED' ? 'NOT_ALLOWED' : error.code === 'TOO_LARGE' ? 'TOO_LARGE' : 'UNREACHABLE';
    this.#scheduler.error(this.#driver, new Fault(code, message));
  }

  #callbackFailed(callback: keyof Scheduler, error: unknown): void {
    const { clock, onCallbackFailed } = this.#options;
    if (onCallbackFailed !== undefined) onCallbackFailed(callback, error);
    else
      clock.after(0, () => {
        throw error;
      });
  }

  #over(stood: boolean): void {
    this.offers.clear();
    this.acknowledgements.clear();
    if (stood) this.#scheduler.disconnected(this.#driver);
  }

  #received(payload: Uint8Array): void {
    if (payload.length === 0) return;
    const received = read(EVENTS, payload);
    if (received instanceof Fault) {
      const { code, message } = received;
      this.#options.log?.warn('event-unreadable', { framework: this.#driver.name, code, message });
      return;
    }
    const { message } = received;
    if (this.running) {
      this.#event(message);
      this.#driver.workChanged();
    } else if (message.type === 'ERROR' && message.fault.code === 'NOT_REGISTERED') this.#teardown?.answer();
  }

  #event(event: Event): void {
    const scheduler = this.#scheduler;
    const driver = this.#driver;
    const acknowledges = this.#options.explicitAcknowledgements !== true;
    switch (event.type) {
      case 'SUBSCRIBED':
        return this.#taken(event);
      case 'OFFERS':
        return this.subscribed ? this.#offered(event.offers) : this.offers.hold(event.offers);
      case 'RESCIND':
        for (const offer of this.offers.rescind(event.offers)) scheduler.offerRescinded(driver, offer);
        return;
      case 'UPDATE':
        for (const status of event.updates)
          if (scheduler.statusUpdate(driver, status) && acknowledges) driver.acknowledgeStatusUpdate(status);
        return;
      case 'UPDATE_OPERATION_STATUS':
        for (const status of event.updates)
          if (scheduler.operationStatusUpdate(driver, status) && acknowledges)
            driver.acknowledgeOperationStatus(status);
        return;
      case 'INVERSE_OFFERS':
        scheduler.inverseOffers(driver, event.offers);
        return;
      case 'RESCIND_INVERSE_OFFERS':
        for (const offer of event.offers) scheduler.inverseOfferRescinded(driver, offer);
        return;
      case 'FAILURE':
        if (event.state !== 'executor-ended') scheduler.agentLost(driver, event.agent, event.state);
        else scheduler.executorLost(driver, event.executor ?? '', event.agent, event.status ?? null);
        return;
      case 'MESSAGE':
        scheduler.frameworkMessage(driver, event.executor, event.agent, event.data);
        return;
      case 'ERROR':
        if (event.fault.code !== 'NOT_REGISTERED') scheduler.error(driver, event.fault);
        else if (this.subscribed) this.#subscription.renew();
        return;
      case 'STORED':
        return this.store.stored(event.request, event.version, event.fault);
      case 'LOADED':
        return this.store.loaded(event.request, event.part, event.last, event.entries);
      case 'REQUEST':
        if (this.#options.scheduler.request === undefined)
          driver.reply(event, new Fault('NOT_FOUND', `${driver.name} answers no requests`));
        else scheduler.request(driver, event);
    }
  }

  #taken({ framework, cluster, generation, term, offerMs }: Extract<Event, { type: 'SUBSCRIBED' }>): void {
    if (!this.#subscription.taken(term)) return;
    const again = this.#registeredBefore;
    this.#registeredBefore = true;
    this.store.sendAgain();
    if (this.#requests.length > 0) this.call({ type: 'REQUEST', requests: this.#requests });
    const registration = { framework, cluster, generation, term, offerMs };
    if (again) this.#scheduler.reregistered(this.#driver, registration);
    else this.#scheduler.registered(this.#driver, registration);
    const early = this.offers.takeEarly();
    if (early.length > 0) this.#offered(early);
  }

  #offered(offers: readonly Offer[]): void {
    const wanted = this.offers.add(offers).filter(({ offer, role }) => {
      if (this.interest.wants(role)) return true;
      this.#driver.declineOffer(offer);
      return false;
    });
    if (wanted.length === 0 || this.#scheduler.resourceOffers(this.#driver, wanted)) return;
    for (const { offer } of wanted) if (this.offers.has(offer)) this.#driver.declineOffer(offer);
  }
}

function rethrow(error: unknown): never {
  throw error;
}
