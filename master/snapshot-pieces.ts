import { LIMITS } from '../protocol/limits.ts';
import type { Piece } from './raft/progress.ts';
import { joined } from './raft/slice.ts';

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

/** The slices that {@link piecesOf} cut. */
export function slicesOf(pieces: Iterable<Piece>): Uint8Array[] {
  const slices: Uint8Array[] = [];
  let slice: Uint8Array[] = [];
  for (const { bytes, ends } of pieces) {
    slice.push(bytes);
    if (!ends) continue;
    slices.push(joined(slice));
    slice = [];
  }
  return slices;
}
