/** More than half. */
export function majority(voters: number): number {
  return Math.floor(voters / 2) + 1;
}

/** Of an election: by voter id; votes of others than `voters` do not count, and nobody's counts twice (§5.2). */
export function voteResult(voters: readonly string[], votes: ReadonlyMap<string, boolean>): 'won' | 'lost' | 'pending' {
  const granted = voters.filter((voter) => votes.get(voter) === true).length;
  const refused = voters.filter((voter) => votes.get(voter) === false).length;
  const needed = majority(voters.length);
  if (granted >= needed) return 'won';
  return voters.length - refused < needed ? 'lost' : 'pending';
}

/** The highest value that a majority of `values` reaches: of match indexes, what may be committed (§5.3). */
export function reachedByMajority(values: readonly number[]): number {
  const descending = [...values].sort((a, b) => b - a);
  return descending[majority(values.length) - 1] ?? 0;
}
