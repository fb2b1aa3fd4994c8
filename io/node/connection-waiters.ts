import { BusError } from '../bus.ts';
import type { Clock } from '../clock.ts';

interface Waiter {
  /** What each broker said since the wait began. */
  readonly failures: Map<string, BusError>;
  readonly settle: (error?: BusError) => void;
}

/** Those who wait for a first connection, and are told at once when there will be none soon. */
export class ConnectionWaiters {
  private readonly waiters = new Set<Waiter>();

  wait(timeoutMs: number, clock: Clock): Promise<void> {
    return new Promise((resolve, reject) => {
      const failures = new Map<string, BusError>();
      const deadline = clock.after(timeoutMs, () =>
        waiter.settle(unreachable(failures, `no connection within ${timeoutMs} ms`)),
      );
      const waiter: Waiter = {
        failures,
        settle: (error) => {
          this.waiters.delete(waiter);
          deadline.cancel();
          if (error) reject(error);
          else resolve();
        },
      };
      this.waiters.add(waiter);
    });
  }

  /** Ends every wait, well or badly. */
  settle(error?: BusError): void {
    for (const waiter of this.waiters) waiter.settle(error);
  }

  /** The broker at `url` cannot take anybody yet: the waits go on, and say so if they end in vain. */
  heard(url: string, error: BusError): void {
    for (const waiter of this.waiters) waiter.failures.set(`${url} so far`, error);
  }

  /** An attempt at `url` failed; ends the waits for which all of `urls` have failed, or where trying again is no use. */
  failed(url: string, error: BusError, urls: readonly string[]): void {
    for (const waiter of this.waiters) {
      waiter.failures.set(url, error);
      if (error.code !== 'UNREACHABLE') waiter.settle(error);
      else if (urls.every((each) => waiter.failures.has(each))) waiter.settle(unreachable(waiter.failures));
    }
  }
}

function unreachable(failures: ReadonlyMap<string, BusError>, ...also: string[]): BusError {
  return new BusError('UNREACHABLE', [...also, ...[...failures.values()].map((error) => error.message)].join('; '));
}
