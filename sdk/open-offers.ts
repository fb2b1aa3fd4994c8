import type { Clock, Timer } from '../io/clock.ts';
import { cut } from '../protocol/envelope.ts';
import { LIMITS } from '../protocol/limits.ts';
import type { Offer } from '../protocol/offer.ts';
import type { Call } from './call-sender.ts';
import { DeclineBackOff } from './decline-back-off.ts';

/** Offers that came before SUBSCRIBED overtook them, or that are still open; older ones have timed out. */
const MOST_OFFERS = 20_000;
/** For how long to decline is the master's to say. */
const UNSAID = -1;

/** The offers of a session that were not answered yet; declines of one turn of the loop go out together. */
export class OpenOffers {
  readonly #clock: Clock;
  readonly #send: (call: Call) => void;
  readonly #backOff = new DeclineBackOff();
  readonly #open = new Map<string, Offer>();
  /** Offers that overtook the SUBSCRIBED of their session. */
  #early: Offer[] = [];
  /** How long to hide the resources → the offers. */
  readonly #declines = new Map<number, string[]>();
  #flush: Timer | undefined;

  constructor(clock: Clock, send: (call: Call) => void) {
    this.#clock = clock;
    this.#send = send;
  }

  has(offer: string): boolean {
    return this.#open.has(offer);
  }

  /** Takes in what was offered; those that are new. An offer that comes twice is one offer. */
  add(offers: readonly Offer[]): Offer[] {
    if (this.#open.size > MOST_OFFERS) this.#open.clear();
    const fresh = offers.filter(({ offer }) => !this.#open.has(offer));
    for (const offer of fresh) this.#open.set(offer.offer, offer);
    return fresh;
  }

  /** Keeps what was offered until the session stands: {@link takeEarly}. */
  hold(offers: readonly Offer[]): void {
    if (this.#early.length < MOST_OFFERS) this.#early.push(...offers);
  }

  takeEarly(): readonly Offer[] {
    const early = this.#early;
    this.#early = [];
    return early;
  }

  /** Those of `offers` that were open. */
  rescind(offers: readonly string[]): string[] {
    this.#early = this.#early.filter(({ offer }) => !offers.includes(offer));
    return offers.filter((offer) => this.#open.delete(offer));
  }

  accept(offers: readonly string[]): void {
    for (const id of offers) {
      const offer = this.#open.get(id);
      if (offer !== undefined) this.#backOff.accepted(offer);
      this.#open.delete(id);
    }
  }

  decline(offer: string, refuseMs: number | undefined): void {
    const known = this.#open.get(offer);
    this.#open.delete(offer);
    const hiddenMs = refuseMs ?? (known === undefined ? UNSAID : this.#backOff.declined(known));
    const together = this.#declines.get(hiddenMs);
    if (together === undefined) this.#declines.set(hiddenMs, [offer]);
    else together.push(offer);
    this.#flush ??= this.#clock.after(0, () => this.flush());
  }

  /** Says the declines of this turn, which would set the filters again that a revive clears. */
  revive(): void {
    this.#backOff.revived();
    this.flush();
  }

  flush(): void {
    this.#flush?.cancel();
    this.#flush = undefined;
    for (const [refuseMs, offers] of this.#declines) {
      for (const part of cut(offers, LIMITS.partBytes, LIMITS.operations))
        this.#send({ type: 'DECLINE', offers: part, ...(refuseMs === UNSAID ? {} : { refuseMs }) });
    }
    this.#declines.clear();
  }

  /** The session is over, and its offers with it. */
  clear(): void {
    this.#flush?.cancel();
    this.#flush = undefined;
    this.#early = [];
    this.#open.clear();
    this.#declines.clear();
  }
}
