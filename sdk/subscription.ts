import { BrokerPatience } from '../io/broker-patience.ts';
import type { Timer } from '../io/clock.ts';
import { chooseLeader, type Leadership } from '../protocol/leader-choice.ts';
import { TIMES } from '../protocol/limits.ts';
import { readLeader } from './leader-document.ts';
import type { SchedulerDriverOptions } from './scheduler-driver-options.ts';

const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 10_000;
/**
 * Unanswered for so long: that master may be frozen, or cut off from the others, which have elected one. Another may
 * know; each is given twice the time of the one before.
 */
const DOUBT_MS = 10_000;
const DOUBT_MAX_MS = 60_000;
/** Schedulers are few, and much waits for them: the longest that one keeps out of the way of others. */
const SPREAD_MS = 2_000;

/** What a {@link Subscription} asks of whoever has it. */
export interface SubscriptionListener {
  /** Send SUBSCRIBE. */
  readonly subscribe: () => void;
  /** Nothing of the session holds any more; `stood`: it had been answered. */
  readonly over: (stood: boolean) => void;
  readonly failed: (error: unknown) => void;
}

/**
 * Keeps a framework subscribed: follows the leader, subscribes with every connection and every newer term, and goes on
 * asking until it is answered.
 */
export class Subscription {
  readonly #options: SchedulerDriverOptions;
  readonly #listener: SubscriptionListener;
  #stands = false;
  #ended = false;
  #leader: Leadership = { generation: 0, term: 0, leader: null };
  #retry: Timer | undefined;
  #retryMs = FIRST_RETRY_MS;
  /** Runs while the broker knows no leader, or an old one: it may be cut off from the others. */
  readonly #patience: BrokerPatience;
  /** Since when nothing was answered here. */
  #sinceMs = 0;
  #doubtMs = DOUBT_MS;
  /** A document has been heard on this connection: the next one comes to everybody at once. */
  #heard = false;
  #approach: Timer | undefined;

  constructor(options: SchedulerDriverOptions, listener: SubscriptionListener) {
    this.#options = options;
    this.#listener = listener;
    const { bus, urls = [], clock, random } = options;
    const { leaderlessMs: firstMs, leaderlessMaxMs: longestMs } = TIMES;
    const move = (url: string): void => this.#move(url);
    this.#patience = new BrokerPatience({ bus, urls, clock, random, firstMs, longestMs, move });
  }

  /** True between SUBSCRIBED and the loss of the session. */
  get stands(): boolean {
    return this.#stands;
  }

  /** Begins anew: connected, or not known to the leader. */
  renew(): void {
    if (this.#ended) return;
    this.lost();
    this.#retryMs = FIRST_RETRY_MS;
    this.#sinceMs = this.#options.clock.monotonic();
    this.#ask();
  }

  lost(): void {
    const stood = this.#stands;
    this.#retry?.cancel();
    this.#stands = false;
    this.#listener.over(stood);
  }

  /** The connection broke. The next may be to another broker, which says of the same leader that it is elsewhere. */
  disconnected(): void {
    this.#patience.end();
    this.#leader = { ...this.#leader, leader: null };
    this.#heard = false;
    this.#approach?.cancel();
    if (!this.#ended) this.lost();
  }

  /** Subscribes no more, and follows the leader only. */
  end(): void {
    this.#retry?.cancel();
    this.#patience.end();
    this.#approach?.cancel();
    this.#stands = false;
    this.#ended = true;
  }

  /** SUBSCRIBED has come: false for a leader of an older term that has not heard yet, or the second answer. */
  taken(term: number): boolean {
    if (term < this.#leader.term || this.#stands) return false;
    this.#leader = { ...this.#leader, term };
    this.#stands = true;
    this.#patience.rewarded();
    this.#doubtMs = DOUBT_MS;
    this.#retry?.cancel();
    return true;
  }

  /** The retained document about who leads. */
  leaderSaid(payload: Uint8Array): void {
    const document = readLeader(payload);
    if (document === undefined) return;
    const { bus, urls = [], clock, random } = this.#options;
    if ('moveTo' in bus) {
      const choice = chooseLeader(this.#leader, document, bus.url, urls);
      const waitMs = this.#heard ? Math.floor(random.next() * Math.min(SPREAD_MS, Math.max(0, document.spreadMs))) : 0;
      this.#heard = true;
      if (choice.kind !== 'ignore') this.#approach?.cancel();
      if (choice.kind === 'move') {
        this.#patience.end();
        const move = (): void => this.#move(choice.url);
        if (waitMs === 0) return move();
        this.#approach = clock.after(waitMs, move);
        return;
      }
    }
    const { generation, term, leader } = document;
    const known = this.#leader;
    const stale = generation < known.generation || (generation === known.generation && term < known.term);
    this.#patience.end();
    if ((stale || leader === null) && !this.#ended) this.#patience.begin();
    if (stale) return;
    const newer = generation > known.generation || term > known.term;
    this.#leader = { generation, term, leader };
    if (newer && this.#stands) this.renew();
    // Somebody leads again: no need to sit out a long back-off. A call that was just sent is left to be answered.
    else if (!this.#stands && leader !== null && this.#retryMs > 2 * FIRST_RETRY_MS) this.renew();
  }

  #move(url: string): void {
    const { bus, log, name } = this.#options;
    if (!('moveTo' in bus)) return;
    log?.info('scheduler-moves', { framework: name, url });
    try {
      bus.moveTo(url);
    } catch (error) {
      this.#listener.failed(error);
    }
  }

  #ask(): void {
    const { bus, clock, random } = this.#options;
    this.#retry?.cancel();
    if (!bus.connected) return;
    this.#listener.subscribe();
    const waitMs = Math.round(this.#retryMs * (0.5 + random.next() / 2));
    this.#retryMs = Math.min(LAST_RETRY_MS, this.#retryMs * 2);
    this.#retry = clock.after(waitMs, () => {
      if (this.#stands) return;
      this.#ask();
      this.#doubt();
    });
  }

  #doubt(): void {
    const { clock } = this.#options;
    if (clock.monotonic() - this.#sinceMs < this.#doubtMs) return;
    this.#doubtMs = Math.min(2 * this.#doubtMs, DOUBT_MAX_MS);
    this.#patience.leave();
  }
}
