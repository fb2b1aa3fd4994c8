import type { Bus, MovableBus } from './bus.ts';
import type { Clock, Timer } from './clock.ts';
import type { Random } from './random.ts';

export interface BrokerPatienceOptions {
  /** One that cannot move is stayed with. */
  readonly bus: Bus | MovableBus;
  /** The brokers to choose from, in the order in which they are asked. */
  readonly urls: readonly string[];
  readonly clock: Clock;
  readonly random: Random;
  /** The first wait, and the longest, in milliseconds; each is cut by up to a half, by chance. */
  readonly firstMs: number;
  readonly longestMs: number;
  /** How it goes to the next. Default: the bus moves there. */
  readonly move?: (url: string) => void;
}

/**
 * How long to stay with a broker that is there and of no use (it knows no leader, or does not answer), and where to go
 * then. After each round in which none was of use the wait is twice as long: while nobody leads, turning in circles helps
 * nobody. Within a round it does not grow, for one of them may lead by now, and some may never again.
 */
export class BrokerPatience {
  readonly #options: BrokerPatienceOptions;
  #timer: Timer | undefined;
  #inVain = 0;

  constructor(options: BrokerPatienceOptions) {
    this.#options = options;
  }

  /** Begins to wait anew, `firstMs` for the first broker; returns the milliseconds that it is going to be. */
  begin(firstMs: number = this.#options.firstMs): number {
    const { urls, clock, random, longestMs } = this.#options;
    this.end();
    const rounds = Math.floor(this.#inVain / Math.max(1, urls.length));
    const waitMs = Math.floor(Math.min(longestMs, firstMs * 2 ** rounds) * (0.5 + random.next() / 2));
    this.#timer = clock.after(waitMs, () => {
      this.#inVain++;
      this.leave();
    });
    return waitMs;
  }

  /** Waits no more. The next wait is as long as this one was. */
  end(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  /** This broker was of use: the next wait is a first one. */
  rewarded(): void {
    this.end();
    this.#inVain = 0;
  }

  /** Goes to the next broker now. Nothing happens where there is no other. */
  leave(): void {
    const { bus, urls, move } = this.#options;
    if (!('moveTo' in bus)) return;
    const next = urls[(urls.indexOf(bus.url) + 1) % urls.length];
    if (next === undefined || next === bus.url) return;
    if (move === undefined) bus.moveTo(next);
    else move(next);
  }
}
