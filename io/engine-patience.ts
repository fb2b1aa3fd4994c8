import { EngineError } from './containers.ts';

const FIRST_MS = 1_000;
const LONGEST_MS = 30_000;
/** Tries that an engine answered with a failure of its own, until it is believed: half a minute of them. */
const MOST_FAILURES = 6;

/** What follows a try that failed. */
export interface NextTry {
  /** Undefined: none, no further try helps. */
  readonly pauseMs: number | undefined;
  /** Not the words of the try before: worth a line. */
  readonly news: boolean;
}

/**
 * How often an engine is asked to run one container. What it refuses ends it at once, what it answers with a failure of
 * its own after six tries (Podman calls everything so), and while nobody answers it is asked for ever. Pauses
 * double, from 1 s to 30 s.
 */
export class EnginePatience {
  #tries = 0;
  #failures = 0;
  #words: string | undefined;

  /** `runs`: the container does, so that a failure to ask about it is not its end. */
  failed(error: unknown, runs: boolean): NextTry {
    const code = error instanceof EngineError ? error.code : undefined;
    const words = String(error);
    const news = words !== this.#words;
    this.#words = words;
    if (code === 'FAILED' && !runs) this.#failures++;
    if (code === 'REFUSED' || code === 'NOT_FOUND' || this.#failures >= MOST_FAILURES)
      return { pauseMs: undefined, news };
    const pauseMs = Math.min(LONGEST_MS, FIRST_MS * 2 ** this.#tries);
    this.#tries++;
    return { pauseMs, news };
  }

  /** It runs: the next pause is a first one. */
  rewarded(): void {
    this.#tries = 0;
    this.#failures = 0;
  }
}
