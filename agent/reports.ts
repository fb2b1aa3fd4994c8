import type { Clock, Timer } from '../io/clock.ts';
import type { AGENT_UP } from '../protocol/agent-link.ts';
import { cut, type Outgoing } from '../protocol/envelope.ts';
import { LIMITS } from '../protocol/limits.ts';
import type { TaskStatus } from '../protocol/task.ts';
import type { DurableState } from './durable-state.ts';
import type { Session } from './session.ts';
import { Outbox } from './updates/outbox.ts';

export interface ReportsWorld {
  readonly clock: Clock;
  readonly durable: DurableState;
  /** Every packet costs. */
  readonly metered: boolean;
  /** To the leader, as {@link Session.send}. */
  readonly send: (message: Outgoing<typeof AGENT_UP>, isAnswered: boolean) => boolean;
  readonly established: () => boolean;
  /** These are on their way to the leader. */
  readonly told: (statuses: readonly TaskStatus[]) => void;
}

/** Where every packet costs, reports wait so long for each other: a short task is told in one message. */
const METERED_REPORT_MS = 1_000;

/**
 * Sends what is to be reported of tasks until a master has it: once for all that became due in a turn of the loop, or within a
 * second where that costs.
 */
export class Reports {
  readonly #world: ReportsWorld;
  readonly #outbox = new Outbox();
  /** uuid → where its acknowledgement goes. */
  readonly #sent = new Map<string, { run: string; sequence: number }>();
  #flushing = false;
  #gathering: Timer | undefined;
  #retry: Timer | undefined;

  constructor(world: ReportsWorld) {
    this.#world = world;
  }

  /** Durable already; it goes out with the next {@link flush}. */
  post(run: string, status: TaskStatus): void {
    const replaced = this.#outbox.add(run, status);
    if (replaced !== undefined) this.#sent.delete(replaced);
    this.#sent.set(status.uuid, { run, sequence: status.sequence });
  }

  /** A master seems not to have heard of that run. */
  resend(run: string): void {
    this.#outbox.resend(run);
  }

  /** A session has begun: all that waits goes out. */
  established(): void {
    this.#outbox.reset();
    this.flush();
  }

  /** What a master has committed is forgotten; the journal hears of it with its next record. The runs that this was about. */
  *acknowledged(uuids: readonly string[]): Generator<string> {
    for (const uuid of uuids) {
      const about = this.#sent.get(uuid);
      if (about === undefined) continue;
      const { run, sequence } = about;
      this.#sent.delete(uuid);
      this.#outbox.acknowledge(run, sequence);
      this.#world.durable.later([{ kind: 'ACKNOWLEDGED', run, sequence }]);
      yield run;
    }
  }

  flush(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    const send = (): void => {
      this.#flushing = false;
      this.#sendDue();
    };
    const { clock, metered } = this.#world;
    if (metered) this.#gathering = clock.after(METERED_REPORT_MS, send);
    else queueMicrotask(send);
  }

  stop(): void {
    this.#gathering?.cancel();
    this.#retry?.cancel();
  }

  #sendDue(): void {
    this.#retry?.cancel();
    this.#retry = undefined;
    const { clock, durable, send, established, told } = this.#world;
    if (!established()) return;
    const due = this.#outbox.next(clock.monotonic());
    for (const updates of cut(due, LIMITS.partBytes, LIMITS.tasksPerMessage)) {
      if (updates.length > 0) send({ type: 'UPDATE', epoch: durable.state.epoch, updates }, !this.#outbox.repeats);
    }
    told(due);
    const next = this.#outbox.nextMs();
    if (next !== undefined)
      this.#retry = clock.after(Math.max(1, Math.ceil(next - clock.monotonic())), () => this.#sendDue());
  }
}
