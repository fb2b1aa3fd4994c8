import type { Fault } from '../protocol/faults.ts';
import type { Offer } from '../protocol/offer.ts';
import type { OperationStatus } from '../protocol/operations.ts';
import type { Principal } from '../protocol/operator.ts';
import type { InverseOffer, StatusEvent } from '../protocol/scheduler.ts';
import type { SchedulerDriver } from './scheduler-driver.ts';

/** What the master said when it took the framework in. */
export interface Registration {
  readonly framework: string;
  readonly cluster: string;
  /**
   * 1 until a lost master is recreated or a backup restored. Then what was placed after the backup is forgotten, and
   * may still run: new attempts must not take the numbers of forgotten ones.
   */
  readonly generation: number;
  /** The leader's term; offers die with it. */
  readonly term: number;
  /** How long an offer stands, in milliseconds. */
  readonly offerMs: number;
}

/** Something a client of the operator API asks this framework; answer it with {@link SchedulerDriver.reply}. */
export interface ClientRequest {
  /** Minted by the client; it repeats it until it is answered, so answers must be repeatable. */
  readonly request: string;
  readonly session: string;
  /** From the client's credential, never from what it sent. */
  readonly principal: Principal;
  readonly op: string;
  /** Unchecked: validate it. */
  readonly body: unknown;
}

/**
 * A framework's own half: what it does about offers and statuses. The driver calls it, one call at a time
 * (Mesos: include/mesos/scheduler.hpp). Every callback may call the driver. What a callback throws is a bug of the
 * framework: see `onCallbackFailed` of the driver's options.
 */
export interface Scheduler {
  /** The first time that a master takes this driver in. */
  registered(driver: SchedulerDriver, registration: Registration): void;
  /** Taken in again, after a lost connection or by another leader. All offers are gone; reconcile. */
  reregistered(driver: SchedulerDriver, registration: Registration): void;
  /** Every offer must be accepted or declined; one that is ignored times out. */
  resourceOffers(driver: SchedulerDriver, offers: readonly Offer[]): void;
  /** The offer must not be used any more; using it ends the tasks as TASK_DROPPED. */
  offerRescinded?(driver: SchedulerDriver, offer: string): void;
  /** At least once per update: repeats are the same `uuid`. */
  statusUpdate(driver: SchedulerDriver, status: StatusEvent): void;
  /** What became of an operation that has an id (docs/reservations-and-volumes.md). At least once per end. */
  operationStatusUpdate?(driver: SchedulerDriver, status: OperationStatus): void;
  /**
   * Agents on which this framework has tasks will be unavailable, from `unavailability.startMs` on (wall clock). Answer
   * with {@link SchedulerDriver.acceptInverseOffers} or {@link SchedulerDriver.declineInverseOffers}, once.
   */
  inverseOffers?(driver: SchedulerDriver, offers: readonly InverseOffer[]): void;
  /** The agent stays after all, or nothing of this framework is left there. */
  inverseOfferRescinded?(driver: SchedulerDriver, offer: string): void;
  /** No master hears this driver; it tries again by itself. All offers are gone. */
  disconnected?(driver: SchedulerDriver): void;
  /** For information: the tasks have statuses of their own (Mesos: slaveLost). */
  agentLost?(driver: SchedulerDriver, agent: string, state: 'unreachable' | 'gone'): void;
  /**
   * An executor of this framework has ended, with this exit status (null: not known); its tasks have statuses of their
   * own. At most once.
   */
  executorLost?(driver: SchedulerDriver, executor: string, agent: string, status: number | null): void;
  /** An executor of this framework speaks; at most once. */
  frameworkMessage?(driver: SchedulerDriver, executor: string, agent: string, data: string): void;
  /**
   * A call was refused, and the driver goes on; what to do is the framework's choice (Mesos aborts the driver). The
   * message names the field that was wrong.
   */
  error?(driver: SchedulerDriver, fault: Fault): void;
  /**
   * Whether there is work for offers under `role`. With this the driver suppresses a role that has none, revives it when
   * it has some again, and declines what comes in between. Asked at each registration and after each message from the
   * master; {@link SchedulerDriver.workChanged} has it asked for work that came from elsewhere. Must be quick.
   */
  wantsOffers?(role: string): boolean;
  /** A client's request to this framework; without this callback it is answered NOT_FOUND. */
  request?(driver: SchedulerDriver, request: ClientRequest): void;
}
