import { type ContainerEngine, EngineError, type PullProgress, type Stop } from '../containers.ts';
import type { Log } from '../log.ts';

export interface FetchWorld {
  readonly engine: ContainerEngine;
  readonly log: Log;
  /** For whoever waits: not often, for each word crosses the link. */
  readonly say: (message: string) => void;
  readonly stop: Stop;
  readonly pause: (ms: number) => Promise<void>;
}

/** Between two words about one pull. */
const WORD_MS = 60_000;
const RETRY_MS = 2_000;
const RETRY_MAX_MS = 120_000;
const MB = 1_048_576;

/**
 * Has an image here. A pull that breaks off is tried again, for as long as nobody stops it: the engine keeps the parts
 * that came whole. True where it was not here before. Rejects with `NOT_FOUND` or
 * `REFUSED` where no try will help, and with `STOPPED`.
 */
export async function fetchImage(
  world: FetchWorld,
  image: string,
  policy: 'never' | 'missing' | 'always',
): Promise<boolean> {
  const { engine, say, stop, log } = world;
  const before = await engine.image(image).catch((error: unknown) => {
    throw error instanceof EngineError && error.code === 'REFUSED'
      ? new EngineError('REFUSED', `image ${image}: ${error.message}`, error)
      : error;
  });
  if (policy !== 'always' && before !== undefined) return false;
  if (policy === 'never')
    throw new EngineError('NOT_FOUND', `image ${image} is not on this machine, and is not to be pulled`);
  for (let pauseMs = RETRY_MS; !stop.stopped; pauseMs = Math.min(RETRY_MAX_MS, pauseMs * 2)) {
    let progress: PullProgress = { doneBytes: 0, totalBytes: 0, words: 'begun' };
    say(pullWords(image, progress));
    // By the clock, for engines say nothing for long: whoever waits is to know that somebody is at it.
    const telling = setInterval(() => say(pullWords(image, progress)), WORD_MS);
    telling.unref();
    try {
      const onProgress = (news: PullProgress): void => {
        progress = news;
      };
      await engine.pull(image, onProgress, stop);
      return before === undefined;
    } catch (error) {
      if (!(error instanceof EngineError) || error.code === 'STOPPED') throw error;
      if (error.code === 'NOT_FOUND' || error.code === 'REFUSED') throw neverPulled(image, error);
      log.warn('pull broke off', { image, error: error.message, retryMs: pauseMs });
      say(`pulling ${image} broke off, again in ${pauseMs / 1_000} s: ${error.message.slice(0, 200)}`);
      await world.pause(pauseMs);
    } finally {
      clearInterval(telling);
    }
  }
  throw new EngineError('STOPPED', 'asked to stop');
}

function neverPulled(image: string, error: EngineError): EngineError {
  return new EngineError('NOT_FOUND', `image ${image} cannot be pulled: ${error.message}`, error);
}

/** `pulling IMAGE: 12 of 40 MB`, as far as the engine tells. */
export function pullWords(image: string, { doneBytes, totalBytes, words }: PullProgress): string {
  if (totalBytes === 0) return `pulling ${image}: ${words}`.slice(0, 300);
  return `pulling ${image}: ${Math.floor(doneBytes / MB)} of ${Math.ceil(totalBytes / MB)} MB`;
}
