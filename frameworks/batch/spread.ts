import { type Candidate, type Constraint, fieldValue, isMeantFor, matches } from '../../protocol/constraints.ts';

/** Constraints that look at where the job's other tasks are. */
const COUNTING: ReadonlySet<Constraint['kind']> = new Set(['unique', 'cluster', 'max-per', 'group-by']);

interface Counted {
  readonly constraint: Constraint;
  readonly placed: Map<string, number>;
}

/**
 * What a job's constraints allow, given where its live tasks are. Keeps its counts as tasks come and go, so that asking
 * costs the same for ten tasks and ten thousand.
 */
export class Spread {
  readonly #plain: readonly Constraint[];
  readonly #counted: readonly Counted[];
  /** Agents as their offers showed them, by name. */
  readonly #agents: ReadonlyMap<string, Candidate>;
  readonly #at = new Map<number, Candidate>();
  /** Tasks on agents that have made no offer yet: only their names are known. */
  readonly #unseen = new Map<number, string>();

  constructor(constraints: readonly Constraint[], agents: ReadonlyMap<string, Candidate>) {
    this.#plain = constraints.filter(({ kind }) => !COUNTING.has(kind));
    this.#counted = constraints
      .filter(({ kind }) => COUNTING.has(kind))
      .map((constraint) => ({ constraint, placed: new Map() }));
    this.#agents = agents;
  }

  /** True where one task changes what the next one may do. */
  get counts(): boolean {
    return this.#counted.length > 0;
  }

  add(index: number, agent: string): void {
    if (!this.counts || this.#at.get(index)?.agent === agent) return;
    this.delete(index);
    const seen = this.#agents.get(agent);
    if (seen === undefined) this.#unseen.set(index, agent);
    this.#count(index, seen ?? { agent, hostname: agent, attributes: [] });
  }

  delete(index: number): void {
    const candidate = this.#at.get(index);
    if (candidate === undefined) return;
    this.#at.delete(index);
    this.#unseen.delete(index);
    for (const { constraint, placed } of this.#counted) {
      const value = fieldValue(candidate, constraint.field);
      const left = value === undefined ? undefined : (placed.get(value) ?? 1) - 1;
      if (value === undefined || left === undefined) continue;
      if (left === 0) placed.delete(value);
      else placed.set(value, left);
    }
  }

  admits(candidate: Candidate): boolean {
    for (const [index, agent] of this.#unseen) {
      if (!this.#agents.has(agent)) continue;
      this.delete(index);
      this.add(index, agent);
    }
    return (
      isMeantFor(this.#plain, candidate) &&
      this.#plain.every((constraint) => matches(constraint, candidate)) &&
      this.#counted.every(({ constraint, placed }) => matches(constraint, candidate, placed))
    );
  }

  #count(index: number, candidate: Candidate): void {
    this.#at.set(index, candidate);
    for (const { constraint, placed } of this.#counted) {
      const value = fieldValue(candidate, constraint.field);
      if (value !== undefined) placed.set(value, (placed.get(value) ?? 0) + 1);
    }
  }
}
