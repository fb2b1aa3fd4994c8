import { shrinkToLimits, shrinkToQuantities } from '../../protocol/resource-arithmetic.ts';
import type { Resource, Resources } from '../../protocol/resources.ts';
import { addTo, change, quantitiesIn, type Tally } from './tally.ts';

/** What a role is sure of, and what it may not exceed: by name, in thousandths. A name without a limit is not limited. */
export interface Quota {
  readonly guarantees: ReadonlyMap<string, number>;
  readonly limits: ReadonlyMap<string, number>;
}

/** Quotas are of the roles at the top of the tree, and count for all below. */
export function topOf(role: string): string {
  const slash = role.indexOf('/');
  return slash < 0 ? role : role.slice(0, slash);
}

/** Counts against quotas, and may be held back for guarantees: not reserved, and not lent. */
export function isCommon({ role, revocable }: Resource): boolean {
  return role === undefined && revocable === undefined;
}

/**
 * Quotas, what they have been used for, and the headroom: what must stay free so that every guarantee can still be
 * met. A role has used what is reserved for it or below, allocated or not, and what it was allocated of the common
 * resources (Mesos: quota.md).
 */
export class Quotas {
  readonly #quotas = new Map<string, Quota>();
  readonly #used = new Map<string, Tally>();
  /** Sum of what the guarantees lack. */
  readonly #required: Tally = new Map();
  /** Common resources that are free, of all agents that may be offered. */
  readonly #free: Tally = new Map();
  /** Top roles whose guarantees are not met. */
  readonly #lacking = new Set<string>();
  /** Top roles that have used up both their cpus and their memory. */
  readonly #spent = new Set<string>();

  /** True while any role has a guarantee or a limit: without, everything goes whole. */
  get any(): boolean {
    return this.#quotas.size > 0;
  }

  get(role: string): Quota | undefined {
    return this.#quotas.get(role);
  }

  set(role: string, quota: Quota | undefined): void {
    this.#require(role, -1);
    if (quota === undefined) this.#quotas.delete(role);
    else this.#quotas.set(role, quota);
    this.#require(role, 1);
  }

  /** What a top role has used, in thousandths. */
  used(role: string): ReadonlyMap<string, number> {
    return this.#used.get(role) ?? new Map();
  }

  /** An agent's reservations came or went. */
  reserved(total: Resources, sign: 1 | -1): void {
    for (const resource of total) {
      if (resource.role !== undefined && resource.revocable === undefined)
        this.#use(topOf(resource.role), [resource], sign);
    }
  }

  /** A role was allocated, or gave back, common resources. */
  allocated(role: string, resources: Resources, sign: 1 | -1): void {
    this.#use(topOf(role), resources.filter(isCommon), sign);
  }

  /** What an agent has free came or went. */
  free(resources: Resources, sign: 1 | -1): void {
    addTo(this.#free, resources.filter(isCommon), sign);
  }

  /** True while any guarantee is not met. */
  get anyLacks(): boolean {
    return this.#lacking.size > 0;
  }

  /** True where a guarantee that this role shares in is not met. */
  lacks(role: string): boolean {
    return this.#lacking.has(topOf(role));
  }

  /** What the guarantees of other top roles lack, by name, in thousandths: as much of what is free is kept from this one. */
  owedToOthers(role: string): ReadonlyMap<string, number> {
    const own = this.#missing(topOf(role));
    return new Map([...this.#required].map(([name, all]) => [name, all - (own.get(name) ?? 0)]));
  }

  /** True where nothing common that it may still have is worth an offer: neither cpus nor memory. */
  spent(role: string): boolean {
    return this.#spent.has(topOf(role));
  }

  /**
   * The first stage: of common resources, what the role's guarantee lacks, and of other names what limits and headroom
   * leave; nothing where the guarantee gains nothing.
   */
  owed(role: string, common: Resources): Resources {
    const top = topOf(role);
    const guarantees = this.#quotas.get(top)?.guarantees ?? new Map<string, number>();
    const owed = shrinkToQuantities(
      common.filter(({ name }) => guarantees.has(name)),
      quantitiesIn(this.#missing(top)),
    );
    if (owed.length === 0) return [];
    return [
      ...owed,
      ...this.allowed(
        role,
        common.filter(({ name }) => !guarantees.has(name)),
      ),
    ];
  }

  /** The second stage: of common resources, what the role's limits and the headroom of all guarantees leave. */
  allowed(role: string, common: Resources): Resources {
    const top = topOf(role);
    const ceiling = new Map<string, number>();
    const used = this.used(top);
    for (const [name, limit] of this.#quotas.get(top)?.limits ?? [])
      ceiling.set(name, Math.max(0, limit - (used.get(name) ?? 0)));
    for (const [name, required] of this.#required) {
      const surplus = Math.max(0, (this.#free.get(name) ?? 0) - required);
      ceiling.set(name, Math.min(ceiling.get(name) ?? Number.POSITIVE_INFINITY, surplus));
    }
    if (ceiling.size === 0) return common;
    return shrinkToLimits(
      common,
      [...ceiling].map(([name, amount]) => ({ name, amount })),
    );
  }

  #use(top: string, resources: Resources, sign: 1 | -1): void {
    if (resources.length === 0) return;
    this.#require(top, -1);
    const used: Tally = this.#used.get(top) ?? new Map();
    this.#used.set(top, used);
    addTo(used, resources, sign);
    if (used.size === 0) this.#used.delete(top);
    this.#require(top, 1);
  }

  #missing(top: string): Tally {
    const missing: Tally = new Map();
    const used = this.used(top);
    for (const [name, amount] of this.#quotas.get(top)?.guarantees ?? []) {
      const lacks = amount - (used.get(name) ?? 0);
      if (lacks > 0) missing.set(name, lacks);
    }
    return missing;
  }

  /** Takes a role's missing amounts out of the sum, or puts them in: around every change. */
  #require(top: string, sign: 1 | -1): void {
    const quota = this.#quotas.get(top);
    if (quota === undefined) {
      this.#lacking.delete(top);
      this.#spent.delete(top);
      return;
    }
    const used = this.used(top);
    const isSpent = ['cpus', 'mem'].every(
      (name) => (used.get(name) ?? 0) >= (quota.limits.get(name) ?? Number.POSITIVE_INFINITY),
    );
    if (isSpent) this.#spent.add(top);
    else this.#spent.delete(top);
    const missing = this.#missing(top);
    if (missing.size > 0) this.#lacking.add(top);
    else this.#lacking.delete(top);
    for (const [name, amount] of missing) change(this.#required, name, sign * amount);
  }
}
