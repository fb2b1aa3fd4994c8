import type { Quantities } from '../../protocol/quantities.ts';
import { add, allocatableTo, equals, shrinkToLimits, subtract } from '../../protocol/resource-arithmetic.ts';
import { mayUse } from '../../protocol/resource-role.ts';
import type { Resource, Resources } from '../../protocol/resources.ts';
import { isAllocatable, MIN_ALLOCATABLE, type MinAllocatable } from './min-allocatable.ts';
import { admits, type Facts, looksAround, type OfferConstraints } from './offer-constraints.ts';
import { OfferFilters } from './offer-filters.ts';
import { isCommon, type Quota, Quotas } from './quotas.ts';
import { cutToShape } from './shape.ts';
import { ShareTree } from './share-tree.ts';
import { Totals } from './tally.ts';
import { Turns } from './turns.ts';

/** Resources of one agent for one framework under one role: to be offered. */
export interface Allocation {
  readonly framework: string;
  readonly role: string;
  readonly agent: string;
  readonly resources: Resources;
}

/** What an agent is, as far as placement goes. */
export interface AgentFacts extends Facts {
  readonly total: Resources;
}

/** How a framework shares. */
export interface FrameworkTerms {
  readonly roles: readonly string[];
  /** Of `roles`: those it wants no offers for now. */
  readonly suppressed?: readonly string[];
  /** It wants `gpus`; without, they are left out of its offers. */
  readonly gpus?: boolean;
  /** It takes what may be reclaimed at any time. */
  readonly revocable?: boolean;
  /** By role, instead of the cluster's minimum. */
  readonly minimum?: ReadonlyMap<string, MinAllocatable>;
  readonly constraints?: ReadonlyMap<string, OfferConstraints>;
  /** By role: nothing of agents that are to become unavailable within so many milliseconds. */
  readonly available?: ReadonlyMap<string, number>;
  /** By role: its offers come in whole multiples of this. */
  readonly shapes?: ReadonlyMap<string, Quantities>;
  /** No single offer holds more of these names; what is over goes to others. */
  readonly mostPerOffer?: Quantities;
}

export interface AllocatorOptions {
  readonly minimum?: MinAllocatable;
  /** Names that make no dominant share. */
  readonly fairnessExcluded?: Iterable<string>;
}

interface AgentState {
  facts: AgentFacts;
  allocated: Resources;
  /** `total` without `allocated`. */
  free: Resources;
  /** False while it is disconnected, unreachable or draining: it keeps what it has, and is not offered. */
  offerable: boolean;
  /** What each claimant holds here. */
  readonly holders: Map<string, Allocation>;
  readonly turns: Turns;
}

interface FrameworkState {
  readonly terms: FrameworkTerms;
  readonly roles: ReadonlySet<string>;
  readonly suppressed: Set<string>;
  active: boolean;
  /** Agents on which it holds anything. */
  readonly agents: Set<string>;
}

const NOTHING: Resources = [];

/**
 * Decides which framework is offered what, as Mesos's hierarchical allocator does: first what guarantees lack, then
 * dominant resource fairness over the tree of roles and between the frameworks of a role, within limits and the headroom
 * of guarantees; the one furthest below its share gets all that it may have of an agent, and what it may not have goes
 * to the next.
 *
 * Resources count as allocated from the allocation until they are given back. A stateful core: changed only by its
 * verbs, deterministic, no clock (monotonic milliseconds come in) and no chance. The verbs keep its indexes, so that an
 * event costs the same however many agents there are: a batch looks only at agents where something has changed.
 */
export class Allocator {
  readonly #minimum: MinAllocatable;
  readonly #excluded: ReadonlySet<string>;
  readonly #agents = new Map<string, AgentState>();
  readonly #frameworks = new Map<string, FrameworkState>();
  readonly #totals = new Totals();
  readonly #roles: ShareTree;
  readonly #within = new Map<string, ShareTree>();
  readonly #quotas = new Quotas();
  readonly #filters = new OfferFilters();
  /** Agents that have something free, and may be offered. */
  readonly #spare = new Set<string>();
  /** Agents where something has changed since they were last looked at; or all of them. */
  #changed: Set<string> | 'all' = new Set();
  /** Agents where a quota or a constraint held something back: what happens elsewhere may let it go. */
  readonly #heldBack = new Set<string>();
  #batches = 0;
  /** Of the pass that runs. */
  #nowMs = 0;
  /** How many frameworks have a minimum of their own. */
  #ownMinima = 0;

