import type { MovableBus } from '../io/bus.ts';
import { TIMES } from '../protocol/limits.ts';
import { KeepAlivePace } from './pace/keep-alive.ts';

export interface KeepAliveWorld {
  readonly bus: Pick<MovableBus, 'pulse'>;
  readonly metered: boolean;
  /** Tells the leader; resolves when its broker has it, rejects where it does not. */
  readonly renew: (keepAliveMs: number) => Promise<void>;
}

/**
 * Lets the keep-alive grow as long as the link and the leader bear it. What was found out is remembered from one
 * connection to the next, in memory. A connection begins with the first keep-alive, and goes over to a longer one only
 * when the leader has been told: its lease never ends before the agent had to speak.
 */
export class KeepAlive {
  readonly #world: KeepAliveWorld;
  readonly #firstMs: number;
  readonly #pace: KeepAlivePace;
  /** The longest that the present leader bears; undefined: none but the first, or there is no session. */
  #borneMs: number | undefined;
  /** What the leader knows. */
  #toldMs: number;

  constructor(world: KeepAliveWorld) {
    const { metered, bus } = world;
    this.#world = world;
    this.#firstMs = metered ? TIMES.keepAliveMeteredMs : TIMES.keepAliveMs;
    this.#pace = new KeepAlivePace(this.#firstMs, metered ? TIMES.longestKeepAliveMeteredMs : TIMES.longestKeepAliveMs);
    this.#toldMs = this.#firstMs;
    bus.pulse?.onOutcome((answered) => this.#outcome(answered));
  }

  /** What a greeting says: undefined for the first. */
  get wishMs(): number | undefined {
    return this.#world.bus.pulse === undefined || this.#pace.ms === this.#firstMs ? undefined : this.#pace.ms;
  }

  /** The leader has answered a greeting that said `toldMs`, and bears keep-alives up to `borneMs`. */
  established(toldMs: number | undefined, borneMs: number | undefined): void {
    this.#borneMs = borneMs;
    this.#toldMs = toldMs ?? this.#firstMs;
    this.#goOver();
  }

  lost(): void {
    this.#borneMs = undefined;
  }

  #outcome(answered: boolean): void {
    if (this.#borneMs === undefined) return;
    // What a shorter one than the pace's (this leader bears no longer one, or was not told yet) says of it: where that has
    // died, a longer one would. Of the first a connection dies with a broken link alone.
    const isPace = this.#toldMs === this.#pace.ms;
    if (!answered) {
      if (isPace || this.#toldMs > this.#firstMs) this.#pace.unanswered();
    } else if (isPace) {
      this.#pace.answered();
      this.#goOver();
    }
  }

  #goOver(): void {
    if (this.#borneMs === undefined) return;
    const ms = Math.max(this.#firstMs, Math.min(this.#pace.ms, this.#borneMs));
    if (ms === this.#toldMs) return this.#world.bus.pulse?.every(ms);
    this.#world.renew(ms).then(
      () => {
        if (this.#borneMs === undefined) return;
        this.#toldMs = ms;
        this.#world.bus.pulse?.every(ms);
      },
      // The connection broke: the next greeting says it.
      () => undefined,
    );
  }
}
