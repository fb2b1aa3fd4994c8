import type { Scheduler } from './scheduler.ts';

/** Told of an exception that a callback of the scheduler threw: a bug of the framework. */
export type CallbackFailed = (callback: keyof Scheduler, error: unknown) => void;

/** What is called for its effect; `wantsOffers` is a question. */
type Callback = Exclude<keyof Scheduler, 'wantsOffers'>;

/** A {@link Scheduler} whose callbacks throw nothing: each says whether it went well. Optional ones are all there. */
export type GuardedScheduler = {
  readonly [Name in Callback]-?: (...args: Parameters<NonNullable<Scheduler[Name]>>) => boolean;
};

/**
 * Keeps one failing callback from taking along what else came in the same message. Every exception goes to `failed`;
 * a callback that the scheduler lacks went well.
 */
export function guardScheduler(scheduler: Scheduler, failed: CallbackFailed): GuardedScheduler {
  const guard = (name: Callback, call: () => void): boolean => {
    try {
      call();
      return true;
    } catch (error) {
      failed(name, error);
      return false;
    }
  };
  return {
    registered: (...args) => guard('registered', () => scheduler.registered(...args)),
    reregistered: (...args) => guard('reregistered', () => scheduler.reregistered(...args)),
    resourceOffers: (...args) => guard('resourceOffers', () => scheduler.resourceOffers(...args)),
    offerRescinded: (...args) => guard('offerRescinded', () => scheduler.offerRescinded?.(...args)),
    statusUpdate: (...args) => guard('statusUpdate', () => scheduler.statusUpdate(...args)),
    operationStatusUpdate: (...args) =>
      guard('operationStatusUpdate', () => scheduler.operationStatusUpdate?.(...args)),
    inverseOffers: (...args) => guard('inverseOffers', () => scheduler.inverseOffers?.(...args)),
    inverseOfferRescinded: (...args) =>
      guard('inverseOfferRescinded', () => scheduler.inverseOfferRescinded?.(...args)),
    disconnected: (...args) => guard('disconnected', () => scheduler.disconnected?.(...args)),
    agentLost: (...args) => guard('agentLost', () => scheduler.agentLost?.(...args)),
    executorLost: (...args) => guard('executorLost', () => scheduler.executorLost?.(...args)),
    frameworkMessage: (...args) => guard('frameworkMessage', () => scheduler.frameworkMessage?.(...args)),
    error: (...args) => guard('error', () => scheduler.error?.(...args)),
    request: (...args) => guard('request', () => scheduler.request?.(...args)),
  };
}
