import type { Timer } from '../io/clock.ts';
import type { TaskView } from '../protocol/job.ts';
import { LIMITS } from '../protocol/limits.ts';
import { isBuiltIn } from '../protocol/scheduler.ts';
import { parseTopic, topicOf } from '../protocol/topics.ts';
import type { World } from './leader.ts';

/** How long changes gather: people do not read faster, and a task that lives for a moment costs one topic, not four. */
const GATHER_MS = 100;
/** Written in one go; then others have a turn. At the start of a term there are thousands, and a herd to be let in. */
const AT_ONCE = 100;
/** After this long, what an earlier leader had retained and this one has not said again is cleared. */
const INHERITED_MS = 10_000;

const textOf = new TextDecoder();

/**
 * The retained `state/` tree: JSON for people, one small topic a thing, published from what has been applied.
 * A thing is published again only when it reads differently; one that is gone is cleared by an empty payload. What
 * somebody else clears (MQTT Explorer offers it) is written again. What an earlier leader has left and reads the same is
 * not written at all: a follower that becomes the leader has shown nearly everything before.
 */
export class StateTree {
  readonly #world: World;
  readonly #published = new Map<string, string>();
  readonly #changed = new Map<string, () => object | null>();
  /** Topics of ended tasks, oldest first. */
  readonly #ended = new Set<string>();
  /** Found retained at the start of the term, and what it says. */
  readonly #inherited = new Map<string, string>();
  #unsubscribe: (() => void) | undefined;
  #stopped = false;
  #timer: Timer | undefined;
  #clearing: Timer | undefined;

  constructor(world: World) {
    this.#world = world;
  }

  /** Listens to its own topics. */
  start(): void {
    const { bus, clock, prefix } = this.#world;
    bus
      .subscribe(topicOf(prefix, { kind: 'state' }), 0, ({ topic, payload, retained }) =>
        this.#heard(topic, payload, retained),
      )
      .then((unsubscribe) => {
        if (this.#stopped) unsubscribe();
        else this.#unsubscribe = unsubscribe;
      })
      .catch(() => this.#world.counters.count('state not watched'));
    this.#clearing = clock.after(INHERITED_MS, () => this.#clearInherited());
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#clearing?.cancel();
    this.#unsubscribe?.();
  }

  /** Says that `state/<rest>` may read differently; `view` is asked when it is published, null removes the topic. */
  touch(rest: string, view: () => object | null): void {
    this.#changed.set(rest, view);
    this.#flushIn(GATHER_MS);
  }

  /** A task; of ended ones the newest 1,000 stay. */
  task(framework: string, id: string, view: () => TaskView, ended: boolean): void {
    const rest = shownUnder('tasks', framework, id);
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

  #flushIn(ms: number): void {
    this.#timer ??= this.#world.clock.after(ms, () => {
      this.#timer = undefined;
      this.#flush();
    });
  }

  #flush(): void {
    let written = 0;
    for (const [rest, view] of this.#changed) {
      if (written++ === AT_ONCE) return this.#flushIn(0);
      this.#changed.delete(rest);
      this.#publish(rest, view());
    }
  }

  #publish(rest: string, view: object | null): void {
    const text = view === null ? '' : JSON.stringify(view);
    if ((this.#published.get(rest) ?? '') === text) return;
    if (text !== '' && this.#inherited.get(rest) === text) {
      this.#published.set(rest, text);
      return;
    }
    if (text !== '' && !this.#published.has(rest) && this.#published.size >= LIMITS.stateTopics) {
      this.#world.counters.count('state topic over their number');
      return;
    }
    const bytes = new TextEncoder().encode(text);
    if (bytes.length > LIMITS.stateBytes) {
      this.#world.counters.count('state topic over its limit');
      return this.#publish(rest, { omitted: `it has ${bytes.length} bytes, and ${LIMITS.stateBytes} is the most` });
    }
    if (view === null) this.#published.delete(rest);
    else this.#published.set(rest, text);
    this.#send(rest, bytes);
  }

  #send(rest: string, payload: Uint8Array): void {
    // What was found there is there no longer.
    this.#inherited.delete(rest);
    const topic = topicOf(this.#world.prefix, { kind: 'state', rest });
    this.#world.bus.publish(topic, payload, { retain: true }).catch(() => {
      this.#published.delete(rest);
      this.#world.counters.count('state not published');
    });
  }

  /** Its own words come back to it too, and say nothing new. */
  #heard(topic: string, payload: Uint8Array, retained: boolean): void {
    const rest = parseTopic(this.#world.prefix, topic)?.rest;
    if (rest === undefined) return;
    const text = this.#published.get(rest);
    if (payload.length > 0) {
      if (retained && text === undefined) this.#inherited.set(rest, textOf.decode(payload));
      return;
    }
    this.#inherited.delete(rest);
    if (text !== undefined) {
      this.#world.counters.count('state topic cleared by somebody');
      this.#send(rest, new TextEncoder().encode(text));
    }
  }

  #clearInherited(): void {
    for (const rest of this.#inherited.keys()) {
      if (!this.#published.has(rest) && !this.#changed.has(rest)) this.#send(rest, new Uint8Array());
    }
    this.#inherited.clear();
  }
}

/** Where a framework's thing is shown: `jobs/j1` for the built-in batch, `jobs/spark/j1` for any other. */
export function shownUnder(kind: 'jobs' | 'tasks', framework: string, id: string): string {
  return isBuiltIn(framework) ? `${kind}/${id}` : `${kind}/${framework}/${id}`;
}

/** Stable order of keys, times last. */
function shownTask(view: TaskView): object {
  const { state, reason, message, agent, exitCode, healthy, attempt, restart, created, started, finished } = view;
  return {
    state,
    reason,
    message,
    agent,
    exitCode,
    ...(healthy === null ? {} : { healthy }),
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
