import type { AgentStats } from '../../protocol/agent-stats.ts';
import type { BudgetState } from './day-bucket.ts';
import { connectBytes, keepAliveBytes, type LinkShape, messageBytes } from './wire.ts';

export type Carried = 'controlUp' | 'controlDown' | 'bulk' | 'presence';
/** What became of a report about the machine. */
export type ReportFate = keyof AgentStats['reports'];
/** What was written to the data folder. */
export type Written = 'journal' | 'other';

/** What others know, when somebody asks. */
export interface Told {
  readonly upMs: number;
  readonly keepAlives: number;
  readonly budget: BudgetState;
  readonly log: AgentStats['log'];
  readonly process: AgentStats['process'];
}

/** Everything an agent counts, in memory, from the start of its process. Nothing of it is ever written down. */
export class Accounts {
  readonly #shape: LinkShape;
  readonly #carried = {
    controlUp: { messages: 0, bytes: 0 },
    controlDown: { messages: 0, bytes: 0 },
    bulk: { messages: 0, bytes: 0 },
    presence: { messages: 0, bytes: 0 },
  };
  readonly #reports = { sent: 0, insignificant: 0, soon: 0 };
  readonly #disk = { journal: { writes: 0, bytes: 0 }, other: { writes: 0, bytes: 0 } };
  readonly #tasks = { started: 0, restarted: 0 };
  #connects = 0;
  #wire = 0;
  #fetched = 0;

  constructor(shape: LinkShape) {
    this.#shape = shape;
  }

  /** A message went over the link, with so many bytes of payload and of topic. Default of `qos`: 1. */
  carried(kind: Carried, payload: number, topic: number, qos: 0 | 1 = 1): void {
    const sum = this.#carried[kind];
    sum.messages++;
    sum.bytes += payload;
    this.#wire += messageBytes(payload, topic, this.#shape, qos);
  }

  connected(): void {
    this.#connects++;
    this.#wire += connectBytes(this.#shape);
  }

  /** Bytes came from elsewhere than a master. */
  fetched(bytes: number): void {
    this.#fetched += bytes;
  }

  report(fate: ReportFate): void {
    this.#reports[fate]++;
  }

  wrote(kind: Written, bytes: number): void {
    const sum = this.#disk[kind];
    sum.writes++;
    sum.bytes += bytes;
  }

  /** A start of a task; `again`: not its first. */
  started(again: boolean): void {
    this.#tasks[again ? 'restarted' : 'started']++;
  }

  stats({ upMs, keepAlives, budget, log, process }: Told): AgentStats {
    const { started, restarted } = this.#tasks;
    const { journal, other } = this.#disk;
    return {
      upMs,
      link: {
        connects: this.#connects,
        keepAlives,
        ...this.#carried,
        fetchedBytes: this.#fetched,
        wireBytes: this.#wire + keepAlives * keepAliveBytes(this.#shape),
      },
      reports: { ...this.#reports },
      disk: { journal: { ...journal }, other: { ...other }, folders: started + restarted },
      tasks: { started, restarted },
      log,
      bulk: { budget: budget.aDay ?? null, left: budget.left ?? null, spent: budget.spent, over: budget.over },
      process,
    };
  }
}
