/** What a driver tells the master so that a framework with nothing to do costs the others nothing. */
export interface InterestChange {
  readonly suppress: readonly string[];
  readonly revive: readonly string[];
}

/** Compares which roles have work with which are suppressed: what must be said to make the one follow the other. */
export function changeOfInterest(
  roles: readonly string[],
  suppressed: readonly string[],
  wants: (role: string) => boolean,
): InterestChange {
  const suppress: string[] = [];
  const revive: string[] = [];
  for (const role of roles) {
    const wanted = wants(role);
    if (wanted === suppressed.includes(role)) (wanted ? revive : suppress).push(role);
  }
  return { suppress, revive };
}
