import type { Timer } from '../io/clock.ts';
import { cut, type Encoding, type MessageOf, type Outgoing, write } from '../protocol/envelope.ts';
import { Fault } from '../protocol/faults.ts';
import { LIMITS } from '../protocol/limits.ts';
import { type CALLS, EVENTS, type Need, type StatusEvent } from '../protocol/scheduler.ts';
import { topicOf } from '../protocol/topics.ts';
import { unavailabilityOf } from './inverse-offers.ts';
import type { Leader } from './leader.ts';
import type { OpenOffer } from './offers/offer-book.ts';
import { type TaskRecord, taskKey } from './registry/registry.ts';

type Event = Outgoing<typeof EVENTS>;

/** What a framework said of itself when it subscribed or changed. */
export type SessionTerms = Pick<
  MessageOf<typeof CALLS> & { type: 'SUBSCRIBE' },
  'roles' | 'suppressed' | 'capabilities' | 'wishes' | 'mostPerOffer'
>;

interface Session {
  encoding: Encoding;
  terms: SessionTerms;
  /** What it says it needs: for people. */
  needs: readonly Need[];
  /** False between SUBSCRIBE and its commit, and after it has vanished. */
  active: boolean;
  /** Updates that go out at the next flush. */
  updates: StatusEvent[];
}

/** The frameworks as this leader is in contact with them, and what is said to them. */
export class FrameworkSessions {
  /** Called when a session begins to stand. */
  onActive: (framework: string) => void = () => undefined;
  readonly #leader: Leader;
  readonly #sessions = new Map<string, Session>();
  readonly #changed = new Set<Session>();
  /** In which encoding its TEARDOWN came. */
  readonly #leaving = new Map<string, Encoding>();
  #retry: Timer | undefined;

  constructor(leader: Leader) {
    this.#leader = leader;
  }

  stop(): void {
    this.#retry?.cancel();
  }

  begin(framework: string, encoding: Encoding, terms: SessionTerms): void {
    this.#sessions.set(framework, { encoding, terms, needs: [], active: false, updates: [] });
  }

  /** Its removal is on its way to the log: who subscribes under the name from now on is committed behind it. */
  leave(framework: string, encoding: Encoding): void {
    this.#sessions.delete(framework);
    this.#leaving.set(framework, encoding);
  }

  leaving(framework: string): boolean {
    return this.#leaving.has(framework);
  }

