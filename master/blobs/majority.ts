/** True where most of the voters hold it. Who holds it and does not vote counts for nothing. */
export function isHeldByMost(voters: readonly string[], holders: ReadonlySet<string>): boolean {
  return voters.filter((voter) => holders.has(voter)).length * 2 > voters.length;
}
