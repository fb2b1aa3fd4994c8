import type { Bus } from '../io/bus.ts';
import type { Clock, Timer } from '../io/clock.ts';
import { topicOf } from '../protocol/topics.ts';
import type { Counters } from './counters.ts';

/** After this long on a connection to the leader, what an earlier one has left and this one has not shown is cleared. */
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
  /** Connections whose ends are listened to. */
  readonly #known = new WeakSet<Bus>();
  /** Of the comparison that is under way: what is shown here, and what the leader has shown since it began. */
  #comparison: { readonly here: Set<string>; readonly there: Set<string>; readonly end: () => void } | undefined;
  #end: Timer | undefined;

  constructor(options: StateMirrorOptions) {
    this.#options = options;
  }

  /** From now on the state of the master behind `leader`; undefined where this master leads, or nobody is known to. */
  follow(leader: Bus | undefined): void {
    if (leader === this.#leader) return;
    this.stop();
    this.#leader = leader;
    if (leader === undefined) return;
    this.#beginComparison();
    this.#subscribe(leader, topicOf(this.#options.prefix, { kind: 'state' }), ({ topic, payload }) => {
      this.#comparison?.there.add(topic);
      this.#show(topic, payload);
    });
    if (this.#known.has(leader)) return leader.connected ? this.#compareSoon() : undefined;
    this.#known.add(leader);
    leader.onConnected(() => {
      if (this.#leader === leader) this.#compareSoon();
    });
    // What is cleared meanwhile is never heard of: the next connection tells only what there is, before it counts as one.
    leader.onDisconnected(() => {
      if (this.#leader === leader) this.#beginComparison();
    });
    return undefined;
  }

  stop(): void {
    this.#endComparison();
    for (const stop of [...this.#stops]) stop();
    this.#leader = undefined;
  }

  #beginComparison(): void {
    this.#endComparison();
    const { bus, prefix } = this.#options;
    const [here, there] = [new Set<string>(), new Set<string>()];
    const end = this.#subscribe(bus, topicOf(prefix, { kind: 'state' }), ({ topic, payload, retained }) => {
      if (retained && payload.length > 0) here.add(topic);
    });
    this.#comparison = { here, there, end };
  }

  #compareSoon(): void {
    this.#end?.cancel();
    this.#end = this.#options.clock.after(INHERITED_MS, () => {
      const compared = this.#comparison;
      this.#endComparison();
      for (const topic of compared?.here ?? [])
        if (compared?.there.has(topic) === false) this.#show(topic, new Uint8Array());
    });
  }

  #endComparison(): void {
    this.#end?.cancel();
    this.#comparison?.end();
    this.#comparison = undefined;
  }

  #show(topic: string, payload: Uint8Array): void {
    const { bus, counters } = this.#options;
    bus.publish(topic, payload, { retain: true }).catch(() => counters.count('state not published'));
  }

  /** Returns what ends it. */
  #subscribe(bus: Bus, filter: string, handler: Parameters<Bus['subscribe']>[2]): () => void {
    let wanted = true;
    let unsubscribe: (() => void) | undefined;
    const end = (): void => {
      wanted = false;
      unsubscribe?.();
      this.#stops = this.#stops.filter((stop) => stop !== end);
    };
    this.#stops.push(end);
    bus
      .subscribe(filter, 0, (message) => {
        if (wanted) handler(message);
      })
      .then((remove) => {
        unsubscribe = remove;
        if (!wanted) remove();
      })
      .catch(() => this.#options.counters.count('state not watched'));
    return end;
  }
}