  constructor({ minimum = MIN_ALLOCATABLE, fairnessExcluded = [] }: AllocatorOptions = {}) {
    this.#minimum = minimum;
    this.#excluded = new Set(fairnessExcluded);
    this.#roles = new ShareTree(this.#totals, this.#excluded);
  }

  addAgent(agent: string, facts: AgentFacts): void {
    this.removeAgent(agent);
    const state: AgentState = {
      facts,
      allocated: NOTHING,
      free: NOTHING,
      offerable: true,
      holders: new Map(),
      turns: new Turns(),
    };
    this.#agents.set(agent, state);
    this.#totals.add(facts.total, 1);
    this.#quotas.reserved(facts.total, 1);
    this.#settle(agent, state);
  }

  /** What it has or is has changed: its filters end. What is allocated there stays. False where it is as it was. */
  updateAgent(agent: string, facts: AgentFacts): boolean {
    const state = this.#agents.get(agent);
    if (state === undefined || sameFacts(state.facts, facts)) return false;
    this.#retotal(state, facts);
    this.#filters.clearAgent(agent);
    state.turns.clear();
    this.#settle(agent, state);
    return true;
  }

  setOfferable(agent: string, offerable: boolean): void {
    const state = this.#agents.get(agent);
    if (state === undefined || state.offerable === offerable) return;
    this.#unsettle(state);
    state.offerable = offerable;
    this.#settle(agent, state);
  }

