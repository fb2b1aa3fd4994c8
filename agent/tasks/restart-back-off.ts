const FIRST_MS = 1_000;
const MOST_MS = 300_000;

/** A start that ran this long was a success of its kind: the pauses begin anew. */
export const LASTING_MS = 600_000;

/** The pause before the next start: 1 s, doubling with every start in a row that ended soon, up to 5 min. */
export function backOffMs(quickEnds: number): number {
  return Math.min(MOST_MS, FIRST_MS * 2 ** Math.min(quickEnds, 20));
}
