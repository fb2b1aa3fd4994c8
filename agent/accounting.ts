import type { MovableBus } from '../io/bus.ts';
import type { Clock } from '../io/clock.ts';
import type { ProcessFacts } from '../io/process-facts.ts';
import type { AskStats } from '../protocol/agent-link.ts';
import type { AgentStats } from '../protocol/agent-stats.ts';
import { Accounts } from './accounts/accounts.ts';
import { AgentBulkBudget } from './bulk-budget.ts';

/** What the agent is told of itself, where it runs as a process of its own. */
export interface Bookkeeping {
  /** The connection is encrypted: what crosses it is estimated accordingly. */
  readonly tls: boolean;
  readonly process: () => Promise<ProcessFacts>;
  /** Lines of the agent's own log so far, and those that no file took. */
  readonly log: () => AgentStats['log'];
}

export interface AccountingOptions {
  readonly name: string;
  readonly clock: Clock;
  /** Bytes a day for what is bulky; undefined: no budget. */
  readonly bulkBudget: number | undefined;
  readonly bookkeeping: Bookkeeping | undefined;
  readonly metered: boolean;
}

/** Everything that the agent counts, and the budget that part of it is held to. */
export class Accounting {
  readonly accounts: Accounts;
  readonly budget: AgentBulkBudget;
  readonly #options: AccountingOptions;
  readonly #startMs: number;

  constructor(options: AccountingOptions) {
    const { name, clock, bulkBudget, bookkeeping, metered } = options;
    this.#options = options;
    this.#startMs = clock.monotonic();
    this.accounts = new Accounts({ tls: bookkeeping?.tls ?? false, metered });
    this.budget = new AgentBulkBudget(name, bulkBudget, clock);
  }

  /** Answers one who asked. */
  async answer({ request, client, session }: AskStats, bus: Pick<MovableBus, 'keepAlives'>) {
    const { clock, bookkeeping } = this.#options;
    const stats = this.accounts.stats({
      upMs: Math.round(clock.monotonic() - this.#startMs),
      keepAlives: bus.keepAlives ?? 0,
      budget: this.budget.state,
      log: bookkeeping?.log() ?? { lines: 0, dropped: 0 },
      process: (await bookkeeping?.process()) ?? null,
    });
    return { type: 'STATS' as const, request, client, session, stats };
  }
}
