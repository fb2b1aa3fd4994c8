import type { Timer } from '../io/clock.ts';
import { randomWord } from '../io/random.ts';
import type { Conversion } from '../protocol/conversion.ts';
import type { Holdings } from '../protocol/holdings.ts';
import type { Quantities } from '../protocol/quantities.ts';
import { isTerminal } from '../protocol/task.ts';
import { type AgentFacts, type Allocation, Allocator } from './allocator/allocator.ts';
import type { FrameworkSessions } from './framework-sessions.ts';
import type { Leader } from './leader.ts';
import { OfferBook, type OpenOffer } from './offers/offer-book.ts';
import { type AgentRecord, type RoleRecord, type TaskRecord, taskKey, tasksOfAgent } from './registry/registry.ts';

/**
 * Turns allocations into offers, and takes them back. Passes that an event asks for run once per batch of committed
 * commands; declined resources wait for the batch, which is armed only while it could change something.
 */
export class Offering {
  readonly allocator: Allocator;
  readonly book = new OfferBook((offer) => this.onOffer(offer));
  /** Told of every offer that is made or taken out. */
  onOffer: (offer: string) => void = () => undefined;
  readonly #leader: Leader;
  readonly #frameworks: FrameworkSessions;
  #dirty: Set<string> | 'all' | undefined;
  #batch: Timer | undefined;
  #batchMs = 0;
  #expiry: Timer | undefined;
  #minted = 0;
  /** `taskKey` → what a launch took, from its ACCEPT until its task ends, is refused, or its agent is lost. */
  readonly #held = new Map<string, Allocation>();
  /** Agent, and `framework/task`, → keys of `#held`. */
  readonly #heldOn = new Map<string, Set<string>>();
  readonly #heldFor = new Map<string, Set<string>>();

  /** Agent → when its window begins, on the monotonic clock. */
  readonly #windows = new Map<string, { readonly key: string; readonly atMs: number }>();
  /** Agent → what its holdings will be, and the requests that are on their way to the log. */
  readonly #converting = new Map<string, { readonly holdings: Holdings; readonly requests: Set<string> }>();

