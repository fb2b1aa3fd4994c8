import type { Timer } from '../io/clock.ts';
import type { TaskView } from '../protocol/job.ts';
import { LIMITS } from '../protocol/limits.ts';
import { topicOf } from '../protocol/topics.ts';
import type { World } from './leader.ts';

/** How long changes gather: people do not read faster, and a task that lives for a moment costs one topic, not four. */
const GATHER_MS = 100;

/**
 * The retained `state/` tree: JSON for people, one small topic a thing, published from what has been applied.
 * A thing is published again only when it reads differently; one that is gone is cleared by an empty payload.
 */
export class StateTree {
  readonly #world: World;
  readonly #published = new Map<string, string>();
  readonly #changed = new Map<string, () => object | null>();
  /** Topics of ended tasks, oldest first. */
  readonly #ended = new Set<string>();
  #timer: Timer | undefined;

  constructor(world: World) {
    this.#world = world;
  }

  stop(): void {
    this.#timer?.cancel();
  }

  /** Says that `state/<rest>` may read differently; `view` is asked when it is published, null removes the topic. */
  touch(rest: string, view: () => object | null): void {
    this.#changed.set(rest, view);
    this.#timer ??= this.#world.clock.after(GATHER_MS, () => {
      this.#timer = undefined;
      this.flush();
    });
  }

  /** A task; of ended ones the newest 1,000 stay. */
  task(framework: string, id: string, view: () => TaskView, ended: boolean): void {
    const rest = framework === 'batch' ? `tasks/${id}` : `tasks/${framework}/${id}`;
    this.touch(rest, () => shownTask(view()));
    if (!ended) {
      this.#ended.delete(rest);
      return;
    }
    this.#ended.add(rest);
    for (const oldest of this.#ended) {
      if (this.#ended.size <= LIMITS.finishedTaskTopics) break;
      this.#ended.delete(oldest);
      this.touch(oldest, () => null);
    }
  }

  flush(): void {
    for (const [rest, view] of this.#changed) this.#publish(rest, view());
    this.#changed.clear();
  }

  #publish(rest: string, view: object | null): void {
    const text = view === null ? '' : JSON.stringify(view);
    if ((this.#published.get(rest) ?? '') === text) return;
    if (text.length > LIMITS.stateBytes) {
      this.#world.counters.count('state topic over its limit');
      return;
    }
    if (view === null) this.#published.delete(rest);
    else this.#published.set(rest, text);
    const topic = topicOf(this.#world.prefix, { kind: 'state', rest });
    this.#world.bus.publish(topic, new TextEncoder().encode(text), { retain: true }).catch(() => {
      this.#published.delete(rest);
      this.#world.counters.count('state not published');
    });
  }
}

/** Stable order of keys, times last. */
function shownTask(view: TaskView): object {
  const { state, reason, message, agent, exitCode, attempt, restart, created, started, finished } = view;
  return {
    state,
    reason,
    message,
    agent,
    exitCode,
    attempt,
    restart,
    created: iso(created),
    started: iso(started),
    finished: iso(finished),
  };
}

function iso(wallMs: number | null): string | null {
  return wallMs === null ? null : new Date(wallMs).toISOString();
}
