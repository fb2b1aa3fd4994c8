import type { Clock } from '../io/clock.ts';
import { type Random, randomWord } from '../io/random.ts';
import { cut } from '../protocol/envelope.ts';
import { Fault } from '../protocol/faults.ts';
import { LIMITS } from '../protocol/limits.ts';
import type { Offer } from '../protocol/offer.ts';
import { add, contains } from '../protocol/resource-arithmetic.ts';
import { parseResources, type Resources } from '../protocol/resources.ts';

/** A machine that exists in memory only. */
export interface TestAgent {
  readonly name: string;
  /** Mesos's syntax: `cpus:4;mem:2048;ports:[31000-31009]`. */
  readonly resources: string;
  readonly hostname?: string;
  readonly attributes?: Offer['attributes'];
}

/** Who is to be made offers: the frameworks that are subscribed, with the roles that are not suppressed. */
export type Takers = () => Iterable<{ readonly framework: string; readonly roles: readonly string[] }>;

type Filter = { readonly until: number; readonly resources: Resources };

const REFUSE_MS = 5_000;

/** Agents, what is free on them, and what of it is offered to whom. Who asks first is offered all there is. */
export class TestOffers {
  /** Made, and neither answered nor taken back. */
  readonly open = new Map<string, Offer>();
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #takers: Takers;
  readonly #tell: (framework: string, offers: Offer[]) => void;
  readonly #agents = new Map<string, { readonly agent: TestAgent; free: Resources }>();
  readonly #filters = new Map<string, Filter>();
  #allocating = false;

  constructor(clock: Clock, random: Random, takers: Takers, tell: (framework: string, offers: Offer[]) => void) {
    this.#clock = clock;
    this.#random = random;
    this.#takers = takers;
    this.#tell = tell;
  }

  addAgent(agent: TestAgent): void {
    const resources = parseResources(agent.resources);
    if (resources instanceof Fault) throw new Error(resources.message);
    this.#agents.set(agent.name, { agent, free: resources });
    this.allocateSoon();
  }

  removeAgent(name: string): void {
    this.#agents.delete(name);
  }

  /** What an agent has left beside its tasks and offers. */
  free(agent: string): Resources {
    return this.#agents.get(agent)?.free ?? [];
  }

  /** Resources come back. */
  give(agent: string, resources: Resources): void {
    const known = this.#agents.get(agent);
    if (known !== undefined) known.free = add(known.free, resources);
    this.allocateSoon();
  }

  takeBack(offer: Offer): void {
    this.open.delete(offer.offer);
    this.give(offer.name, offer.resources);
  }

  /** Ends an offer: its rest goes back, hidden from the role for a while. */
  return(id: string, refuseMs = REFUSE_MS): void {
    const offer = this.open.get(id);
    if (offer === undefined) return;
    const hiddenMs = refuseMs < 0 ? REFUSE_MS : refuseMs;
    if (hiddenMs !== 0) {
      const until = this.#clock.monotonic() + hiddenMs;
      this.#filters.set(`${offer.framework} ${offer.role} ${offer.agent}`, { until, resources: offer.resources });
      this.#clock.after(hiddenMs, () => this.allocateSoon());
    }
    this.takeBack(offer);
  }

  revive(framework: string, role: string): void {
    for (const key of [...this.#filters.keys()]) if (key.startsWith(`${framework} ${role} `)) this.#filters.delete(key);
    this.allocateSoon();
  }

  clearFilters(): void {
    this.#filters.clear();
  }

  allocateSoon(): void {
    if (this.#allocating) return;
    this.#allocating = true;
    this.#clock.after(0, () => {
      this.#allocating = false;
      this.#allocate();
    });
  }

  #allocate(): void {
    for (const { framework, roles } of this.#takers()) {
      for (const role of roles) {
        const offers: Offer[] = [];
        for (const { agent, free } of this.#agents.values()) {
          if (free.length === 0 || this.#isFiltered(`${framework} ${role} ${agent.name}`, free)) continue;
          offers.push(this.#offer(framework, role, agent, free));
        }
        for (const part of cut(offers, LIMITS.partBytes, LIMITS.operations))
          if (part.length > 0) this.#tell(framework, part);
      }
    }
  }

  #offer(
    framework: string,
    role: string,
    { name, hostname = name, attributes = [] }: TestAgent,
    resources: Resources,
  ): Offer {
    const id = randomWord(this.#random, 16);
    const offer: Offer = { offer: id, framework, role, agent: name, name, hostname, resources, attributes };
    this.open.set(id, offer);
    const known = this.#agents.get(name);
    if (known !== undefined) known.free = [];
    return offer;
  }

  #isFiltered(key: string, free: Resources): boolean {
    const filter = this.#filters.get(key);
    return filter !== undefined && filter.until > this.#clock.monotonic() && contains(filter.resources, free);
  }
}