  /** It leaves the totals, and what was allocated there is given back. */
  removeAgent(agent: string): void {
    const state = this.#agents.get(agent);
    if (state === undefined) return;
    for (const held of [...state.holders.values()]) this.#count(state, held, -1);
    this.#unsettle(state);
    this.#totals.add(state.facts.total, -1);
    this.#quotas.reserved(state.facts.total, -1);
    this.#agents.delete(agent);
    this.#filters.clearAgent(agent);
    this.#spare.delete(agent);
    this.#heldBack.delete(agent);
    if (this.#changed !== 'all') this.#changed.delete(agent);
  }

  /** Begins active, and stays as it is where it is known. */
  setFramework(framework: string, terms: FrameworkTerms): void {
    const known = this.#frameworks.get(framework);
    const state: FrameworkState = {
      terms,
      roles: new Set(terms.roles),
      suppressed: new Set(terms.suppressed),
      active: known?.active ?? true,
      agents: known?.agents ?? this.#agentsHeldBy(framework),
    };
    this.#frameworks.set(framework, state);
    this.#ownMinima += hasOwnMinimum(terms) - hasOwnMinimum(known?.terms);
    for (const role of new Set([...(known?.roles ?? []), ...state.roles])) this.#enrol(framework, role);
    this.#changed = 'all';
  }

  removeFramework(framework: string): void {
    const known = this.#frameworks.get(framework);
    if (known === undefined) return;
    this.#frameworks.delete(framework);
    this.#ownMinima -= hasOwnMinimum(known.terms);
    for (const role of known.roles) {
      const claimant = claimantOf(framework, role);
      this.#filters.clear(claimant);
      for (const { turns } of this.#agents.values()) turns.used(claimant);
      this.#enrol(framework, role);
    }
  }

  setActive(framework: string, active: boolean): void {
    const known = this.#frameworks.get(framework);
    if (known === undefined || known.active === active) return;
    known.active = active;
    for (const role of known.roles) {
      if (!active) this.#filters.clear(claimantOf(framework, role));
      this.#enrol(framework, role);
    }
    if (active) this.#changed = 'all';
  }

  /** `roles` empty: all of them. */
  suppress(framework: string, roles: readonly string[]): void {
    const known = this.#frameworks.get(framework);
    for (const role of roles.length > 0 ? roles : (known?.roles ?? [])) {
      known?.suppressed.add(role);
      this.#enrol(framework, role);
    }
  }

  /** Unsuppresses and clears the filters. `roles` empty: all of them. */
  revive(framework: string, roles: readonly string[]): void {
    const known = this.#frameworks.get(framework);
    for (const role of roles.length > 0 ? roles : (known?.roles ?? [])) {
      known?.suppressed.delete(role);
      this.#filters.clear(claimantOf(framework, role));
      this.#enrol(framework, role);
    }
    this.#changed = 'all';
  }

  setWeight(path: string, weight: number): void {
    this.#roles.setWeight(path, weight);
    this.#changed = 'all';
  }

  /** Of a role at the top of the tree. What has been allocated stays. */
  setQuota(role: string, quota: Quota | undefined): void {
    this.#quotas.set(role, quota);
    this.#changed = 'all';
  }

  /** Counts what is in use already: a task that a new leader finds in the registry. */
  occupy({ framework, role, agent, resources }: Allocation): void {
    const state = this.#agents.get(agent);
    if (state === undefined) return;
    this.#count(state, { framework, role, agent, resources }, 1);
    this.#settle(agent, state);
  }

  /** Gives back what a task or an operation held, or what an ACCEPT left over. */
  recover(allocation: Allocation): void {
    const { agent, resources } = allocation;
    const state = this.#agents.get(agent);
    if (state === undefined || resources.length === 0) return;
    this.#count(state, allocation, -1);
    this.#settle(agent, state);
  }

  /** As {@link recover}, and the framework is not offered a subset of it for `refuseMs`, at least until the next batch but one; 0: no filter. */
  decline(allocation: Allocation, refuseMs: number, nowMs: number): void {
    const { framework, role, agent, resources } = allocation;
    this.recover(allocation);
    const state = this.#agents.get(agent);
    if (state === undefined || resources.length === 0) return;
    const claimant = claimantOf(framework, role);
    if (refuseMs > 0) this.#filters.set(claimant, agent, resources, nowMs + refuseMs, this.#batches);
    else state.turns.wasted(claimant);
  }

  /** An offer of that agent was of use to the framework. */
  used(framework: string, role: string, agent: string): void {
    this.#agents.get(agent)?.turns.used(claimantOf(framework, role));
  }

  /** An operation turns what the framework holds into something else (reserved, or a volume): the agent's total changes with it. */
  convert({ framework, role, agent, resources: from }: Allocation, to: Resources): void {
    const state = this.#agents.get(agent);
    if (state === undefined) return;
    this.#count(state, { framework, role, agent, resources: from }, -1);
    this.#retotal(state, { ...state.facts, total: add(subtract(state.facts.total, from), to) });
    this.#count(state, { framework, role, agent, resources: to }, 1);
    this.#settle(agent, state);
  }

  /** Dominant share of all at or below a role: 0 to 1, not weighted. */
  share(role: string): number {
    return this.#roles.share(role);
  }

  /** What all at or below a role hold, in thousandths. */
  held(role: string): ReadonlyMap<string, number> {
    return this.#roles.held(role);
  }

  /** What a top role has used of its quota, in thousandths. */
  usedOfQuota(role: string): ReadonlyMap<string, number> {
    return this.#quotas.used(role);
  }

  /** What is kept from that role for the guarantees of others, in thousandths. */
  owedToOthers(role: string): ReadonlyMap<string, number> {
    return this.#quotas.owedToOthers(role);
  }

  /** What neither tasks nor offers hold. */
  free(agent: string): Resources {
    return this.#agents.get(agent)?.free ?? NOTHING;
  }

  /** Until when the framework is not offered what is free there, because it refused as much; undefined where it may be. */
  refusedUntil(framework: string, role: string, agent: string): number | undefined {
    return this.#filters.hiddenUntil(claimantOf(framework, role), agent, allocatableTo(this.free(agent), role));
  }

  isSuppressed(framework: string, role: string): boolean {
    return this.#frameworks.get(framework)?.suppressed.has(role) ?? false;
  }

  /** When a batch may have something to do: now, if anything has changed, or when a filter ends. Undefined: not before the next verb. */
  dueMs(nowMs: number): number | undefined {
    return this.#changed === 'all' || this.#changed.size > 0 ? nowMs : this.#filters.nextMs;
  }

  /**
   * Allocates at once on `agents` (an event touched only these) or on `all` of them, or runs a `batch`: every agent
   * where anything has changed, filters that have ended among it.
   */
  allocate(which: Iterable<string> | 'all' | 'batch', nowMs: number): Allocation[] {
    this.#nowMs = nowMs;
    const agents = which === 'batch' ? this.#beginBatch(nowMs) : which === 'all' ? [...this.#spare] : [...which];
    const made = new Map<string, Allocation>();
    if (this.#quotas.anyLacks) for (const agent of agents) this.#serve(agent, 'guaranteed', made);
    for (const agent of agents) this.#serve(agent, 'shared', made);
    if (which === 'all') this.#changed = new Set();
    return [...made.values()];
  }

  #beginBatch(nowMs: number): string[] {
    const ended = this.#filters.expire(nowMs, this.#batches);
    this.#batches++;
    const changed = this.#changed === 'all' ? this.#spare : new Set([...this.#changed, ...ended, ...this.#heldBack]);
    this.#changed = new Set();
    return [...changed];
  }

  /** Offers of an agent, one claimant after the other, until nobody takes what is left. */
  #serve(agent: string, stage: 'guaranteed' | 'shared', made: Map<string, Allocation>): void {
    if (!this.#spare.has(agent)) return;
    const state = this.#agents.get(agent);
    if (state === undefined) return;
    if (stage === 'shared') {
      if (this.#changed !== 'all') this.#changed.delete(agent);
      this.#heldBack.delete(agent);
    }
    // What is worth an offer to nobody is not shown to everybody: a remainder of ports, most of the time nothing.
    while (isAllocatable(state.free, this.#ownMinima > 0 ? [] : this.#minimum)) {
      if (stage === 'guaranteed' && !this.#quotas.anyLacks) return;
      const next = this.#next(agent, state, stage, made);
      if (next === undefined) return;
      this.#count(state, next, 1);
      this.#resettle(agent, state);
      const key = `${claimantOf(next.framework, next.role)} ${agent}`;
      const before = made.get(key);
      made.set(key, before === undefined ? next : { ...next, resources: add(before.resources, next.resources) });
    }
  }

  #next(
    agent: string,
    state: AgentState,
    stage: 'guaranteed' | 'shared',
    made: ReadonlyMap<string, Allocation>,
  ): Allocation | undefined {
    let best: Allocation | undefined;
    let bestTurn = Number.POSITIVE_INFINITY;
    const commonOnly = this.#ownMinima === 0 && state.free.every(isCommon);
    this.#roles.find((role) => {
      if (stage === 'guaranteed' && !this.#quotas.lacks(role)) return false;
      if (commonOnly && this.#quotas.spent(role)) {
        this.#heldBack.add(agent);
        return false;
      }
      const frameworks = this.#within.get(role);
      frameworks?.find((framework) => {
        const claimant = claimantOf(framework, role);
        const turn = state.turns.of(claimant);
        if (turn >= bestTurn) return false;
        const had = made.get(`${claimant} ${agent}`);
        const resources = this.#portion(agent, state, framework, role, stage, had);
        if (resources.length === 0 || this.#filters.hides(claimant, agent, resources)) return false;
        best = { framework, role, agent, resources };
        bestTurn = turn;
        return turn === 0;
      });
      return bestTurn === 0;
    });
    return best;
  }

  /** What a claimant may have of an agent's free resources now; nothing where it is not worth an offer. */
  #portion(
    agent: string,
    state: AgentState,
    framework: string,
    role: string,
    stage: 'guaranteed' | 'shared',
    had: Allocation | undefined,
  ): Resources {
    const terms = this.#frameworks.get(framework)?.terms;
    if (terms === undefined) return NOTHING;
    if (had !== undefined && terms.mostPerOffer !== undefined) return NOTHING;
    const usable = state.free.filter((resource) => mayHave(resource, role, terms));
    const minimum = terms.minimum?.get(role) ?? this.#minimum;
    if (!isAllocatable(usable, minimum)) return NOTHING;
    const { unavailableMs = Number.POSITIVE_INFINITY } = state.facts;
    if (unavailableMs - this.#nowMs < (terms.available?.get(role) ?? 0)) return NOTHING;
    const constraints = terms.constraints?.get(role) ?? [];
    if (!admits(constraints, state.facts, () => this.#holding(framework))) {
      if (looksAround(constraints)) this.#heldBack.add(agent);
      return NOTHING;
    }
    const within = this.#withinQuota(agent, role, usable, stage);
    const most = terms.mostPerOffer === undefined ? within : shrinkToLimits(within, terms.mostPerOffer);
    const shape = terms.shapes?.get(role);
    const portion = shape === undefined ? most : cutToShape(most, shape);
    return isAllocatable(portion, minimum) ? portion : NOTHING;
  }

  #withinQuota(agent: string, role: string, usable: Resources, stage: 'guaranteed' | 'shared'): Resources {
    if (!this.#quotas.any) return usable;
    const common = usable.filter(isCommon);
    const apart = usable.filter((resource) => !isCommon(resource));
    if (stage === 'guaranteed') {
      const owed = this.#quotas.owed(role, common);
      return owed.length === 0 ? NOTHING : [...apart.filter(({ revocable }) => revocable === undefined), ...owed];
    }
    const allowed = this.#quotas.allowed(role, common);
    if (!equals(allowed, common)) this.#heldBack.add(agent);
    return [...allowed, ...apart];
  }

  #holding(framework: string): Facts[] {
    const facts: Facts[] = [];
    for (const agent of this.#frameworks.get(framework)?.agents ?? []) {
      const state = this.#agents.get(agent);
      if (state !== undefined) facts.push(state.facts);
    }
    return facts;
  }

  #retotal(state: AgentState, facts: AgentFacts): void {
    this.#unsettle(state);
    this.#totals.add(state.facts.total, -1);
    this.#quotas.reserved(state.facts.total, -1);
    state.facts = facts;
    this.#totals.add(facts.total, 1);
    this.#quotas.reserved(facts.total, 1);
  }

  /** Counts an allocation for its framework, role and quota, and at its agent; the agent is to be settled after. */
  #count(state: AgentState, allocation: Allocation, sign: 1 | -1): void {
    const { framework, role, resources } = allocation;
    this.#unsettle(state);
    state.allocated = sign === 1 ? add(state.allocated, resources) : subtract(state.allocated, resources);
    this.#quotas.allocated(role, resources, sign);
    this.#hold(state, allocation, sign);
    if (sign === 1) this.#enrol(framework, role, true);
    const within = this.#within.get(role);
    if (sign === 1) {
      this.#roles.allocated(role, resources);
      within?.allocated(framework, resources);
    } else {
      this.#roles.unallocated(role, resources);
      within?.unallocated(framework, resources);
      if (within?.held(framework).size === 0) this.#enrol(framework, role);
    }
  }

  #hold(state: AgentState, allocation: Allocation, sign: 1 | -1): void {
    const { framework, role, agent, resources } = allocation;
    const claimant = claimantOf(framework, role);
    const before = state.holders.get(claimant)?.resources ?? NOTHING;
    const after = sign === 1 ? add(before, resources) : subtract(before, resources);
    if (after.length > 0) {
      state.holders.set(claimant, { framework, role, agent, resources: after });
      if (before.length === 0) this.#frameworks.get(framework)?.agents.add(agent);
      return;
    }
    state.holders.delete(claimant);
    if (![...state.holders.values()].some((held) => held.framework === framework))
      this.#frameworks.get(framework)?.agents.delete(agent);
  }

  #agentsHeldBy(framework: string): Set<string> {
    const agents = new Set<string>();
    for (const [agent, { holders }] of this.#agents)
      for (const held of holders.values()) if (held.framework === framework) agents.add(agent);
    return agents;
  }

  /** What is free of it no longer counts, until it is settled again. */
  #unsettle(state: AgentState): void {
    this.#quotas.free(state.free, -1);
    state.free = NOTHING;
  }

