import type { EventView } from '../protocol/operator.ts';
import { topicOf } from '../protocol/topics.ts';
import type { World } from './leader.ts';

const KEPT = 1_000;

/** What just happened, for people: published under `events/<kind>/<subject>`, the last 1,000 kept in memory. */
export class EventFeed {
  readonly #world: World;
  readonly #events: EventView[] = [];

  constructor(world: World) {
    this.#world = world;
  }

  recent(): readonly EventView[] {
    return this.#events;
  }

  tell(kind: string, subject: string, text: string): void {
    const event: EventView = { at: this.#world.clock.wall(), kind, subject, text };
    this.#events.push(event);
    if (this.#events.length > KEPT) this.#events.shift();
    const { at, ...said } = event;
    const payload = new TextEncoder().encode(JSON.stringify({ ...said, at: new Date(at).toISOString() }));
    const topic = topicOf(this.#world.prefix, { kind: 'events', rest: `${kind}/${subject}` });
    this.#world.bus.publish(topic, payload).catch(() => this.#world.counters.count('event not published'));
  }
}