  constructor(leader: Leader, frameworks: FrameworkSessions) {
    this.allocator = new Allocator(leader.world.allocation);
    this.#leader = leader;
    this.#frameworks = frameworks;
    for (const role of leader.registry.roles.values()) this.#know(role);
    for (const agent of leader.registry.agents.values()) {
      if (agent.state !== 'active') continue;
      this.allocator.addAgent(agent.agent, this.#factsOf(agent));
      this.allocator.setOfferable(agent.agent, false);
      this.#occupy(agent.agent);
    }
  }

  stop(): void {
    this.#batch?.cancel();
    this.#expiry?.cancel();
  }

  /** A new session of an agent: its offers die, its tasks are counted anew. */
  agentJoined(record: AgentRecord): void {
    const { agent } = record;
    this.rescindOf(agent);
    this.#vacate(agent);
    this.#converting.delete(agent);
    this.allocator.addAgent(agent, this.#factsOf(record));
    this.#occupy(agent);
    this.touch(agent);
  }

  /** Unreachable or gone: out of shares and quotas. */
  agentLeft(agent: string): void {
    this.rescindOf(agent);
    this.#vacate(agent);
    this.#converting.delete(agent);
    this.allocator.removeAgent(agent);
  }

  /** A weight or a quota has changed: all offers are made anew, at the batch (Mesos: quota_handler.cpp). */
  roleChanged(role: RoleRecord): void {
    for (const { framework } of this.book.all()) this.rescindFrom(framework, true);
    this.#know(role);
    this.armBatch();
  }

  #know({ role, weight, quota }: RoleRecord): void {
    this.allocator.setWeight(role, weight);
    if (role.includes('/')) return;
    const amounts = (quantities: Quantities): Map<string, number> =>
      new Map(quantities.map(({ name, amount }) => [name, amount]));
    this.allocator.setQuota(
      role,
      quota === undefined ? undefined : { guarantees: amounts(quota.guarantees), limits: amounts(quota.limits) },
    );
  }

  offerable(agent: string, offerable: boolean): void {
    this.allocator.setOfferable(agent, offerable);
    if (offerable) this.touch(agent);
    else this.rescindOf(agent);
  }

  /** What it has changed: its offers are made anew. */
  agentChanged(record: AgentRecord): void {
    this.rescindOf(record.agent);
    this.#recount(record.agent);
    this.touch(record.agent);
  }

  /** What has been made of an agent, with what is on its way to the log. */
  holdingsOf(agent: string): Holdings {
    return this.#converting.get(agent)?.holdings ?? this.#leader.registry.agents.get(agent) ?? {};
  }

  /**
   * What was offered counts as converted from now on, although `request` has yet to be committed: tasks behind it in the
   * same ACCEPT need it so.
   */
  convert(request: string, at: Omit<Allocation, 'resources'>, conversion: Conversion): void {
    const before = this.#converting.get(at.agent);
    const requests = new Set([...(before?.requests ?? []), request]);
    this.#converting.set(at.agent, { holdings: conversion, requests });
    this.allocator.convert({ ...at, resources: conversion.from }, conversion.to);
  }

  /** The request was applied, or refused: once none is left, the registry says what there is. */
  converted(request: string, agent: string): void {
    const { requests } = this.#converting.get(agent) ?? {};
    requests?.delete(request);
    if (requests !== undefined && requests.size > 0) return;
    this.#converting.delete(agent);
    if (!this.#recount(agent)) return;
    this.rescindOf(agent);
    this.touch(agent);
  }

  /** As the registry has it; waits while conversions are on their way to it. True where that is something else. */
  #recount(agent: string): boolean {
    const record = this.#leader.registry.agents.get(agent);
    if (record?.state !== 'active' || this.#converting.has(agent)) return false;
    return this.allocator.updateAgent(agent, this.#factsOf(record));
  }

  /** Asks for a pass over one agent at the next flush. */
  touch(agent: string): void {
    if (this.#dirty === 'all') return;
    if (this.#dirty === undefined) this.#dirty = new Set();
    this.#dirty.add(agent);
  }

  touchAll(): void {
    this.#dirty = 'all';
  }

  /**
   * Gives back what was offered and not taken, hidden from that framework for `refuseMs`; allocated again at the batch,
   * or at the next event there.
   */
  decline(allocation: Allocation, refuseMs: number): void {
    this.allocator.decline(allocation, refuseMs, this.#now());
    this.armBatch();
  }

  /** What was offered is a launch's now; false, and nothing happens, where one of that key holds something already. */
  hold(key: string, allocation: Allocation): boolean {
    if (this.#held.has(key)) return false;
    this.#held.set(key, allocation);
    indexed(this.#heldOn, allocation.agent, key);
    indexed(this.#heldFor, taskOf(key), key);
    return true;
  }

  /**
   * The newest attempt of a task that holds anything, from its ACCEPT on: the log may not have it yet. `attempt`: that
   * one alone.
   */
  underWay(framework: string, task: string, attempt?: number): { attempt: number; agent: string } | undefined {
    const keys = this.#heldFor.get(`${framework}/${task}`) ?? [];
    const attempts = [...keys].map((key) => Number(key.slice(key.lastIndexOf('/') + 1)));
    const wanted = attempt ?? Math.max(...attempts);
    const held = this.#held.get(taskKey(framework, task, wanted));
    return held === undefined ? undefined : { attempt: wanted, agent: held.agent };
  }

  /** Counts a task of the registry that no ACCEPT of this term launched: an orphan, or one of an earlier term. */
  occupy(task: TaskRecord): void {
    const { framework, role, agent, info } = task;
    const allocation = { framework, role, agent, resources: info.resources };
    if (this.hold(taskKey(framework, info.task, info.attempt), allocation)) this.allocator.occupy(allocation);
  }

  /** A task has ended, or a launch was refused: once for each, however often it is told. */
  release(key: string): void {
    const held = this.#held.get(key);
    if (held === undefined) return;
    this.#held.delete(key);
    unindexed(this.#heldOn, held.agent, key);
    unindexed(this.#heldFor, taskOf(key), key);
    this.allocator.recover(held);
    this.touch(held.agent);
  }

  /** Takes the offers of an agent back and tells their frameworks. */
  rescindOf(agent: string): void {
    this.#rescind(this.book.ofAgent(agent), true);
  }

  /** A framework that has vanished or begun anew holds no offers; `tell` it if it listens. */
  rescindFrom(framework: string, tell: boolean): void {
    this.#rescind(this.book.ofFramework(framework), tell);
  }

  /** Takes the offers of a framework back that were made under such a role, and tells it. */
  rescindRoles(framework: string, left: (role: string) => boolean): void {
    this.#rescind(
      this.book.ofFramework(framework).filter(({ role }) => left(role)),
      true,
    );
  }

  /** Runs the passes that were asked for and sends their offers. */
  flush(): void {
    const dirty = this.#dirty;
    if (dirty === undefined) return;
    this.#dirty = undefined;
    this.#offer(this.allocator.allocate(dirty, this.#now()));
    this.armBatch();
  }

  #offer(allocations: Allocation[]): void {
    if (allocations.length === 0) return;
    const { world } = this.#leader;
    const expiresMs = this.#now() + world.times.offerMs;
    const byFramework = new Map<string, OpenOffer[]>();
    for (const allocation of allocations) {
      const offer: OpenOffer = { ...allocation, offer: this.#mint(), expiresMs, createdMs: this.#leader.wallMs() };
      this.book.add(offer);
      const offers = byFramework.get(offer.framework);
      if (offers === undefined) byFramework.set(offer.framework, [offer]);
      else offers.push(offer);
    }
    for (const [framework, offers] of byFramework) this.#frameworks.offer(framework, offers);
    this.#armExpiry();
  }

  /** Ids of other terms never come back: the term is part of them. */
  #mint(): string {
    this.#minted++;
    return `o${this.#leader.term}-${this.#minted}-${randomWord(this.#leader.world.random, 4)}`;
  }

  /** What is taken back was not refused: `refuseMs` is for those that were silent. */
  #rescind(offers: OpenOffer[], tell: boolean, refuseMs?: number): void {
    const byFramework = new Map<string, string[]>();
    for (const offer of offers) {
      this.book.take(offer.offer);
      if (refuseMs === undefined) this.allocator.recover(offer);
      else this.allocator.decline(offer, refuseMs, this.#now());
      const ids = byFramework.get(offer.framework);
      if (ids === undefined) byFramework.set(offer.framework, [offer.offer]);
      else ids.push(offer.offer);
    }
    if (tell) for (const [framework, ids] of byFramework) this.#frameworks.rescind(framework, ids);
  }

  #occupy(agent: string): void {
    for (const task of tasksOfAgent(this.#leader.registry, agent)) if (!isTerminal(task.state)) this.occupy(task);
  }

  #vacate(agent: string): void {
    for (const key of [...(this.#heldOn.get(agent) ?? [])]) this.release(key);
  }

  /** A batch comes an interval after something changed, or when a filter ends; where nothing would change, none. */
  armBatch(): void {
    const { clock, times } = this.#leader.world;
    const nowMs = this.#now();
    const changeMs = this.allocator.dueMs(nowMs);
    if (changeMs === undefined) return;
    const dueMs = Math.max(changeMs, nowMs + times.allocationMs);
    if (this.#batch !== undefined && this.#batchMs <= dueMs) return;
    this.#batch?.cancel();
    this.#batchMs = dueMs;
    this.#batch = clock.after(Math.ceil(dueMs - nowMs), () => {
      this.#batch = undefined;
      this.#offer(this.allocator.allocate('batch', this.#now()));
      this.armBatch();
    });
  }

  #armExpiry(): void {
    const next = this.book.nextExpiry();
    if (this.#expiry !== undefined || next === undefined) return;
    this.#expiry = this.#leader.world.clock.after(Math.max(1, Math.ceil(next - this.#now())), () => {
      this.#expiry = undefined;
      const due = this.book.expired(this.#now());
      // Whoever is silent has, for as long, no claim on what it let time out: else the emptiest share hoards by sleeping.
      this.#rescind(due, true, this.#leader.world.times.offerMs);
      for (const { agent } of due) this.touch(agent);
      this.flush();
      this.#armExpiry();
    });
  }

  #factsOf({ agent, name, hostname, attributes, resources, window }: AgentRecord): AgentFacts {
    const facts = { name, hostname, attributes, total: resources };
    if (window === undefined) {
      this.#windows.delete(agent);
      return facts;
    }
    // The wall clock may drift against ours: a window keeps the moment that it had when it was first seen.
    const key = `${agent} ${window.startMs}`;
    const known = this.#windows.get(agent);
    const atMs = this.#now() + window.startMs - this.#leader.wallMs();
    const unavailableMs = known?.key === key ? known.atMs : Math.round(atMs);
    this.#windows.set(agent, { key, atMs: unavailableMs });
    return { ...facts, unavailableMs };
  }

  #now(): number {
    return this.#leader.world.clock.monotonic();
  }
}

/** `framework/task` of a task's key. */
function taskOf(key: string): string {
  return key.slice(0, key.lastIndexOf('/'));
}

function indexed(index: Map<string, Set<string>>, at: string, key: string): void {
  const keys = index.get(at);
  if (keys === undefined) index.set(at, new Set([key]));
  else keys.add(key);
}

function unindexed(index: Map<string, Set<string>>, at: string, key: string): void {
  const keys = index.get(at);
  keys?.delete(key);
  if (keys?.size === 0) index.delete(at);
}