  #resettle(agent: string, state: AgentState): void {
    const left = state.offerable ? subtract(state.facts.total, state.allocated) : NOTHING;
    this.#quotas.free(left, 1);
    state.free = left;
    if (left.length === 0) this.#spare.delete(agent);
    else this.#spare.add(agent);
  }

  #settle(agent: string, state: AgentState): void {
    this.#unsettle(state);
    this.#resettle(agent, state);
    if (this.#changed !== 'all') this.#changed.add(agent);
  }

  /** Puts a claimant into the trees, or takes it out once it neither subscribes nor `holds` anything. */
  #enrol(framework: string, role: string, holds = false): void {
    const known = this.#frameworks.get(framework);
    const subscribes = known?.roles.has(role) === true;
    let within = this.#within.get(role);
    if (!subscribes && !holds && (within?.held(framework).size ?? 0) === 0) {
      within?.remove(framework);
      if (within?.size === 0) {
        this.#within.delete(role);
        this.#roles.remove(role);
      }
      return;
    }
    if (within === undefined) {
      within = new ShareTree(this.#totals, this.#excluded);
      this.#within.set(role, within);
      this.#roles.add(role);
    }
    within.add(framework);
    within.activate(framework, subscribes && known.active && !known.suppressed.has(role));
    this.#roles.activate(role, !within.idle);
  }
}

/** No id and no role holds white space. */
function claimantOf(framework: string, role: string): string {
  return `${framework} ${role}`;
}

function hasOwnMinimum(terms: FrameworkTerms | undefined): number {
  return (terms?.minimum?.size ?? 0) > 0 ? 1 : 0;
}

function mayHave({ name, role: owner, revocable }: Resource, role: string, terms: FrameworkTerms): boolean {
  if (owner !== undefined && !mayUse(role, owner)) return false;
  if (revocable !== undefined && terms.revocable !== true) return false;
  return name !== 'gpus' || terms.gpus === true;
}

function sameFacts(left: AgentFacts, right: AgentFacts): boolean {
  return (
    left.name === right.name &&
    left.hostname === right.hostname &&
    equals(left.total, right.total) &&
    left.unavailableMs === right.unavailableMs &&
    JSON.stringify(left.attributes) === JSON.stringify(right.attributes)
  );
}
