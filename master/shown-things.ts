import { LIMITS } from '../protocol/limits.ts';
import { isBuiltIn } from '../protocol/scheduler.ts';
import type { Counters } from './counters.ts';
import type { ShownThing } from './leader.ts';
import { type StateTree, shownUnder } from './state-tree.ts';

/** What a thing costs beside its view: its topics, and its numbers. */
const THING_BYTES = 512;

interface Kept {
  /** Topic → bytes, whatever was shown least lately first. */
  readonly topics: Map<string, number>;
  bytes: number;
}

/**
 * What frameworks show to people below `state/`. Each has room of its own there (`LIMITS.shownBytes`) and loses what it has
 * shown least lately: one that clears nothing takes no room of others. What a framework has shown goes with it.
 */
export class ShownThings {
  readonly #state: Pick<StateTree, 'touch'>;
  readonly #counters: Pick<Counters, 'count'>;
  readonly #kept = new Map<string, Kept>();

  constructor(state: Pick<StateTree, 'touch'>, counters: Pick<Counters, 'count'>) {
    this.#state = state;
    this.#counters = counters;
  }

  show(framework: string, things: readonly ShownThing[]): void {
    for (const { kind, id, view, progress } of things) {
      const rest = shownUnder(kind, framework, id);
      const numbers = progress === undefined || this.#isPlotted(progress) ? progress : undefined;
      this.#state.touch(rest, () => view);
      this.#state.touch(`${rest}/progress`, () => (view === null ? null : (numbers ?? null)));
      // The built-in ones have bounds of their own, and are not removed.
      if (!isBuiltIn(framework)) this.#count(framework, rest, view);
    }
  }

  /** The framework is no more. */
  removed(framework: string): void {
    for (const rest of this.#kept.get(framework)?.topics.keys() ?? []) this.#clear(rest);
    this.#kept.delete(framework);
  }

  #isPlotted(progress: object): boolean {
    if (JSON.stringify(progress).length < LIMITS.plottedBytes) return true;
    this.#counters.count('progress over its limit');
    return false;
  }

  #count(framework: string, rest: string, view: object | null): void {
    const kept = this.#kept.get(framework) ?? { topics: new Map<string, number>(), bytes: 0 };
    this.#kept.set(framework, kept);
    kept.bytes -= kept.topics.get(rest) ?? 0;
    kept.topics.delete(rest);
    if (view === null) return;
    const bytes = THING_BYTES + new TextEncoder().encode(JSON.stringify(view)).length;
    kept.topics.set(rest, bytes);
    kept.bytes += bytes;
    for (const [oldest, size] of kept.topics) {
      if (kept.bytes <= LIMITS.shownBytes) break;
      kept.topics.delete(oldest);
      kept.bytes -= size;
      this.#clear(oldest);
      this.#counters.count('shown things over their room');
    }
  }

  #clear(rest: string): void {
    this.#state.touch(rest, () => null);
    this.#state.touch(`${rest}/progress`, () => null);
  }
}
