import { add, allocatableTo, scalarOf, subtract } from '../../protocol/resource-arithmetic.ts';
import type { Resources } from '../../protocol/resources.ts';
import { addTo, byShare, Claimant, type Quantities } from './dominant-share.ts';
import { OfferFilters } from './offer-filters.ts';

/** Resources of one agent for one framework under one role: to be offered. */
export interface Allocation {
  readonly framework: string;
  readonly role: string;
  readonly agent: string;
  readonly resources: Resources;
}

interface AgentShare {
  total: Resources;
  allocated: Resources;
  /** False while it is disconnected, unreachable or draining: it keeps what it has, and is not offered. */
  offerable: boolean;
}

interface RoleShare {
  readonly claimant: Claimant;
  readonly frameworks: Map<string, Claimant>;
}

interface FrameworkShare {
  readonly roles: Set<string>;
  readonly suppressed: Set<string>;
  active: boolean;
}

/** Less than this is not worth an offer: 0.01 cpus or 32 MB (Mesos: min_allocatable_resources). */
const MIN_CPUS = 10;
const MIN_MEM = 32_000;

/**
 * Decides which framework is offered what: dominant resource fairness between roles, then between the frameworks of a
 * role; the one furthest below its share gets the whole remainder of an agent (Mesos: hierarchical allocator).
 *
 * Resources count as allocated from the allocation until `recover`. A stateful core: changed only by its verbs,
 * deterministic, no clock (time comes in) and no chance. All times are monotonic milliseconds.
 */
export class Allocator {
  readonly #agents = new Map<string, AgentShare>();
  readonly #roles = new Map<string, RoleShare>();
  readonly #frameworks = new Map<string, FrameworkShare>();
  readonly #totals: Quantities = new Map();
  readonly #filters = new OfferFilters();
  #batches = 0;

