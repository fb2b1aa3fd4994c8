import type { Entry } from '../../master/raft/records.ts';
import type { RaftState } from '../../master/raft/state.ts';

/** What was seen of one master's log when it was looked at last. */
interface View {
  readonly state: RaftState;
  /** By index. */
  readonly entries: Entry[];
  startIndex: number;
  /** The term that it leads. */
  leads: number | undefined;
}

interface Committed {
  readonly index: number;
  readonly term: number;
  /** The term whose leader committed it. */
  readonly by: number;
}

/**
 * Looks into every core after every step of it, and only at what is new there: all five properties of Raft's figure 3
 * but the last, which needs the state machines, hold of all logs because they held before.
 */
export class RaftAudit {
  elections = 0;
  readonly #violated: (what: string) => void;
  readonly #leaders = new Map<number, string>();
  readonly #views = new Map<string, View>();
  /** Every entry that ever was in a log, by index and term: what it is, and the term of the entry before. */
  readonly #entries = new Map<string, { readonly entry: Entry; readonly before: number }>();
  /** By index, from 1. */
  readonly #committed: Committed[] = [];

  constructor(violated: (what: string) => void) {
    this.#violated = violated;
  }

  /** Its process is gone; the next one shows its log anew. */
  ended(id: string): void {
    this.#views.delete(id);
  }

  /** After each step. */
  look(id: string, state: RaftState): void {
    const view = this.#views.get(id) ?? { state, entries: [], startIndex: 0, leads: undefined };
    this.#views.set(id, view);
    const leads = state.role === 'leader' ? state.hardState.term : undefined;
    this.#lookAtLog(id, view, leads !== undefined && leads === view.leads);
    const won = leads !== undefined && leads !== view.leads;
    view.leads = leads;
    if (leads === undefined) return;
    if (won) this.#won(id, view, leads);
    this.#lookAtCommitted(state, leads);
  }

  #lookAtLog(id: string, view: View, led: boolean): void {
    const { log } = view.state;
    const { start, lastIndex } = log;
    let from = lastIndex + 1;
    for (; from - 1 > start.index; from--) {
      const [entry] = log.entries(from - 1, from - 1);
      if (entry === undefined || view.entries[from - 1] === entry) break;
    }
    // Leader append-only (§5.3).
    if (led && from < view.entries.length) this.#violated(`append-only: leader ${id} replaces its entry ${from}`);
    view.entries.length = Math.min(view.entries.length, from);
    if (from > lastIndex && start.index === view.startIndex) return;
    let before = log.termAt(from - 1);
    for (const entry of log.entries(from, lastIndex)) {
      if (before !== undefined) this.#match(id, entry, before);
      view.entries[entry.index] = entry;
      before = entry.term;
    }
    if (start.index !== view.startIndex) this.#startsAfter(id, start.index, start.term);
    view.startIndex = start.index;
  }

  /** Log matching (§5.3): by induction, the same term at one index means the same entries up to there. */
  #match(id: string, entry: Entry, before: number): void {
    const key = `${entry.index}/${entry.term}`;
    const known = this.#entries.get(key);
    if (known === undefined) this.#entries.set(key, { entry, before });
    else if (known.before !== before || known.entry.kind !== entry.kind || !equal(known.entry.payload, entry.payload))
      this.#violated(`log matching: ${id} has another entry ${entry.index} of term ${entry.term}, or before it`);
  }

  /** A snapshot stands for what is committed. */
  #startsAfter(id: string, index: number, term: number): void {
    if (index > 0 && this.#committed[index]?.term !== term)
      this.#violated(`${id} has a snapshot of entry ${index} in term ${term}, which is not committed`);
  }

  /** Election safety (§5.2), and leader completeness (§5.4) of what was committed before. */
  #won(id: string, { state }: View, term: number): void {
    this.elections++;
    const known = this.#leaders.get(term);
    if (known !== undefined && known !== id) this.#violated(`election safety: ${known} and ${id} lead term ${term}`);
    this.#leaders.set(term, id);
    for (const each of this.#committed) if (each !== undefined && each.by < term) this.#has(id, state, each);
  }

  /** Leader completeness (§5.4) of what is committed while a later leader is there already. */
  #lookAtCommitted({ log, commitIndex }: RaftState, by: number): void {
    for (let index = Math.max(1, this.#committed.length); index <= commitIndex; index++) {
      const term = log.termAt(index);
      if (term === undefined) continue;
      const committed = { index, term, by };
      this.#committed[index] = committed;
      for (const [id, { state, leads }] of this.#views)
        if (leads !== undefined && leads > by) this.#has(id, state, committed);
    }
  }

  #has(id: string, { log, hardState }: RaftState, { index, term }: Committed): void {
    if (index > log.start.index && log.termAt(index) !== term)
      this.#violated(`leader completeness: ${id} leads term ${hardState.term} without entry ${index} of term ${term}`);
  }
}

function equal(one: Uint8Array, other: Uint8Array): boolean {
  return one === other || Buffer.compare(one, other) === 0;
}
