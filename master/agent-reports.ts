import type { Timer } from '../io/clock.ts';
import { type Attributes, formatAttributes } from '../protocol/attributes.ts';
import { equals } from '../protocol/resource-arithmetic.ts';
import type { Resources } from '../protocol/resources.ts';
import type { Leader } from './leader.ts';
import type { AgentRecord } from './registry/registry.ts';

/** So many changes of an agent are written down as they come… */
const BURST = 10;
/** …and then one in this time, the newest: what measures and reports every second would write the log without end. */
const EVERY_MS = 10_000;

interface Report {
  readonly epoch: number;
  readonly resources: Resources;
  readonly attributes: Attributes;
}

interface Account {
  /** What was proposed last in this term: it may be on its way to the registry. */
  said: Report | undefined;
  waiting: Report | undefined;
  timer: Timer | undefined;
  /** How many may be proposed, counted at `atMs`. */
  credit: number;
  atMs: number;
}

/** Proposes what agents report of themselves: what is new, and not more often than changes do come. */
export class AgentReports {
  readonly #leader: Leader;
  readonly #accounts = new Map<string, Account>();

  constructor(leader: Leader) {
    this.#leader = leader;
  }

  stop(): void {
    for (const { timer } of this.#accounts.values()) timer?.cancel();
    this.#accounts.clear();
  }

  take(agent: AgentRecord, resources: Resources, attributes: Attributes): void {
    const account = this.#accountOf(agent.agent);
    const report = { epoch: agent.epoch, resources, attributes };
    if (isSame(report, account.said?.epoch === agent.epoch ? account.said : committed(agent))) {
      account.waiting = undefined;
      return;
    }
    account.waiting = report;
    if (account.timer === undefined) this.#settle(agent.agent, account);
  }

  #accountOf(agent: string): Account {
    const known = this.#accounts.get(agent);
    if (known !== undefined) return known;
    const nowMs = this.#leader.world.clock.monotonic();
    const account = { said: undefined, waiting: undefined, timer: undefined, credit: BURST, atMs: nowMs };
    this.#accounts.set(agent, account);
    return account;
  }

  #settle(id: string, account: Account): void {
    const { registry, world } = this.#leader;
    const { waiting } = account;
    if (waiting === undefined) return;
    const agent = registry.agents.get(id);
    if (agent === undefined || agent.state !== 'active' || agent.epoch !== waiting.epoch) {
      account.waiting = undefined;
      return;
    }
    const nowMs = world.clock.monotonic();
    account.credit = Math.min(BURST, account.credit + (nowMs - account.atMs) / EVERY_MS);
    account.atMs = nowMs;
    if (account.credit < 1) {
      world.counters.count('report more often than once in ten seconds');
      return this.#again(id, account);
    }
    const { resources, attributes } = waiting;
    const refused = this.#leader.propose({
      kind: 'REPORT_AGENT',
      agent: id,
      epoch: waiting.epoch,
      resources,
      attributes,
    });
    if (refused !== undefined) return this.#again(id, account);
    account.credit--;
    account.said = waiting;
    account.waiting = undefined;
  }

  #again(id: string, account: Account): void {
    account.timer = this.#leader.world.clock.after(EVERY_MS, () => {
      account.timer = undefined;
      this.#settle(id, account);
    });
  }
}

function committed({ epoch, resources, reported, attributes }: AgentRecord): Report {
  return { epoch, resources: reported ?? resources, attributes };
}

function isSame(left: Report, right: Report): boolean {
  return (
    equals(left.resources, right.resources) && formatAttributes(left.attributes) === formatAttributes(right.attributes)
  );
}