  /**
   * The removal is committed: NOT_REGISTERED answers the TEARDOWN. A session that has begun since waits for its own
   * commit, and stays.
   */
  left(framework: string): void {
    const encoding = this.#leaving.get(framework);
    this.#leaving.delete(framework);
    if (this.#sessions.get(framework)?.active === false) return;
    this.#sessions.delete(framework);
    const fault = new Fault('NOT_REGISTERED', `framework ${framework} was removed`);
    if (encoding !== undefined) this.refuse(framework, fault, encoding);
  }

  /** Its session goes on, on other terms. */
  change(framework: string, terms: SessionTerms): void {
    const session = this.#sessions.get(framework);
    if (session !== undefined) session.terms = terms;
  }

  declare(framework: string, needs: readonly Need[]): void {
    const session = this.#sessions.get(framework);
    if (session !== undefined) session.needs = needs;
  }

  get(framework: string): Readonly<Session> | undefined {
    return this.#sessions.get(framework);
  }

  /** Frameworks that declared it, and are connected. */
  withCapability(capability: SessionTerms['capabilities'][number]): string[] {
    return [...this.#sessions]
      .filter(([, { active, terms }]) => active && terms.capabilities.includes(capability))
      .map(([framework]) => framework);
  }

  active(framework: string): boolean {
    return this.#sessions.get(framework)?.active ?? false;
  }

  end(framework: string): void {
    this.#sessions.delete(framework);
  }

  /** Its subscription stands: it is told so, and everything it has not acknowledged. */
  subscribed(framework: string): void {
    const session = this.#sessions.get(framework);
    if (session === undefined) return;
    session.active = true;
    this.onActive(framework);
    const { registry, term, world } = this.#leader;
    this.send(framework, {
      type: 'SUBSCRIBED',
      framework,
      cluster: registry.cluster?.uuid ?? '',
      generation: registry.cluster?.generation ?? 1,
      term,
      offerMs: world.times.offerMs,
    });
    this.#repeat(framework);
  }

  offer(framework: string, offers: readonly OpenOffer[]): void {
    const { registry } = this.#leader;
    const shown = offers.flatMap(({ offer, role, agent, resources }) => {
      const record = registry.agents.get(agent);
      if (record === undefined) return [];
      return [
        {
          offer,
          framework,
          role,
          agent,
          name: record.name,
          hostname: record.hostname,
          resources,
          attributes: record.attributes,
          ...(record.window === undefined ? {} : { unavailability: unavailabilityOf(record) }),
        },
      ];
    });
    this.sendParts(framework, shown, (part) => ({ type: 'OFFERS', offers: part }), 'offers');
  }

  rescind(framework: string, offers: readonly string[]): void {
    this.sendParts(framework, offers, (part) => ({ type: 'RESCIND', offers: part }), 'offers');
  }

  /** As many events as it takes; none where there is nothing to say. */
  sendParts<Item>(
    framework: string,
    items: readonly Item[],
    event: (part: Item[]) => Event,
    topic: 'event' | 'offers' = 'event',
  ): void {
    for (const part of cut(items, LIMITS.partBytes, LIMITS.operations))
      if (part.length > 0) this.send(framework, event(part), topic);
  }

  /** Tells the state of a task; with a uuid it is told until acknowledged. */
  update(framework: string, update: StatusEvent): void {
    const session = this.#sessions.get(framework);
    if (session?.active !== true) return;
    const key = taskKey(framework, update.task, update.attempt);
    const orphan = this.#leader.registry.tasks.get(key)?.orphan === true;
    session.updates.push(orphan ? { ...update, orphan } : update);
    this.#changed.add(session);
    if (update.acknowledge) this.#armRetry();
  }

  /** The newest report about a task, as a framework hears it. */
  statusOf(task: TaskRecord): StatusEvent {
    const newest = task.pending.at(-1);
    const { registry } = this.#leader;
    const name = registry.agents.get(task.agent)?.name;
    const about = { agent: task.agent, ...(name === undefined ? {} : { agentName: name }) };
    if (newest !== undefined && newest.state === task.state) return { ...newest, ...about, acknowledge: true };
    return {
      framework: task.framework,
      task: task.info.task,
      attempt: task.info.attempt,
      restart: task.restart,
      uuid: 'none',
      sequence: 0,
      state: task.state,
      ...(task.reason === undefined ? {} : { reason: task.reason }),
      ...(task.message === undefined ? {} : { message: task.message }),
      ...(task.exitCode === undefined ? {} : { exitCode: task.exitCode }),
      ...(task.output === undefined ? {} : { output: task.output }),
      ...(task.healthy === undefined ? {} : { healthy: task.healthy }),
      ...(task.checkStatus === undefined ? {} : { checkStatus: task.checkStatus }),
      ...about,
      acknowledge: false,
    };
  }

  /** Refuses a call, in the encoding in which it came: there may be no session to remember it. */
  refuse(framework: string, fault: Fault, encoding: Encoding): void {
    this.send(framework, { type: 'ERROR', fault }, 'event', encoding);
  }

  flush(): void {
    if (this.#changed.size === 0) return;
    const changed = [...this.#changed];
    this.#changed.clear();
    for (const [framework, session] of this.#sessions) {
      if (!changed.includes(session)) continue;
      const { updates } = session;
      session.updates = [];
      for (const part of cut(updates, LIMITS.partBytes, LIMITS.tasksPerMessage)) {
        if (part.length > 0) this.send(framework, { type: 'UPDATE', updates: part });
      }
    }
  }

  send(framework: string, event: Event, topic: 'event' | 'offers' = 'event', encoding?: Encoding): void {
    const { bus, prefix, log } = this.#leader.world;
    const payload = write(EVENTS, event, encoding ?? this.#sessions.get(framework)?.encoding ?? 'cbor');
    bus.publish(topicOf(prefix, { kind: topic, name: framework }), payload, { qos: 1 }).catch((error: unknown) => {
      log.debug('framework not reached', { framework, error: String(error) });
    });
  }

  /** Every unacknowledged report of its tasks, oldest first. */
  #repeat(framework: string): void {
    for (const task of this.#leader.registry.tasks.values()) {
      if (task.framework !== framework) continue;
      const { agent } = task;
      const name = this.#leader.registry.agents.get(agent)?.name;
      for (const status of task.pending) {
        this.update(framework, {
          ...status,
          agent,
          ...(name === undefined ? {} : { agentName: name }),
          acknowledge: true,
        });
      }
    }
  }

  /** While reports wait for acknowledgements, they are told again every `updateRetryMs`. */
  #armRetry(): void {
    if (this.#retry !== undefined) return;
    const { clock, times } = this.#leader.world;
    this.#retry = clock.after(times.updateRetryMs, () => {
      this.#retry = undefined;
      const overdue = this.#leader.wallMs() - times.updateRetryMs;
      for (const task of this.#leader.registry.tasks.values()) {
        const [oldest] = task.pending;
        if (oldest === undefined || !this.active(task.framework)) continue;
        this.#armRetry();
        if (oldest.receivedMs > overdue) continue;
        const name = this.#leader.registry.agents.get(task.agent)?.name;
        for (const status of task.pending) {
          this.update(task.framework, {
            ...status,
            agent: task.agent,
            ...(name === undefined ? {} : { agentName: name }),
            acknowledge: true,
          });
        }
      }
      this.flush();
    });
  }
}
