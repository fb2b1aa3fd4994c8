import type { Bus } from '../io/bus.ts';
import type { Clock } from '../io/clock.ts';
import { type Random, randomWord } from '../io/random.ts';
import { cut, type MessageOf, type Outgoing, read, write } from '../protocol/envelope.ts';
import { Fault } from '../protocol/faults.ts';
import { LIMITS } from '../protocol/limits.ts';
import type { Offer } from '../protocol/offer.ts';
import { type CredentialRole, REPLIES, REQUESTS } from '../protocol/operator.ts';
import type { Resources } from '../protocol/resources.ts';
import { CALLS, EVENTS } from '../protocol/scheduler.ts';
import { isTerminal } from '../protocol/task.ts';
import { parseTopic, topicOf } from '../protocol/topics.ts';
import { type TestAgent, TestOffers } from './test-offers.ts';
import { TestOperations } from './test-operations.ts';
import { TestStore } from './test-store.ts';
import { type TestTask, TestTasks } from './test-tasks.ts';

export interface TestMasterOptions {
  readonly bus: Bus;
  /** Default `mesq`. */
  readonly prefix?: string;
  readonly clock: Clock;
  readonly random: Random;
  /** What a launched task does. Default: it runs, and finishes with exit code 0 in the next turn. */
  readonly onLaunch?: (task: TestTask) => void;
  /** Default: TASK_KILLED, KILLED_BY_REQUEST. */
  readonly onKill?: (task: TestTask) => void;
  /** What an executor answers to what its scheduler said; default nothing. */
  readonly onMessage?: (data: string, executor: string, agent: string) => string | undefined;
  /** The role of a client of the operator API; default operator for everybody. */
  readonly roleOf?: (client: string) => CredentialRole;
  /** Answers what clients ask the leader itself; default NOT_FOUND. */
  readonly onRequest?: (op: string, body: unknown, client: { name: string; session: string }) => object | Fault;
}

const ON_OFFERS: ReadonlySet<string> = new Set(['OFFERS', 'RESCIND', 'INVERSE_OFFERS', 'RESCIND_INVERSE_OFFERS']);

interface Session {
  roles: readonly string[];
  suppressed: Set<string>;
  readonly store: TestStore;
  connected: boolean;
}

/** A master in memory, to test a framework against: agents, offers, statuses, reconciliation, store and operator API. */
export class TestMaster {
  /** What frameworks show to people, by `<framework> <id>`, and how often they were told so. */
  readonly shown = new Map<string, { readonly view: Record<string, unknown>; readonly progress?: object }>();
  shows = 0;
  /** What frameworks answered to {@link TestMaster.askToLeave}, by the inverse offer's id. */
  readonly inverseOffers = new Map<string, 'asked' | 'accepted' | 'declined'>();
  term = 1;
  readonly #options: TestMasterOptions;
  readonly #prefix: string;
  readonly #sessions = new Map<string, Session>();
  readonly #offers: TestOffers;
  readonly #tasks: TestTasks;
  readonly #operations: TestOperations;

