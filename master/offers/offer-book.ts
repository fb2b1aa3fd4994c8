import type { Resources } from '../../protocol/resources.ts';

/** A promise to one framework. Soft state of the leader: it dies with the term. */
export interface OpenOffer {
  readonly offer: string;
  readonly framework: string;
  readonly role: string;
  readonly agent: string;
  readonly resources: Resources;
  /** Monotonic milliseconds at which it times out. */
  readonly expiresMs: number;
  /** Wall-clock milliseconds, for people. */
  readonly createdMs: number;
}

/** Every open offer, by id, by framework and by agent. */
export class OfferBook {
  readonly #offers = new Map<string, OpenOffer>();
  readonly #ofAgent = new Map<string, Set<string>>();
  readonly #ofFramework = new Map<string, Set<string>>();
  readonly #changed: (offer: string) => void;

  /** `changed` is told of every offer that is made or taken out. */
  constructor(changed: (offer: string) => void = () => undefined) {
    this.#changed = changed;
  }

  get size(): number {
    return this.#offers.size;
  }

  all(): Iterable<OpenOffer> {
    return this.#offers.values();
  }

  add(offer: OpenOffer): void {
    this.#offers.set(offer.offer, offer);
    put(this.#ofAgent, offer.agent, offer.offer);
    put(this.#ofFramework, offer.framework, offer.offer);
    this.#changed(offer.offer);
  }

  get(offer: string): OpenOffer | undefined {
    return this.#offers.get(offer);
  }

  /** Takes an offer out: used, declined, rescinded or timed out. */
  take(id: string): OpenOffer | undefined {
    const offer = this.#offers.get(id);
    if (offer === undefined) return undefined;
    this.#offers.delete(id);
    drop(this.#ofAgent, offer.agent, id);
    drop(this.#ofFramework, offer.framework, id);
    this.#changed(id);
    return offer;
  }

  ofAgent(agent: string): OpenOffer[] {
    return this.#pick(this.#ofAgent.get(agent));
  }

  ofFramework(framework: string): OpenOffer[] {
    return this.#pick(this.#ofFramework.get(framework));
  }

  /** Offers that have timed out at `nowMs`, oldest first: they were made in the order of their deadlines. */
  expired(nowMs: number): OpenOffer[] {
    const due: OpenOffer[] = [];
    for (const offer of this.#offers.values()) {
      if (offer.expiresMs > nowMs) break;
      due.push(offer);
    }
    return due;
  }

  /** The next deadline, or undefined where there is no offer. */
  nextExpiry(): number | undefined {
    const [oldest] = this.#offers.values();
    return oldest?.expiresMs;
  }

  #pick(ids: Set<string> | undefined): OpenOffer[] {
    const offers: OpenOffer[] = [];
    for (const id of ids ?? []) {
      const offer = this.#offers.get(id);
      if (offer !== undefined) offers.push(offer);
    }
    return offers;
  }
}

function put(index: Map<string, Set<string>>, at: string, id: string): void {
  const ids = index.get(at);
  if (ids === undefined) index.set(at, new Set([id]));
  else ids.add(id);
}

function drop(index: Map<string, Set<string>>, at: string, id: string): void {
  const ids = index.get(at);
  ids?.delete(id);
  if (ids?.size === 0) index.delete(at);
}
