import test from 'ava';
import fc from 'fast-check';
import { PieceSize } from '../../agent/pace/piece-size.ts';

const MOST = 32_768;

/** What a piece takes over a link, where two are underway: its own bytes, and those of the one before it. */
function over(link: { roundTripMs: number; bytesPerMs: number }, pieces: number): PieceSize {
  const size = new PieceSize(MOST);
  let before = 0;
  for (let piece = 0; piece < pieces; piece++) {
    const bytes = size.bytes;
    size.sent(Math.max(link.roundTripMs, before / link.bytesPerMs) + bytes / link.bytesPerMs);
    before = bytes;
  }
  return size;
}

test('on a wide link pieces are as long as they may be after a few, on a narrow one short ones stay', (t) => {
  t.is(over({ roundTripMs: 2, bytesPerMs: 10_000 }, 4).bytes, MOST);
  t.is(over({ roundTripMs: 300, bytesPerMs: 1_250 }, 20).bytes, MOST, 'far is not narrow');
  t.true(over({ roundTripMs: 300, bytesPerMs: 32 }, 40).bytes <= 8_192);
});

test('whatever it is told, a piece has its least and its most', (t) => {
  fc.assert(
    fc.property(fc.array(fc.double({ min: 0, max: 100_000, noNaN: true })), (times) => {
      const size = new PieceSize(MOST);
      for (const ms of times) size.sent(ms);
      return size.bytes >= 4_096 && size.bytes <= MOST;
    }),
  );
  t.pass();
});