  addAgent(agent: string, total: Resources): void {
    this.removeAgent(agent);
    this.#agents.set(agent, { total, allocated: [], offerable: true });
    addTo(this.#totals, total, 1);
  }

  /** What it has changed; what is allocated there stays. Clears its filters. */
  updateAgent(agent: string, total: Resources): void {
    const share = this.#agents.get(agent);
    if (share === undefined) return;
    addTo(this.#totals, share.total, -1);
    addTo(this.#totals, total, 1);
    share.total = total;
    this.#filters.clearAgent(agent);
  }

  setOfferable(agent: string, offerable: boolean): void {
    const share = this.#agents.get(agent);
    if (share !== undefined) share.offerable = offerable;
  }

  /** Its resources leave the totals. What was allocated there must have been recovered, or is `forget`-ten with it. */
  removeAgent(agent: string): void {
    const share = this.#agents.get(agent);
    if (share === undefined) return;
    addTo(this.#totals, share.total, -1);
    this.#agents.delete(agent);
    this.#filters.clearAgent(agent);
  }

  setFramework(framework: string, roles: readonly string[], suppressed: readonly string[]): void {
    const known = this.#frameworks.get(framework);
    for (const role of known?.roles ?? []) if (!roles.includes(role)) this.#leave(framework, role);
    this.#frameworks.set(framework, { roles: new Set(roles), suppressed: new Set(suppressed), active: known?.active ?? true });
    for (const role of roles) this.#claimants(framework, role);
  }

  removeFramework(framework: string): void {
    const known = this.#frameworks.get(framework);
    if (known === undefined) return;
    this.#filters.clear(framework, known.roles);
    for (const role of known.roles) this.#leave(framework, role);
    this.#frameworks.delete(framework);
  }

  setActive(framework: string, active: boolean): void {
    const known = this.#frameworks.get(framework);
    if (known !== undefined) known.active = active;
  }

  /** `roles` empty: all of them. */
  suppress(framework: string, roles: readonly string[]): void {
    const known = this.#frameworks.get(framework);
    for (const role of roles.length > 0 ? roles : (known?.roles ?? [])) known?.suppressed.add(role);
  }

  /** Unsuppresses and clears the filters. */
  revive(framework: string, roles: readonly string[]): void {
    const known = this.#frameworks.get(framework);
    if (known === undefined) return;
    const which = roles.length > 0 ? roles : [...known.roles];
    for (const role of which) known.suppressed.delete(role);
    this.#filters.clear(framework, which);
  }

  /** Counts what is in use already: a task that a new leader finds in the registry. */
  occupy({ framework, role, agent, resources }: Allocation): void {
    const share = this.#agents.get(agent);
    if (share !== undefined) share.allocated = add(share.allocated, resources);
    this.#count(framework, role, resources, 1);
  }

  /** Gives back what an offer or a task held; with `refuseMs` above 0 the framework is not offered a subset of it for so long. */
  recover({ framework, role, agent, resources }: Allocation, refuseMs: number, nowMs: number): void {
    if (resources.length === 0) return;
    const share = this.#agents.get(agent);
    if (share !== undefined) share.allocated = subtract(share.allocated, resources);
    this.#count(framework, role, resources, -1);
    if (refuseMs > 0 && share !== undefined) this.#filters.set(framework, role, agent, resources, nowMs + refuseMs, this.#batches);
  }

  /** True while a batch could allocate what an immediate pass did not: there are filters, and somebody wants offers. */
  get wantsBatch(): boolean {
    if (this.#filters.size === 0) return false;
    for (const { active, roles, suppressed } of this.#frameworks.values()) if (active && suppressed.size < roles.size) return true;
    return false;
  }

  /** Allocates on `agents` at once (an event touched only these), or on all of them (the batch). */
  allocate(agents: Iterable<string> | undefined, nowMs: number): Allocation[] {
    const allocations: Allocation[] = [];
    const order = byShare(this.#totals);
    for (const agent of agents ?? this.#agents.keys()) {
      const share = this.#agents.get(agent);
      if (share?.offerable !== true) continue;
      for (;;) {
        const free = subtract(share.total, share.allocated);
        const allocation = allocatable(free) ? this.#next(agent, free, order, nowMs) : undefined;
        if (allocation === undefined) break;
        this.occupy(allocation);
        allocations.push(allocation);
      }
    }
    if (agents === undefined) this.#batches++;
    return allocations;
  }

  #next(agent: string, free: Resources, order: (left: Claimant, right: Claimant) => number, nowMs: number): Allocation | undefined {
    for (const [role, { frameworks }] of this.#inOrder(order)) {
      const resources = allocatableTo(free, role);
      if (!allocatable(resources)) continue;
      for (const { name: framework } of [...frameworks.values()].sort(order)) {
        if (!this.#wants(framework, role)) continue;
        if (this.#filters.hides(framework, role, agent, resources, nowMs, this.#batches)) continue;
        return { framework, role, agent, resources };
      }
    }
    return undefined;
  }

  #inOrder(order: (left: Claimant, right: Claimant) => number): [string, RoleShare][] {
    return [...this.#roles].sort(([, left], [, right]) => order(left.claimant, right.claimant));
  }

  #wants(framework: string, role: string): boolean {
    const known = this.#frameworks.get(framework);
    return known !== undefined && known.active && known.roles.has(role) && !known.suppressed.has(role);
  }

  #claimants(framework: string, role: string): [Claimant, Claimant] {
    const share = this.#roles.get(role) ?? { claimant: new Claimant(role), frameworks: new Map<string, Claimant>() };
    this.#roles.set(role, share);
    const claimant = share.frameworks.get(framework) ?? new Claimant(framework);
    share.frameworks.set(framework, claimant);
    return [share.claimant, claimant];
  }

  #count(framework: string, role: string, resources: Resources, sign: 1 | -1): void {
    for (const claimant of this.#claimants(framework, role)) {
      addTo(claimant.allocated, resources, sign);
      if (sign === 1) claimant.count++;
    }
    const known = this.#frameworks.get(framework);
    if (sign === -1 && known?.roles.has(role) !== true) this.#leave(framework, role);
  }

  /** Drops a claimant that neither subscribes nor holds anything. */
  #leave(framework: string, role: string): void {
    const share = this.#roles.get(role);
    if (share === undefined) return;
    const claimant = share.frameworks.get(framework);
    if (claimant !== undefined && claimant.allocated.size === 0) share.frameworks.delete(framework);
    if (share.frameworks.size === 0) this.#roles.delete(role);
  }
}

function allocatable(resources: Resources): boolean {
  return (scalarOf(resources, 'cpus') ?? 0) >= MIN_CPUS || (scalarOf(resources, 'mem') ?? 0) >= MIN_MEM;
}
