import { LIMITS } from '../../protocol/limits.ts';

/** What was handed on and not heard to be taken by then is lost, or waits for its program. */
const FADING_MS = 5_000;

interface Underway {
  readonly agent: string;
  /** Bytes that were handed on, as often as they were. */
  bytes: number;
  /** Offset behind the last of them. */
  end: number;
  sinceMs: number;
}

/**
 * Input of `mesq exec` on its way to agents: for each so much that a KILL is never behind more of it. What is beyond that is left
 * out of its word; whoever said it says it again, for it is not taken.
 */
export class ExecInput {
  /** By session, as its client and master name it. */
  readonly #underway = new Map<string, Underway>();

  /** Whether input of that session, `bytes` from `offset` on, may be handed on now. */
  pass(agent: string, session: string, offset: number, bytes: number, nowMs: number): boolean {
    let sum = 0;
    for (const [key, one] of this.#underway) {
      if (nowMs - one.sinceMs >= FADING_MS) this.#underway.delete(key);
      else if (one.agent === agent) sum += one.bytes;
    }
    if (sum + bytes > LIMITS.execInputUnderwayBytes) return false;
    const before = this.#underway.get(session);
    const end = Math.max(before?.end ?? 0, offset + bytes);
    this.#underway.set(session, { agent, bytes: (before?.bytes ?? 0) + bytes, end, sinceMs: nowMs });
    return true;
  }

  /** The program's pipe has taken everything before `offset`. */
  taken(session: string, offset: number): void {
    const one = this.#underway.get(session);
    if (one === undefined) return;
    one.bytes = Math.min(one.bytes, one.end - offset);
    if (one.bytes <= 0) this.#underway.delete(session);
  }
}
