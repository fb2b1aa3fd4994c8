import { LIMITS } from '../../protocol/limits.ts';

/** What was handed on and not heard to be taken by then is lost, or waits for its program. */
const FADING_MS = 5_000;

/** One owner has at most so many times what is left free: three quarters alone, and there is always something for another. */
const SHARE = 3;

interface Underway {
  readonly agent: string;
  readonly owner: string;
  /** Bytes that were handed on, as often as they were. */
  bytes: number;
  /** Offset behind the last of them. */
  end: number;
  sinceMs: number;
}

/**
 * Input of `mesq exec` on its way to agents: for each so much that a KILL is never behind more of it. What is beyond that is left
 * out of its word; whoever said it says it again, for it is not taken. One owner, whose program does not read, never has all of
 * it (dynamic thresholds: Choudhury and Hahne, 1998).
 */
export class ExecInput {
  /** By session, as its client and master name it. */
  readonly #underway = new Map<string, Underway>();

  /** How many of `bytes` of that session's input, from `offset` on, may be handed on now. */
  pass(
    { agent, owner, session }: { readonly agent: string; readonly owner: string; readonly session: string },
    offset: number,
    bytes: number,
    nowMs: number,
  ): number {
    let sum = 0;
    let own = 0;
    for (const [key, one] of this.#underway) {
      if (nowMs - one.sinceMs >= FADING_MS) this.#underway.delete(key);
      else if (one.agent === agent) {
        sum += one.bytes;
        if (one.owner === owner) own += one.bytes;
      }
    }
    const free = LIMITS.execInputUnderwayBytes - sum;
    const passed = Math.max(0, Math.min(bytes, Math.floor((SHARE * free - own) / (SHARE + 1))));
    if (passed === 0) return 0;
    const before = this.#underway.get(session);
    const end = Math.max(before?.end ?? 0, offset + passed);
    this.#underway.set(session, { agent, owner, bytes: (before?.bytes ?? 0) + passed, end, sinceMs: nowMs });
    return passed;
  }

  /** The program's pipe has taken everything before `offset`. */
  taken(session: string, offset: number): void {
    const one = this.#underway.get(session);
    if (one === undefined) return;
    one.bytes = Math.min(one.bytes, one.end - offset);
    if (one.bytes <= 0) this.#underway.delete(session);
  }
}
