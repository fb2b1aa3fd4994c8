import { randomWord } from '../io/random.ts';
import type { Unavailability } from '../protocol/offer.ts';
import type { InverseOffer } from '../protocol/scheduler.ts';
import { isTerminal } from '../protocol/task.ts';
import type { FrameworkSessions } from './framework-sessions.ts';
import type { Leader } from './leader.ts';
import { type AgentRecord, tasksOfAgent } from './registry/registry.ts';

/** When an agent will be unavailable: from its window's begin on, or once a drain has ended what runs there. */
export function unavailabilityOf({ drain, window }: AgentRecord): Unavailability | undefined {
  if (window !== undefined) {
    const { startMs, durationMs } = window;
    return durationMs === undefined ? { startMs } : { startMs, durationMs };
  }
  return drain === undefined ? undefined : { startMs: drain.deadlineMs };
}

interface Asked extends InverseOffer {
  answer: 'accepted' | 'declined' | undefined;
}

/**
 * Asks the frameworks that have tasks on an agent whether they will have left when it becomes unavailable (Mesos:
 * docs/maintenance.md). Their answers are advice for the operator, and change nothing. Soft state of the leader: another
 * one asks again.
 */
export class InverseOffers {
  readonly #leader: Leader;
  readonly #frameworks: FrameworkSessions;
  readonly #changed: (agent: string) => void;
  /** Agent → when; only agents that will be unavailable. */
  readonly #windows = new Map<string, Unavailability>();
  /** Id → what was asked. */
  readonly #asked = new Map<string, Asked>();

  /** `changed`: a framework has answered about that agent. */
  constructor(leader: Leader, frameworks: FrameworkSessions, changed: (agent: string) => void = () => undefined) {
    this.#leader = leader;
    this.#frameworks = frameworks;
    this.#changed = changed;
  }

  /** Asks whoever has tasks there. What was asked before about other times is taken back. */
  announce(record: AgentRecord): void {
    const { agent } = record;
    const when = unavailabilityOf(record);
    const before = this.#windows.get(agent);
    if (when === undefined) return this.withdraw(agent);
    if (before?.startMs === when.startMs && before.durationMs === when.durationMs) return;
    this.withdraw(agent);
    this.#windows.set(agent, when);
    for (const framework of this.#tenants(agent)) this.#ask(framework, [agent]);
  }

  /** It stays, or is gone. */
  withdraw(agent: string): void {
    this.#windows.delete(agent);
    this.#forget((asked) => asked.agent === agent);
  }

  /** A session has begun: what its framework was asked before, it has lost. */
  repeat(framework: string): void {
    this.#forget((asked) => asked.framework === framework, false);
    const agents = [...this.#windows.keys()].filter((agent) => this.#tenants(agent).has(framework));
    this.#ask(framework, agents);
  }

  /** A framework that comes to an agent is asked as the others were. */
  taskPlaced(framework: string, agent: string): void {
    if (!this.#windows.has(agent)) return;
    const isAsked = [...this.#asked.values()].some((asked) => asked.agent === agent && asked.framework === framework);
    if (!isAsked) this.#ask(framework, [agent]);
  }

  /** A framework that has no task left there has nothing left to answer. */
  taskEnded(framework: string, agent: string): void {
    if (!this.#windows.has(agent) || this.#tenants(agent).has(framework)) return;
    this.#forget((asked) => asked.agent === agent && asked.framework === framework);
  }

  answer(framework: string, offers: readonly string[], answer: 'accepted' | 'declined'): void {
    for (const offer of offers) {
      const asked = this.#asked.get(offer);
      if (asked?.framework !== framework) continue;
      asked.answer = answer;
      this.#changed(asked.agent);
    }
  }

  /** What the frameworks with tasks on an agent have said so far. */
  answers(agent: string): { accepted: string[]; declined: string[]; silent: string[] } {
    const said = (wanted: Asked['answer']): string[] =>
      [...this.#asked.values()]
        .filter((asked) => asked.agent === agent && asked.answer === wanted)
        .map(({ framework }) => framework)
        .sort();
    return { accepted: said('accepted'), declined: said('declined'), silent: said(undefined) };
  }

  #tenants(agent: string): Set<string> {
    const tasks = tasksOfAgent(this.#leader.registry, agent);
    return new Set(tasks.filter(({ state }) => !isTerminal(state)).map(({ framework }) => framework));
  }

  #ask(framework: string, agents: readonly string[]): void {
    if (!this.#frameworks.active(framework)) return;
    const offers: InverseOffer[] = [];
    for (const agent of agents) {
      const unavailability = this.#windows.get(agent);
      const name = this.#leader.registry.agents.get(agent)?.name;
      if (unavailability === undefined || name === undefined) continue;
      const offer = `i${this.#leader.term}-${randomWord(this.#leader.world.random, 8)}`;
      const asked: InverseOffer = { offer, framework, agent, name, unavailability };
      this.#asked.set(offer, { ...asked, answer: undefined });
      offers.push(asked);
    }
    this.#frameworks.sendParts(framework, offers, (part) => ({ type: 'INVERSE_OFFERS', offers: part }), 'offers');
  }

  #forget(which: (asked: Asked) => boolean, tell = true): void {
    const byFramework = new Map<string, string[]>();
    for (const [offer, asked] of this.#asked) {
      if (!which(asked)) continue;
      this.#asked.delete(offer);
      byFramework.set(asked.framework, [...(byFramework.get(asked.framework) ?? []), offer]);
    }
    if (!tell) return;
    for (const [framework, offers] of byFramework) {
      if (!this.#frameworks.active(framework)) continue;
      const event = (part: string[]) => ({ type: 'RESCIND_INVERSE_OFFERS' as const, offers: part });
      this.#frameworks.sendParts(framework, offers, event, 'offers');
    }
  }
}
