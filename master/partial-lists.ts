import type { KnownTask } from '../protocol/agent-link.ts';
import { encode } from '../protocol/envelope.ts';
import { LIMITS } from '../protocol/limits.ts';

/** Of all lists that are still coming, together. Whose list is given up for another's begins it again. */
const ALL_BYTES = 2 * LIMITS.longCommandBytes;

interface Partial {
  /** What the next part has to be of. */
  readonly next: string;
  readonly tasks: readonly KnownTask[];
  readonly bytes: number;
}

/** One message of a list. */
export interface Part {
  readonly tasks: readonly KnownTask[];
  /** From 0. */
  readonly part: number;
  readonly last: boolean;
}

/**
 * Lists of what agents run that come in several messages, one at a time of each agent. What is kept of them is bounded: no
 * list may be longer than the command that it becomes, and nothing is kept of who has left.
 */
export class PartialLists {
  readonly #lists = new Map<string, Partial>();
  #bytes = 0;

  /** Bytes that are kept. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * The whole list, with its last part; `more` where parts are to come; undefined where this part does not follow the one
   * before (a list begins at 0), or there are too many. `key` names the list.
   */
  take(agentName: string, key: string, { tasks, part, last }: Part): KnownTask[] | 'more' | undefined {
    const known = this.#lists.get(agentName);
    this.drop(agentName);
    if (part > 0 && known?.next !== `${key} ${part}`) return undefined;
    const before = part === 0 ? undefined : known;
    const all = [...(before?.tasks ?? []), ...tasks];
    if (all.length > LIMITS.tasksPerAgent) return undefined;
    if (last) return all;
    const bytes = (before?.bytes ?? 0) + encode(tasks, 'cbor').length;
    if (bytes > LIMITS.longCommandBytes) return undefined;
    this.#lists.set(agentName, { next: `${key} ${part + 1}`, tasks: all, bytes });
    this.#bytes += bytes;
    for (const oldest of this.#lists.keys()) {
      if (this.#bytes <= ALL_BYTES) break;
      this.drop(oldest);
    }
    return 'more';
  }

  /** Its connection has ended. */
  drop(agentName: string): void {
    this.#bytes -= this.#lists.get(agentName)?.bytes ?? 0;
    this.#lists.delete(agentName);
  }
}
