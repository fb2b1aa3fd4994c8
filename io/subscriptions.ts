import type { BusMessage, QoS } from './bus.ts';
import { matchesFilter } from './topic-filter.ts';

type Handler = (message: BusMessage) => void;

interface Subscription {
  readonly qos: QoS;
  readonly handler: Handler;
}

/** Who wants what: the table behind a bus. The broker learns each distinct filter once, at the highest QoS asked for. */
export class Subscriptions {
  private readonly byFilter = new Map<string, Subscription[]>();

  /** Adds a handler; the returned function removes it, and says whether that was the last one of the filter. */
  add(filter: string, qos: QoS, handler: Handler): () => boolean {
    const subscription = { qos, handler };
    this.byFilter.set(filter, [...(this.byFilter.get(filter) ?? []), subscription]);
    return () => {
      const all = this.byFilter.get(filter) ?? [];
      const others = all.filter((other) => other !== subscription);
      if (others.length > 0) this.byFilter.set(filter, others);
      else this.byFilter.delete(filter);
      return others.length === 0 && all.length > 0;
    };
  }

  /** Every distinct filter with the QoS to ask for. */
  wanted(): Map<string, QoS> {
    const wanted = new Map<string, QoS>();
    for (const filter of this.byFilter.keys()) wanted.set(filter, this.qosOf(filter));
    return wanted;
  }

  qosOf(filter: string): QoS {
    return (this.byFilter.get(filter) ?? []).some((subscription) => subscription.qos === 1) ? 1 : 0;
  }

  /** Calls every matching handler once; what one throws goes to `failed`, and the next is called. */
  deliver(message: BusMessage, failed: (error: unknown) => void): void {
    // Handlers come and go while they are called: those lists are replaced, never changed in place.
    for (const [filter, subscriptions] of this.byFilter) {
      if (!matchesFilter(filter, message.topic)) continue;
      for (const { handler } of subscriptions) {
        try {
          handler(message);
        } catch (error) {
          failed(error);
        }
      }
    }
  }
}