  constructor(options: TestMasterOptions) {
    const { clock, random, onLaunch = (task) => runThrough(task, clock) } = options;
    this.#options = options;
    this.#prefix = options.prefix ?? 'mesq';
    this.#operations = new TestOperations(random);
    this.#offers = new TestOffers(
      clock,
      random,
      () => this.#takers(),
      (framework, offers) => this.#event(framework, { type: 'OFFERS', offers }),
    );
    this.#tasks = new TestTasks({
      random,
      connected: (framework) => this.#sessions.get(framework)?.connected === true,
      tell: (framework, updates) => this.#event(framework, { type: 'UPDATE', updates }),
      give: (agent, resources) => this.#offers.give(agent, resources),
      launched: onLaunch,
    });
  }

  get tasks(): Map<string, TestTask> {
    return this.#tasks.all;
  }

  get offers(): Map<string, Offer> {
    return this.#offers.open;
  }

  /** Every launch there ever was, also those refused. */
  get launches(): { readonly task: string; readonly attempt: number; readonly agent: string }[] {
    return this.#tasks.launches;
  }

  /** Subscribes, and says that it leads. */
  async start(): Promise<void> {
    const { bus } = this.#options;
    await bus.subscribe(topicOf(this.#prefix, { kind: 'call' }), 1, ({ topic, payload }) => {
      const call = read(CALLS, payload);
      const name = parseTopic(this.#prefix, topic)?.name;
      if (!(call instanceof Fault) && name !== undefined) this.#call(name, call.message);
    });
    await bus.subscribe(topicOf(this.#prefix, { kind: 'request' }), 1, ({ topic, payload }) => {
      const request = read(REQUESTS, payload);
      const { name, session } = parseTopic(this.#prefix, topic) ?? {};
      if (!(request instanceof Fault) && name !== undefined && session !== undefined)
        this.#request({ name, session }, request.message);
    });
    bus.onConnected(() => this.leads());
  }

  addAgent(agent: TestAgent): void {
    this.#offers.addAgent(agent);
  }

  /** What an agent has left beside its tasks and offers. */
  free(agent: string): Resources {
    return this.#offers.free(agent);
  }

  /** Values of a framework's store. */
  stored(framework: string, prefix = ''): ReadonlyMap<string, string> {
    return new Map(
      this.#sessions
        .get(framework)
        ?.store.read(prefix)
        .map(({ key, value }) => [key, value]),
    );
  }

  rolesOf(framework: string): { roles: readonly string[]; suppressed: readonly string[] } {
    const session = this.#sessions.get(framework);
    return { roles: session?.roles ?? [], suppressed: [...(session?.suppressed ?? [])] };
  }

  /** Another leader: sessions, offers and filters die, tasks and stores live. */
  failOver(): void {
    this.term++;
    for (const offer of [...this.offers.values()]) this.#offers.takeBack(offer);
    for (const session of this.#sessions.values()) session.connected = false;
    this.#offers.clearFilters();
    this.leads();
  }

  /** Sends every update again that was not acknowledged. */
  repeatUpdates(): void {
    for (const [framework, session] of this.#sessions) {
      if (!session.connected) continue;
      this.#tasks.repeat(framework);
      const updates = this.#operations.of(framework);
      if (updates.length > 0) this.#event(framework, { type: 'UPDATE_OPERATION_STATUS', updates });
    }
  }

  /** An agent will be unavailable: who has tasks there is asked by an inverse offer. `startMs`: wall clock. */
  askToLeave(agent: string, startMs: number): void {
    const there = [...this.tasks.values()].filter((task) => task.agent === agent && !isTerminal(task.state));
    for (const framework of new Set(there.map((task) => task.framework))) {
      const offer = randomWord(this.#options.random, 8);
      this.inverseOffers.set(offer, 'asked');
      const asked = { offer, framework, agent, name: agent, unavailability: { startMs } };
      this.#event(framework, { type: 'INVERSE_OFFERS', offers: [asked] });
    }
  }

  /** Takes every offer back, as when another framework needs them. */
  rescind(): void {
    for (const offer of [...this.offers.values()]) {
      this.#offers.takeBack(offer);
      this.#event(offer.framework, { type: 'RESCIND', offers: [offer.offer] });
    }
  }

  /** An executor ends, with its tasks: by itself, or because its scheduler wished it. */
  endExecutor(framework: string, executor: string, agent: string, status: number | null): void {
    for (const task of this.tasks.values()) {
      if (task.framework === framework && task.agent === agent && task.info.executor?.executor === executor)
        task.update('TASK_FAILED', { reason: 'EXECUTOR_TERMINATED' });
    }
    this.#event(framework, { type: 'FAILURE', agent, state: 'executor-ended', executor, status });
  }

  /** An agent is lost: its offers are taken back, its tasks told as unreachable or gone, and it is offered no more. */
  loseAgent(name: string, state: 'unreachable' | 'gone'): void {
    for (const offer of [...this.offers.values()].filter(({ agent }) => agent === name)) {
      this.#offers.takeBack(offer);
      this.#event(offer.framework, { type: 'RESCIND', offers: [offer.offer] });
    }
    for (const task of this.tasks.values()) {
      if (task.agent !== name) continue;
      if (state === 'unreachable') task.update('TASK_UNREACHABLE', { reason: 'AGENT_DISCONNECTED' });
      else task.update('TASK_GONE_BY_OPERATOR', { reason: 'AGENT_REMOVED_BY_OPERATOR' });
    }
    this.#offers.removeAgent(name);
    for (const [framework, { connected }] of this.#sessions)
      if (connected) this.#event(framework, { type: 'FAILURE', agent: name, state });
  }

  /** Forgets a task, as after the loss of all masters. */
  forget(task: string): void {
    this.#tasks.forget(task);
  }

  /** Says who leads, on its own broker: itself, unless told otherwise; null: nobody. `urls`: where that one is. */
  leads(leader: string | null = 'm1', term = this.term, urls: readonly string[] = []): void {
    const document = { v: 1, generation: 0, term, leader, urls };
    const payload = new TextEncoder().encode(JSON.stringify(document));
    this.#publish(topicOf(this.#prefix, { kind: 'leader' }), payload, true);
  }

  #publish(topic: string, payload: Uint8Array, retain = false): void {
    // A message that is lost is what the framework under test has to live with.
    this.#options.bus.publish(topic, payload, { qos: 1, retain }).catch(() => {});
  }

  #event(framework: string, event: Outgoing<typeof EVENTS>): void {
    const kind = ON_OFFERS.has(event.type) ? 'offers' : 'event';
    this.#publish(topicOf(this.#prefix, { kind, name: framework }), write(EVENTS, event));
  }

  #show(framework: string, things: Extract<MessageOf<typeof CALLS>, { type: 'SHOW' }>['things']): void {
    this.shows += things.length;
    for (const { id, view, progress } of things) {
      if (view === null) this.shown.delete(`${framework} ${id}`);
      else this.shown.set(`${framework} ${id}`, { view, ...(progress === undefined ? {} : { progress }) });
    }
  }

  #call(framework: string, call: MessageOf<typeof CALLS>): void {
    const session = this.#sessions.get(framework);
    if (call.type === 'SUBSCRIBE') {
      this.#subscribe(framework, call.roles, call.suppressed);
      return;
    }
    if (call.type === 'TEARDOWN') {
      for (const task of this.#tasks.live(framework)) killed(task);
      this.#sessions.delete(framework);
    }
    if (session?.connected !== true || call.type === 'TEARDOWN') {
      this.#event(framework, { type: 'ERROR', fault: new Fault('NOT_REGISTERED') });
      return;
    }
    switch (call.type) {
      case 'UPDATE_FRAMEWORK':
        session.roles = call.roles;
        session.suppressed = new Set(call.suppressed);
        this.#offers.allocateSoon();
        break;
      case 'ACCEPT':
        this.#accept(framework, call);
        break;
      case 'DECLINE':
        for (const id of call.offers) this.#offers.return(id, call.refuseMs);
        break;
      case 'REVIVE':
        for (const role of call.roles.length === 0 ? session.roles : call.roles) {
          session.suppressed.delete(role);
          this.#offers.revive(framework, role);
        }
        break;
      case 'SUPPRESS':
        for (const role of call.roles.length === 0 ? session.roles : call.roles) session.suppressed.add(role);
        break;
      case 'REQUEST':
        break;
      case 'MESSAGE': {
        const { agent, executor } = call;
        const data = this.#options.onMessage?.(call.data, executor, agent);
        if (data !== undefined) this.#event(framework, { type: 'MESSAGE', agent, executor, data });
        break;
      }
      case 'SHUTDOWN':
        this.endExecutor(framework, call.executor, call.agent, 0);
        break;
      case 'KILL':
        for (const { task, attempt } of call.tasks)
          for (const known of this.#tasks.live(framework))
            if (known.info.task === task && (attempt ?? known.info.attempt) === known.info.attempt)
              (this.#options.onKill ?? killed)(known);
        break;
      case 'ACKNOWLEDGE':
        for (const { uuid } of call.updates) this.#tasks.acknowledge(uuid);
        break;
      case 'SHOW':
        this.#show(framework, call.things);
        break;
      case 'RECONCILE':
        this.#tasks.reconcile(framework, call.tasks);
        break;
      case 'ACKNOWLEDGE_OPERATION_STATUS':
        for (const { operation } of call.updates) this.#operations.acknowledge(framework, operation);
        break;
      case 'RECONCILE_OPERATIONS': {
        const asked = call.operations.map(({ operation }) => this.#operations.answer(framework, operation));
        const updates = call.operations.length === 0 ? this.#operations.of(framework) : asked;
        if (updates.length > 0) this.#event(framework, { type: 'UPDATE_OPERATION_STATUS', updates });
        break;
      }
      case 'ACCEPT_INVERSE_OFFERS':
      case 'DECLINE_INVERSE_OFFERS':
        for (const id of call.offers)
          if (this.inverseOffers.has(id))
            this.inverseOffers.set(id, call.type === 'ACCEPT_INVERSE_OFFERS' ? 'accepted' : 'declined');
        break;
      case 'STORE': {
        const outcome = session.store.write(call.request, call.key, call.value, call.version);
        const answer = outcome instanceof Fault ? { version: 0, fault: outcome } : { version: outcome };
        this.#event(framework, { type: 'STORED', request: call.request, ...answer });
        break;
      }
      case 'LOAD': {
        const parts = cut(session.store.read(call.prefix), LIMITS.partBytes);
        for (const [part, entries] of parts.entries()) {
          this.#event(framework, {
            type: 'LOADED',
            request: call.request,
            part,
            last: part === parts.length - 1,
            entries,
          });
        }
        break;
      }
      case 'REPLY': {
        const { request, part, last, body, fault } = call;
        const answer = fault === undefined ? { body } : { fault };
        this.#publish(
          topicOf(this.#prefix, { kind: 'reply', name: call.client, session: call.session }),
          write(REPLIES, { type: 'REPLY', request, part, last, ...answer }),
        );
        break;
      }
    }
  }

  #subscribe(framework: string, roles: readonly string[], suppressed: readonly string[]): void {
    const store = this.#sessions.get(framework)?.store ?? new TestStore();
    for (const offer of [...this.offers.values()]) if (offer.framework === framework) this.#offers.takeBack(offer);
    this.#sessions.set(framework, { roles, suppressed: new Set(suppressed), store, connected: true });
    this.#event(framework, {
      type: 'SUBSCRIBED',
      framework,
      cluster: 'test',
      generation: 1,
      term: this.term,
      offerMs: 30_000,
    });
    this.repeatUpdates();
    this.#offers.allocateSoon();
  }

  #accept(
    framework: string,
    { offers, operations, refuseMs }: Extract<MessageOf<typeof CALLS>, { type: 'ACCEPT' }>,
  ): void {
    const held = offers.map((id) => this.offers.get(id));
    const offer = held.includes(undefined) ? undefined : held[0];
    for (const operation of operations) {
      if ('tasks' in operation) {
        for (const task of operation.tasks) this.#tasks.place(framework, offer, task);
        continue;
      }
      const status = this.#operations.operate(framework, offer, operation);
      if (status !== undefined) this.#event(framework, { type: 'UPDATE_OPERATION_STATUS', updates: [status] });
    }
    for (const id of offers) this.#offers.return(id, refuseMs);
  }

  #request(
    client: { name: string; session: string },
    { request, framework, op, body }: MessageOf<typeof REQUESTS>,
  ): void {
    const reply = (answer: { body: object } | { fault: Fault }): void =>
      this.#publish(
        topicOf(this.#prefix, { kind: 'reply', ...client }),
        write(REPLIES, { type: 'REPLY', request, part: 0, last: true, ...answer }),
      );
    if (framework === undefined) {
      const answer = this.#options.onRequest?.(op, body, client) ?? new Fault('NOT_FOUND', op);
      reply(answer instanceof Fault ? { fault: answer } : { body: answer });
    } else if (this.#sessions.get(framework)?.connected !== true)
      reply({ fault: new Fault('NOT_REGISTERED', framework) });
    else {
      const role = this.#options.roleOf?.(client.name) ?? 'operator';
      this.#event(framework, {
        type: 'REQUEST',
        request,
        session: client.session,
        principal: { name: client.name, role },
        op,
        body,
      });
    }
  }

  *#takers(): Iterable<{ framework: string; roles: string[] }> {
    for (const [framework, { connected, roles, suppressed }] of this.#sessions)
      if (connected) yield { framework, roles: roles.filter((role) => !suppressed.has(role)) };
  }
}

function runThrough(task: TestTask, clock: Clock): void {
  task.update('TASK_RUNNING');
  clock.after(0, () => task.update('TASK_FINISHED', { exitCode: 0 }));
}

function killed(task: TestTask): void {
  task.update('TASK_KILLED', { reason: 'KILLED_BY_REQUEST' });
}
