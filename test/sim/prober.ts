import type { Clock } from '../../io/clock.ts';
import type { Probe, ProbeAnswer, Prober } from '../../io/prober.ts';

/** Every probe of one machine, on virtual time: each is kept, and answered as the test says. */
export class SimulatedProbes {
  /** When each probe began, and what it was. */
  readonly asked: { readonly atMs: number; readonly probe: Probe }[] = [];
  /** What a probe finds, and after how long (default 1 ms). `never` runs into its time-out. */
  answer: (probe: Probe) => (ProbeAnswer & { readonly afterMs?: number }) | 'never' = wellAnswer;
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** What `systemProber` is on a real machine. */
  attach(): Prober {
    let stopped = false;
    return {
      probe: (probe, timeoutMs) => {
        this.asked.push({ atMs: this.#clock.monotonic(), probe });
        const found = this.answer(probe);
        const late = found === 'never' || (found.afterMs ?? 1) > timeoutMs;
        const answer: ProbeAnswer = late ? { trouble: `no answer within ${timeoutMs} ms` } : strip(found);
        const afterMs = late ? timeoutMs : (found.afterMs ?? 1);
        return new Promise((resolve) => {
          this.#clock.after(afterMs, () => resolve(stopped ? { trouble: 'the agent stops' } : answer));
        });
      },
      stop: () => {
        stopped = true;
      },
    };
  }
}

function strip({ afterMs: _, ...answer }: ProbeAnswer & { readonly afterMs?: number }): ProbeAnswer {
  return answer;
}

/** All is well. */
export function wellAnswer({ kind }: Probe): ProbeAnswer {
  return kind === 'command' ? { exitCode: 0 } : kind === 'http' ? { statusCode: 200 } : { connected: true };
}
