import type { Attributes } from '../../protocol/attributes.ts';
import { type Constraint, countPlaced, matches } from '../../protocol/constraints.ts';

/** An agent as constraints see it. */
export interface Facts {
  /** Its name. */
  readonly name: string;
  readonly hostname: string;
  readonly attributes: Attributes;
  /** When it becomes unavailable, where that is known: monotonic milliseconds. */
  readonly unavailableMs?: number | undefined;
}

/** Any of the groups must hold; in a group, every constraint (Mesos: OfferConstraints). */
export type OfferConstraints = readonly (readonly Constraint[])[];

const SPREAD: ReadonlySet<Constraint['kind']> = new Set(['unique', 'cluster', 'max-per', 'group-by']);

/** True where what holds depends on where the framework has something already. */
export function looksAround(groups: OfferConstraints): boolean {
  return groups.some((group) => group.some(({ kind }) => SPREAD.has(kind)));
}

/** `holding`: the agents on which the framework holds anything; asked only where a constraint looks around. */
export function admits(groups: OfferConstraints, facts: Facts, holding: () => Facts[]): boolean {
  if (groups.length === 0) return true;
  const here = candidate(facts);
  let others: ReturnType<typeof candidate>[] | undefined;
  return groups.some((group) =>
    group.every((constraint) => {
      if (!SPREAD.has(constraint.kind)) return matches(constraint, here);
      others ??= holding().map(candidate);
      return matches(constraint, here, countPlaced(constraint, others));
    }),
  );
}

function candidate({ name, hostname, attributes }: Facts): { agent: string; hostname: string; attributes: Attributes } {
  return { agent: name, hostname, attributes };
}
