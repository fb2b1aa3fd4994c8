import type { InferInput } from 'valibot';
import type { Bus, MovableBus } from '../io/bus.ts';
import type { Clock } from '../io/clock.ts';
import type { Log } from '../io/log.ts';
import type { Random } from '../io/random.ts';
import type { Encoding, Outgoing } from '../protocol/envelope.ts';
import type { CALLS } from '../protocol/scheduler.ts';
import type { TaskInfo } from '../protocol/task.ts';
import type { DeepReadonly } from './deep-readonly.ts';
import type { CallbackFailed } from './guarded-scheduler.ts';
import type { Scheduler } from './scheduler.ts';

/** Mesos: mesos.proto Status. Calls on a driver that is not RUNNING do nothing. */
export type DriverStatus = 'DRIVER_NOT_STARTED' | 'DRIVER_RUNNING' | 'DRIVER_ABORTED' | 'DRIVER_STOPPED';

/** A task to launch; fields with a default may be left out. */
export type TaskLaunch = DeepReadonly<InferInput<typeof TaskInfo>>;

/** What is done with offers that are accepted. */
export interface Launch {
  readonly type: 'LAUNCH';
  readonly tasks: readonly TaskLaunch[];
}

/** All of the tasks or none, on one agent (Mesos: a pod): one that fails or is killed ends all. At most 50, of one attempt. */
export interface LaunchGroup {
  readonly type: 'LAUNCH_GROUP';
  readonly group: string;
  readonly tasks: readonly TaskLaunch[];
}

type Accepted = Extract<Outgoing<typeof CALLS>, { type: 'ACCEPT' }>['operations'][number];

/**
 * Turns part of the offers into something else for what comes behind it: RESERVE, UNRESERVE, CREATE, DESTROY,
 * GROW_VOLUME, SHRINK_VOLUME (docs/reservations-and-volumes.md). With an `id` it is answered by
 * {@link Scheduler.operationStatusUpdate}.
 */
export type ResourceChange = DeepReadonly<Exclude<Accepted, { type: 'LAUNCH' | 'LAUNCH_GROUP' }>>;

/** What is done with offers, in order. */
export type OfferOperation = Launch | LaunchGroup | ResourceChange;

/** Work that waits: its name, and what it needs (`role`: of whose offers, where there are several). */
export type ResourceRequest = DeepReadonly<Extract<Outgoing<typeof CALLS>, { type: 'REQUEST' }>['requests'][number]>;

export interface Filters {
  /** How long refused resources stay hidden, in milliseconds. Default: 5 s, growing with each decline of the agent. */
  readonly refuseMs?: number;
}

/** What people see under `state/jobs/<id>`, and the numbers they plot under `state/jobs/<id>/progress`. */
export interface ShownThing {
  readonly kind: 'jobs';
  readonly id: string;
  /** JSON of at most 20 kB, no dots in its keys; null removes the topics. */
  readonly view: Record<string, unknown> | null;
  /** Under 150 bytes. */
  readonly progress?: Record<string, number>;
}

/** One part of an answer to a client; `part` counts from 0 (default 0), the one with `last` (default true) ends it. */
export interface ReplyPart {
  readonly body: unknown;
  readonly part?: number;
  readonly last?: boolean;
}

/** How a framework takes part, beside its roles: `capabilities`, `wishes` (which offers, role by role), `mostPerOffer`. */
export type FrameworkTerms = Partial<
  Pick<Extract<Outgoing<typeof CALLS>, { type: 'SUBSCRIBE' }>, 'capabilities' | 'wishes' | 'mostPerOffer'>
>;

export interface SchedulerDriverOptions {
  /** One that can move follows the leader, among `urls`. */
  readonly bus: Bus | MovableBus;
  /** Brokers it may move to, as they were given. Default: it stays where it is. */
  readonly urls?: readonly string[];
  /** Default `mesq`. */
  readonly prefix?: string;
  /** The framework's id: the name of its credential. */
  readonly name: string;
  /** What it takes offers under. */
  readonly roles: readonly string[];
  readonly scheduler: Scheduler;
  /** What it can do with, and which offers it wants; `updateFramework` of the driver changes it. */
  readonly terms?: FrameworkTerms;
  readonly clock: Clock;
  readonly random: Random;
  readonly log?: Log;
  /** True: the scheduler calls `acknowledgeStatusUpdate` and `acknowledgeOperationStatus` itself. Default: after each callback. */
  readonly explicitAcknowledgements?: boolean;
  /** Default `cbor`. */
  readonly encoding?: Encoding;
  /**
   * Told of an exception that a callback threw. Default: it ends the process, as everywhere in Node. Either way the
   * status concerned stays unacknowledged and comes again, and offers that were left lying are declined.
   */
  readonly onCallbackFailed?: CallbackFailed;
  /** Called once it has stopped or was aborted and its last calls have left: the place to close the bus. */
  readonly onEnded?: () => void | Promise<void>;
}
