import test from 'ava';
import { EngineError, type EngineErrorCode } from '../../io/containers.ts';
import { EnginePatience } from '../../io/engine-patience.ts';

/** The pauses after as many tries that failed so; undefined: no further try. */
function pauses(code: EngineErrorCode, tries: number, runs = false): (number | undefined)[] {
  const patience = new EnginePatience();
  return Array.from({ length: tries }, () => patience.failed(new EngineError(code, 'no'), runs).pauseMs);
}

test('what an engine refuses is not asked again', (t) => {
  t.deepEqual(pauses('REFUSED', 1), [undefined]);
  t.deepEqual(pauses('NOT_FOUND', 1), [undefined]);
});

test('an engine that fails is believed after six tries, at pauses that double', (t) => {
  t.deepEqual(pauses('FAILED', 6), [1_000, 2_000, 4_000, 8_000, 16_000, undefined]);
});

test('while nobody answers, or what is asked about runs, it is asked for ever, at most every half minute', (t) => {
  t.deepEqual(pauses('UNAVAILABLE', 8).slice(-4), [16_000, 30_000, 30_000, 30_000]);
  t.deepEqual(pauses('FAILED', 8, true).slice(-2), [30_000, 30_000]);
});

test('the same words are news once; after it ran the pause is a first one', (t) => {
  const patience = new EnginePatience();
  const failed = (words: string) => patience.failed(new EngineError('UNAVAILABLE', words), false);
  t.deepEqual(failed('nobody there'), { pauseMs: 1_000, news: true });
  t.deepEqual(failed('nobody there'), { pauseMs: 2_000, news: false });
  t.deepEqual(failed('cut off'), { pauseMs: 4_000, news: true });
  patience.rewarded();
  t.deepEqual(failed('cut off'), { pauseMs: 1_000, news: false });
});
