import type { Clock } from '../io/clock.ts';
import { Fault } from '../protocol/faults.ts';
import { shownSize } from '../protocol/size.ts';
import { type BudgetState, DayBucket } from './accounts/day-bucket.ts';

/** Of what comes in one piece as far as the budget is concerned. */
const FETCH_BYTES = 1_048_576;

/** What everything bulky of one agent draws on: logs, files, artifacts, uploads. What controls the agent never does. */
export interface BulkBudget {
  /** Undefined where `bytes` may be sent or fetched now; else BUDGET_SPENT, with the time after which they may. */
  may(bytes: number): Fault | undefined;
  /** They were; also where nobody asked before. */
  spent(bytes: number): void;
}

/** The budget of agent `name`: `aDay` bytes, undefined for as many as are asked for. */
export class AgentBulkBudget implements BulkBudget {
  readonly #name: string;
  readonly #clock: Clock;
  readonly #bucket: DayBucket;

  constructor(name: string, aDay: number | undefined, clock: Clock) {
    this.#name = name;
    this.#clock = clock;
    this.#bucket = new DayBucket(aDay, clock.monotonic());
  }

  get state(): BudgetState {
    return this.#bucket.state(this.#clock.monotonic());
  }

  may(bytes: number): Fault | undefined {
    const waitMs = this.#bucket.waitMs(bytes, this.#clock.monotonic());
    if (waitMs === 0) return undefined;
    const { aDay = 0 } = this.state;
    return new Fault(
      'BUDGET_SPENT',
      `agent ${this.#name} has spent its ${shownSize(aDay)} a day for logs and files; for the next ${shownSize(bytes)} there is room in ${minutes(waitMs)}`,
      'Wait so long, or add --over-budget (operators); mesq agent stats tells what was spent.',
    );
  }

  /** How long until a fetch may begin or go on: for its next megabyte. Nobody waits for an answer, so it waits by itself. */
  fetchWaitMs(): number {
    return this.#bucket.waitMs(FETCH_BYTES, this.#clock.monotonic());
  }

  spent(bytes: number): void {
    this.#bucket.spend(bytes, this.#clock.monotonic());
  }
}

function minutes(ms: number): string {
  const whole = Math.ceil(ms / 60_000);
  return whole < 120 ? `${whole} min` : `${Math.round(whole / 60)} h`;
}
