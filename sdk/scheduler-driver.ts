import { cut } from '../protocol/envelope.ts';
import { Fault } from '../protocol/faults.ts';
import { LIMITS } from '../protocol/limits.ts';
import { cutAccept } from './accept-message.ts';
import type { Call } from './call-sender.ts';
import type { ClientRequest } from './scheduler.ts';
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
import { SchedulerSession } from './scheduler-session.ts';
import type { StoreEntry } from './store-requests.ts';

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
  readonly #session: SchedulerSession;

  constructor(options: SchedulerDriverOptions) {
    this.name = options.name;
    this.#session = new SchedulerSession(this, options);
  }

  get status(): DriverStatus {
    return this.#session.status;
  }

  /** Subscribes, and goes on trying until {@link stop}. */
  start(): DriverStatus {
    if (this.status === 'DRIVER_NOT_STARTED') this.#session.start();
    return this.status;
  }

  /**
   * Stops. The framework's tasks go on and it may come back under its name, unless `failover` is false: then the
   * master removes it and kills them, asked until it says that it has, for 30 s at most (log `teardown-unanswered`).
   * No callback is called any more; {@link join} resolves when all is done. Mesos's `stop()` removes it unless told
   * otherwise.
   */
  stop(failover = true): DriverStatus {
    if (!this.#session.running) return this.status;
    this.#session.offers.flush();
    this.#session.acknowledgements.flush();
    this.#session.finish('DRIVER_STOPPED', !failover);
    return this.status;
  }

  /**
   * Ends at once: no callback is called any more, nothing more is acknowledged. The framework's tasks go on, and it may
   * come back under its name.
   */
  abort(): DriverStatus {
    if (this.#session.running) this.#session.finish('DRIVER_ABORTED');
    return this.status;
  }

  /** Resolves once the driver has stopped or was aborted, and its last calls have left or were answered; at once if it never started. */
  join(): Promise<DriverStatus> {
    return this.status === 'DRIVER_NOT_STARTED' ? Promise.resolve(this.status) : this.#session.join();
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
    if (this.#session.running) this.#session.interest.lookSoon();
    return this.status;
  }

  /**
   * Spends offers of one agent and one role. What the operations leave is declined with `refuseMs` (default 5 s).
   * What cannot be sent (not registered, or over the size of one message) comes back as TASK_DROPPED and
   * OPERATION_DROPPED.
   */
  acceptOffers(offers: readonly string[], operations: readonly OfferOperation[], filters: Filters = {}): DriverStatus {
    if (!this.#session.running) return this.status;
    if (!this.#session.subscribed) {
      this.#session.dropped(operations, 'no master is connected');
      return this.status;
    }
    this.#session.offers.accept(offers);
    const { operations: fitting, rest } = cutAccept(operations);
    this.#call({
      type: 'ACCEPT',
      offers: [...offers],
      operations: fitting,
      ...(filters.refuseMs === undefined ? {} : { refuseMs: filters.refuseMs }),
    });
    this.#session.dropped(rest, `the operations of one accept are limited to ${LIMITS.partBytes} bytes`);
    return this.status;
  }

  /** {@link acceptOffers} with one LAUNCH. */
  launchTasks(offers: readonly string[], tasks: readonly TaskLaunch[], filters: Filters = {}): DriverStatus {
    return this.acceptOffers(offers, [{ type: 'LAUNCH', tasks }], filters);
  }

  declineOffer(offer: string, filters: Filters = {}): DriverStatus {
    if (this.#session.subscribed) this.#session.offers.decline(offer, filters.refuseMs);
    return this.status;
  }

  /** Clears the filters of `roles` (default: all) and takes offers under them again. */
  reviveOffers(roles: readonly string[] = []): DriverStatus {
    if (!this.#session.running) return this.status;
    this.#session.interest.revived(roles);
    this.#session.offers.revive();
    return this.#call({ type: 'REVIVE', roles: [...roles] });
  }

  /**
   * Says what waits, so that `mesq why FRAMEWORK` can tell people why; it replaces what was said before, and is said again
   * at each registration. At most 100, what is over one message is left out. The allocator does not look at it:
   * `terms.wishes` have an effect.
   */
  requestResources(requests: readonly ResourceRequest[]): DriverStatus {
    this.#session.request(requests);
    return this.status;
  }

  /** No more offers under `roles` (default: all) until revived. */
  suppressOffers(roles: readonly string[] = []): DriverStatus {
    if (!this.#session.running) return this.status;
    this.#session.interest.suppressed(roles);
    return this.#call({ type: 'SUPPRESS', roles: [...roles] });
  }

  /** Replaces the roles, `suppressed` being those that take no offers for now, and the terms where they are given. */
  updateFramework(
    roles: readonly string[],
    suppressed: readonly string[] = [],
    terms: FrameworkTerms = this.#session.interest.terms,
  ): DriverStatus {
    this.#session.interest.update(roles, suppressed, terms);
    this.#call({ type: 'UPDATE_FRAMEWORK', roles: [...roles], suppressed: [...suppressed], ...terms });
    return this.workChanged();
  }

  killTask(task: string, graceMs?: number): DriverStatus {
    return this.killTasks([{ task, ...(graceMs === undefined ? {} : { graceMs }) }]);
  }

  /**
   * At most once each: a kill that may have been lost shows in the reconciliation, and is asked for again. `attempt`:
   * that one alone, where an older one runs beside it.
   */
  killTasks(tasks: readonly { task: string; attempt?: number; graceMs?: number }[]): DriverStatus {
    if (tasks.length === 0) return this.status;
    for (const part of cut(tasks, LIMITS.partBytes, LIMITS.tasksPerMessage)) this.#call({ type: 'KILL', tasks: part });
    return this.status;
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
    if (this.#session.running && status.acknowledge) this.#session.acknowledgements.add(status.task, status.uuid);
    return this.status;
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
    if (!acknowledge) return this.status;
    return this.#call({ type: 'ACKNOWLEDGE_OPERATION_STATUS', updates: [{ operation, uuid }] });
  }

  /** Asks what became of these operations; each is answered. None named: all that are not acknowledged. `agent`: where it was to be. */
  reconcileOperations(operations: readonly { operation: string; agent?: string }[] = []): DriverStatus {
    for (const part of cut(operations, LIMITS.partBytes, LIMITS.tasksPerMessage))
      this.#call({ type: 'RECONCILE_OPERATIONS', operations: part });
    return this.status;
  }

  /** Says that this framework's tasks will have left the agents when they become unavailable. Advice. */
  acceptInverseOffers(offers: readonly string[]): DriverStatus {
    return this.#answerInverse('ACCEPT_INVERSE_OFFERS', offers);
  }

  /** Says that they will not, which the operator is shown. */
  declineInverseOffers(offers: readonly string[]): DriverStatus {
    return this.#answerInverse('DECLINE_INVERSE_OFFERS', offers);
  }

  /** Asks for the state of these tasks; each is answered. None named: every task of this framework is told. */
  reconcileTasks(tasks: readonly { task: string; attempt?: number; agent?: string }[] = []): DriverStatus {
    for (const part of cut(tasks, LIMITS.partBytes, LIMITS.tasksPerMessage))
      this.#call({ type: 'RECONCILE', tasks: part });
    return this.status;
  }

  /**
   * Writes a value of the framework's store (at most 32 kB) if its version is still `version` (0: there is none yet);
   * null removes it. Resolves with the new version, or a fault: CONFLICT where somebody else wrote it, LIMIT,
   * TIMED_OUT after {@link stop}. Sent until it is answered.
   */
  store(key: string, value: string | null, version: number): Promise<number | Fault> {
    if (!this.#session.running) return Promise.resolve(new Fault('NOT_REGISTERED', 'the driver does not run'));
    return this.#session.store.store(key, value, version);
  }

  /** Every entry of the store whose key begins with `prefix`. Sent until it is answered. */
  load(prefix = ''): Promise<StoreEntry[] | Fault> {
    if (!this.#session.running) return Promise.resolve(new Fault('NOT_REGISTERED', 'the driver does not run'));
    return this.#session.store.load(prefix);
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
    return this.status;
  }

  #answerInverse(type: 'ACCEPT_INVERSE_OFFERS' | 'DECLINE_INVERSE_OFFERS', offers: readonly string[]): DriverStatus {
    for (const part of cut(offers, LIMITS.partBytes, LIMITS.operations))
      if (part.length > 0) this.#call({ type, offers: part });
    return this.status;
  }

  #call(call: Call): DriverStatus {
    this.#session.call(call);
    return this.status;
  }
}
