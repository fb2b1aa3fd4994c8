import type { Bus } from '../io/bus.ts';
import type { Clock, Timer } from '../io/clock.ts';
import { topicOf } from '../protocol/topics.ts';
import type { Counters } from './counters.ts';

/** After this long, what an earlier leader had shown and this one has not is cleared. */
const INHERITED_MS = 10_000;

export interface StateMirrorOptions {
  /** On the own broker. */
  readonly bus: Bus;
  readonly prefix: string;
  readonly clock: Clock;
  readonly counters: Counters;
}

/**
 * Shows on a follower's broker what the leader shows on its own, so that a viewer of any master sees the cluster.
 * While nobody leads, it shows what was so last.
 */
export class StateMirror {
  readonly #options: StateMirrorOptions;
  #leader: Bus | undefined;
  #stops: (() => void)[] = [];
  #clearing: Timer | undefined;

  constructor(options: StateMirrorOptions) {
    this.#options = options;
  }

  /** From now on the state of the master behind `leader`; undefined where this master leads, or nobody is known to. */
  follow(leader: Bus | undefined): void {
    if (leader === this.#leader) return;
    this.stop();
    this.#leader = leader;
    if (leader === undefined) return;
    const { bus, prefix, clock } = this.#options;
    const all = topicOf(prefix, { kind: 'state' });
    const inherited = new Set<string>();
    const shown = new Set<string>();
    this.#subscribe(bus, all, ({ topic, payload, retained }) => {
      if (retained && payload.length > 0) inherited.add(topic);
    });
    this.#subscribe(leader, all, ({ topic, payload }) => {
      shown.add(topic);
      this.#show(topic, payload);
    });
    this.#clearing = clock.after(INHERITED_MS, () => {
      if (!leader.connected) return;
      for (const topic of inherited) if (!shown.has(topic)) this.#show(topic, new Uint8Array());
    });
  }

  stop(): void {
    this.#clearing?.cancel();
    for (const stop of this.#stops.splice(0)) stop();
    this.#leader = undefined;
  }

  #show(topic: string, payload: Uint8Array): void {
    const { bus, counters } = this.#options;
    bus.publish(topic, payload, { retain: true }).catch(() => counters.count('state not published'));
  }

  #subscribe(bus: Bus, filter: string, handler: Parameters<Bus['subscribe']>[2]): void {
    let wanted = true;
    this.#stops.push(() => {
      wanted = false;
    });
    bus
      .subscribe(filter, 0, (message) => {
        if (wanted) handler(message);
      })
      .then((unsubscribe) => {
        if (wanted) this.#stops.push(unsubscribe);
        else unsubscribe();
      })
      .catch(() => this.#options.counters.count('state not watched'));
  }
}
