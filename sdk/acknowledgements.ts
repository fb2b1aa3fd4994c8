import type { Clock, Timer } from '../io/clock.ts';
import { cut } from '../protocol/envelope.ts';
import { LIMITS } from '../protocol/limits.ts';
import type { Call } from './call-sender.ts';

/** Nobody waits for an acknowledgement: those of this long go out together, and so the master commits them. */
const TOGETHER_MS = 50;

/** Acknowledgements of status updates, gathered for 50 ms. */
export class Acknowledgements {
  readonly #clock: Clock;
  readonly #send: (call: Call) => void;
  #waiting: { task: string; uuid: string }[] = [];
  #timer: Timer | undefined;

  constructor(clock: Clock, send: (call: Call) => void) {
    this.#clock = clock;
    this.#send = send;
  }

  add(task: string, uuid: string): void {
    this.#waiting.push({ task, uuid });
    this.#timer ??= this.#clock.after(TOGETHER_MS, () => this.flush());
  }

  flush(): void {
    const waiting = this.#waiting;
    this.clear();
    for (const updates of cut(waiting, LIMITS.partBytes, LIMITS.tasksPerMessage))
      if (updates.length > 0) this.#send({ type: 'ACKNOWLEDGE', updates });
  }

  /** The master repeats what was not acknowledged. */
  clear(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#waiting = [];
  }
}
