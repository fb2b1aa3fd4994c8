import { LIMITS } from '../protocol/limits.ts';
import type { Piece } from './raft/progress.ts';

/** Slices cut so that each piece fits into a message. */
export function piecesOf(slices: Iterable<Uint8Array>): Piece[] {
  const pieces: Piece[] = [];
  for (const slice of slices) {
    for (let at = 0; at < slice.length; at += LIMITS.partBytes) {
      const end = Math.min(slice.length, at + LIMITS.partBytes);
      pieces.push({ bytes: slice.slice(at, end), ends: end === slice.length });
    }
  }
  return pieces;
}
