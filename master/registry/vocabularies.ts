import type { Membership } from '../../protocol/raft.ts';

/** Of a version that does not say what it knows: the first. */
const FIRST = 1;

/**
 * What the other masters can apply, as they have said in this term. A command that one of them does not know would end
 * it when it is committed, and with it, perhaps, the majority: the leader does not propose it before all know it.
 */
export class Vocabularies {
  readonly #heard = new Map<string, number>();

  heard(master: string, knows: number = FIRST): void {
    this.#heard.set(master, knows);
  }

  /** Out of reach: it may be taken back to an earlier version before it is heard again. */
  lost(master: string): void {
    this.#heard.delete(master);
  }

  /** A new term: whoever was of a later version may be of an earlier one again. */
  forget(): void {
    this.#heard.clear();
  }

  /** Of all the members but `self`, learners among them, those that are not known to have the vocabulary `since`. */
  without(since: number, { voters, learners }: Membership, self: string): string[] {
    return [...voters, ...learners]
      .map(({ id }) => id)
      .filter((id) => id !== self && (this.#heard.get(id) ?? FIRST) < since);
  }
}
