import type { Clock } from '../io/clock.ts';
import type { Log } from '../io/log.ts';
import { type Random, randomWord } from '../io/random.ts';
import { Fault } from '../protocol/faults.ts';
import { LIMITS } from '../protocol/limits.ts';
import { soundStatus } from '../protocol/salvage-update.ts';
import { shortened } from '../protocol/shortened.ts';
import { isTerminal, type TaskStatus } from '../protocol/task.ts';
import type { Run } from './checkpoint/state.ts';
import { type DurableState, isFull } from './durable-state.ts';

/** A wall clock before this (2023-11-14) was never synchronised: the board woke up in 1970, or at its image's date. */
const PLAUSIBLE_WALL_MS = 1_700_000_000_000;

export interface StatusReportsWorld {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly durable: DurableState;
  readonly boot: string;
}

/** What a report says, beside which run it is about and its number. */
export type Said = Omit<TaskStatus, 'framework' | 'task' | 'attempt' | 'restart' | 'uuid' | 'sequence' | 'at'>;

/** Makes reports about runs: numbers them, dates them, writes them down, and hands them on once they are durable. */
export class StatusReports {
  readonly #world: StatusReportsWorld;
  readonly #reported: (run: string, status: TaskStatus) => void;

  constructor(world: StatusReportsWorld, reported: (run: string, status: TaskStatus) => void) {
    this.#world = world;
    this.#reported = reported;
  }

  /**
   * The disk may wait up to `withinMs` for company. `said` is the uuid under which an executor said it. True once it is
   * durable; false where the disk did not take it.
   */
  async report(run: Run, { message, ...what }: Said, withinMs: number, said?: string): Promise<boolean> {
    const { clock, random, durable, boot, log } = this.#world;
    const current = durable.state.runs.get(run.run) ?? run;
    // Out of contact for long, a service that fails again and again must not grow: its newest report is renewed.
    const renewed = !isTerminal(what.state) && current.unacknowledged.length >= LIMITS.unacknowledgedPerTask;
    const wallMs = Math.round(clock.wall());
    const made: TaskStatus = {
      framework: run.framework,
      task: run.info.task,
      attempt: run.info.attempt,
      restart: run.restart,
      uuid: randomWord(random, 16),
      sequence: renewed ? current.sequence : current.sequence + 1,
      ...what,
      ...(message === undefined ? {} : { message: shortened(message, LIMITS.messageLength) }),
      at: { boot, monotonicMs: Math.round(clock.monotonic()), wallMs: wallMs < PLAUSIBLE_WALL_MS ? null : wallMs },
    };
    // What no master takes would be told for ever, and all that rides with it.
    const status = soundStatus(made);
    if (status instanceof Fault) {
      log.error('report not made', { run: run.run, error: status.message });
      return false;
    }
    try {
      await durable.commitWithin(withinMs, [{ kind: 'STATUS', run: run.run, status, said }]);
      this.#reported(run.run, status);
      return true;
    } catch (error) {
      log.error('report not written', { run: run.run, error: String(error) });
      // What became of a run can be found out again from its folder, so it is told although the full disk did not
      // take it: a crash now would report it once more, under another uuid, with the number it has here.
      if (isFull(error)) this.#reported(run.run, status);
      return false;
    }
  }
}
