import type { Bus } from '../io/bus.ts';
import type { Clock } from '../io/clock.ts';
import { type Random, randomWord } from '../io/random.ts';
import { cut, type MessageOf, type Outgoing, read, write } from '../protocol/envelope.ts';
import { Fault } from '../protocol/faults.ts';
import { LIMITS } from '../protocol/limits.ts';
import type { Offer } from '../protocol/offer.ts';
import { type CredentialRole, REPLIES, REQUESTS } from '../protocol/operator.ts';
import { add, contains, subtract } from '../protocol/resource-arithmetic.ts';
import { parseResources, type Resources } from '../protocol/resources.ts';
import { CALLS, EVENTS, type StatusEvent } from '../protocol/scheduler.ts';
import { isTerminal, type TaskInfo, type TaskState } from '../protocol/task.ts';
import { parseTopic, topicOf } from '../protocol/topics.ts';
import { TestOperations } from './test-operations.ts';
import { TestStore } from './test-store.ts';

/** A machine that exists in memory only. */
export interface TestAgent {
  readonly name: string;
  /** Mesos's syntax: `cpus:4;mem:2048;ports:[31000-31009]`. */
  readonly resources: string;
  readonly hostname?: string;
  readonly attributes?: Offer['attributes'];
}

/** A task that the master under test has committed. The test says what becomes of it. */
export interface TestTask {
  readonly framework: string;
  readonly info: TaskInfo;
  readonly agent: string;
  state: TaskState;
  /** Reports; the resources return at a terminal state. Repeated until acknowledged. */
  update(
    state: TaskState,
    details?: Partial<
      Pick<StatusEvent, 'reason' | 'message' | 'exitCode' | 'output' | 'restart' | 'healthy' | 'checkStatus'>
    >,
  ): void;
}

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

type Filter = { readonly until: number; readonly resources: Resources };

/** A master in memory, to test a framework against: agents, offers, statuses, reconciliation, store and operator API. */
export class TestMaster {
  readonly tasks = new Map<string, TestTask>();
  readonly offers = new Map<string, Offer>();
  /** Every launch there ever was, also those refused. */
  readonly launches: { readonly task: string; readonly attempt: number; readonly agent: string }[] = [];
  /** What frameworks show to people, by `<framework> <id>`, and how often they were told so. */
  readonly shown = new Map<string, { readonly view: Record<string, unknown>; readonly progress?: object }>();
  shows = 0;
  /** What frameworks answered to {@link TestMaster.askToLeave}, by the inverse offer's id. */
  readonly inverseOffers = new Map<string, 'asked' | 'accepted' | 'declined'>();
  term = 1;
  readonly #options: TestMasterOptions;
  readonly #prefix: string;
  readonly #agents = new Map<string, { readonly agent: TestAgent; free: Resources }>();
  readonly #sessions = new Map<string, Session>();
  readonly #filters = new Map<string, Filter>();
  readonly #unacknowledged = new Map<string, StatusEvent>();
  readonly #operations: TestOperations;
  #allocating = false;

  constructor(options: TestMasterOptions) {
    this.#options = options;
    this.#operations = new TestOperations(options.random);
    this.#prefix = options.prefix ?? 'mesq';
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
    const resources = parseResources(agent.resources);
    if (resources instanceof Fault) throw new Error(resources.message);
    this.#agents.set(agent.name, { agent, free: resources });
    this.#allocateSoon();
  }

  /** What an agent has left beside its tasks and offers. */
  free(agent: string): Resources {
    return this.#agents.get(agent)?.free ?? [];
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
    for (const offer of [...this.offers.values()]) this.#takeBack(offer);
    for (const session of this.#sessions.values()) session.connected = false;
    this.#filters.clear();
    this.leads();
  }

  /** Sends every update again that was not acknowledged. */
  repeatUpdates(): void {
    for (const [framework, session] of this.#sessions) {
      if (!session.connected) continue;
      this.#tell(
        framework,
        [...this.#unacknowledged.values()].filter((status) => status.framework === framework),
      );
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
      this.#takeBack(offer);
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
      this.#takeBack(offer);
      this.#event(offer.framework, { type: 'RESCIND', offers: [offer.offer] });
    }
    for (const task of this.tasks.values()) {
      if (task.agent !== name) continue;
      if (state === 'unreachable') task.update('TASK_UNREACHABLE', { reason: 'AGENT_DISCONNECTED' });
      else task.update('TASK_GONE_BY_OPERATOR', { reason: 'AGENT_REMOVED_BY_OPERATOR' });
    }
    this.#agents.delete(name);
    for (const [framework, { connected }] of this.#sessions)
      if (connected) this.#event(framework, { type: 'FAILURE', agent: name, state });
  }

  /** Forgets a task, as after the loss of all masters. */
  forget(task: string): void {
    for (const [key, known] of this.tasks) if (known.info.task === task) this.tasks.delete(key);
  }

  /** Says who leads, on its own broker: itself, unless told otherwise. `urls`: where that one is. */
  leads(leader = 'm1', term = this.term, urls: readonly string[] = []): void {
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
    if (session?.connected !== true) {
      this.#event(framework, { type: 'ERROR', fault: new Fault('NOT_REGISTERED') });
      return;
    }
    switch (call.type) {
      case 'UPDATE_FRAMEWORK':
        session.roles = call.roles;
        session.suppressed = new Set(call.suppressed);
        this.#allocateSoon();
        break;
      case 'ACCEPT':
        this.#accept(framework, call);
        break;
      case 'DECLINE':
        for (const id of call.offers) this.#return(id, call.refuseMs);
        break;
      case 'REVIVE':
        for (const role of call.roles.length === 0 ? session.roles : call.roles) this.#revive(framework, session, role);
        this.#allocateSoon();
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
        for (const { task } of call.tasks) {
          for (const known of this.#live(framework, task)) (this.#options.onKill ?? killed)(known);
        }
        break;
      case 'ACKNOWLEDGE':
        for (const { uuid } of call.updates) this.#unacknowledged.delete(uuid);
        break;
      case 'SHOW':
        this.#show(framework, call.things);
        break;
      case 'RECONCILE':
        this.#reconcile(framework, call.tasks);
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
      case 'TEARDOWN':
        for (const task of this.tasks.values())
          if (task.framework === framework && !isTerminal(task.state)) killed(task);
        this.#sessions.delete(framework);
        break;
    }
  }

  #subscribe(framework: string, roles: readonly string[], suppressed: readonly string[]): void {
    const store = this.#sessions.get(framework)?.store ?? new TestStore();
    for (const offer of [...this.offers.values()]) if (offer.framework === framework) this.#takeBack(offer);
    this.#sessions.set(framework, { roles, suppressed: new Set(suppressed), store, connected: true });
    this.#event(framework, { type: 'SUBSCRIBED', framework, cluster: 'test', term: this.term, offerMs: 30_000 });
    this.repeatUpdates();
    this.#allocateSoon();
  }

  #revive(framework: string, session: Session, role: string): void {
    session.suppressed.delete(role);
    for (const key of [...this.#filters.keys()]) if (key.startsWith(`${framework} ${role} `)) this.#filters.delete(key);
  }

  #accept(
    framework: string,
    { offers, operations, refuseMs }: Extract<MessageOf<typeof CALLS>, { type: 'ACCEPT' }>,
  ): void {
    const held = offers.map((id) => this.offers.get(id));
    const offer = held.includes(undefined) ? undefined : held[0];
    for (const operation of operations) {
      if ('tasks' in operation) {
        for (const task of operation.tasks) this.#place(framework, offer, task);
        continue;
      }
      const status = this.#operations.operate(framework, offer, operation);
      if (status !== undefined) this.#event(framework, { type: 'UPDATE_OPERATION_STATUS', updates: [status] });
    }
    for (const id of offers) this.#return(id, refuseMs);
  }

  #place(framework: string, offer: Offer | undefined, task: TaskInfo): void {
    const known = this.tasks.get(`${framework} ${task.task} ${task.attempt}`);
    if (known !== undefined) this.#tell(framework, [this.#statusOf(known)]);
    else if (offer === undefined) this.#drop(framework, task, 'the offer is gone');
    else this.#launch(offer, task);
  }

  #launch(offer: Offer, info: TaskInfo): void {
    const left = contains(offer.resources, info.resources) ? subtract(offer.resources, info.resources) : undefined;
    this.launches.push({ task: info.task, attempt: info.attempt, agent: offer.name });
    if (left === undefined) {
      this.#drop(offer.framework, info, 'the tasks need more than the offer holds');
      return;
    }
    offer.resources = left;
    const { framework, name: agent } = offer;
    let sequence = 0;
    const task: TestTask = {
      framework,
      info,
      agent,
      state: 'TASK_STAGING',
      update: (state, details = {}) => {
        if (isTerminal(task.state)) return;
        task.state = state;
        const status = {
          ...this.#statusOf(task),
          ...details,
          sequence: ++sequence,
          uuid: randomWord(this.#options.random, 16),
          acknowledge: true,
        };
        this.#unacknowledged.set(status.uuid, status);
        if (this.#sessions.get(framework)?.connected === true) this.#tell(framework, [status]);
        if (isTerminal(state)) this.#give(agent, info.resources);
      },
    };
    this.tasks.set(`${framework} ${info.task} ${info.attempt}`, task);
    const { onLaunch, clock } = this.#options;
    if (onLaunch !== undefined) onLaunch(task);
    else {
      task.update('TASK_RUNNING');
      clock.after(0, () => task.update('TASK_FINISHED', { exitCode: 0 }));
    }
  }

  #drop(framework: string, { task, attempt }: TaskInfo, message: string): void {
    const uuid = randomWord(this.#options.random, 16);
    this.#tell(framework, [
      {
        framework,
        task,
        attempt,
        restart: 0,
        uuid,
        sequence: 0,
        state: 'TASK_DROPPED',
        reason: 'INVALID_OFFERS',
        message,
        acknowledge: false,
      },
    ]);
  }

  #reconcile(framework: string, asked: readonly { task: string; attempt?: number | undefined }[]): void {
    if (asked.length === 0) {
      this.#tell(
        framework,
        [...this.tasks.values()]
          .filter((task) => task.framework === framework && !isTerminal(task.state))
          .map((task) => this.#statusOf(task)),
      );
      return;
    }
    for (const { task, attempt } of asked) {
      const known = [...this.tasks.values()]
        .filter((one) => one.framework === framework && one.info.task === task)
        .at(-1);
      const uuid = randomWord(this.#options.random, 16);
      this.#tell(framework, [
        known === undefined || (attempt !== undefined && known.info.attempt < attempt)
          ? {
              framework,
              task,
              attempt: attempt ?? 0,
              restart: 0,
              uuid,
              sequence: 0,
              state: 'TASK_UNKNOWN',
              reason: 'RECONCILIATION',
              acknowledge: false,
            }
          : this.#statusOf(known),
      ]);
    }
  }

  #statusOf({ framework, info, agent, state }: TestTask): StatusEvent {
    const uuid = randomWord(this.#options.random, 16);
    return {
      framework,
      task: info.task,
      attempt: info.attempt,
      restart: 0,
      uuid,
      sequence: 0,
      state,
      agent,
      agentName: agent,
      acknowledge: false,
    };
  }

  #tell(framework: string, updates: readonly StatusEvent[]): void {
    for (const part of cut(updates, LIMITS.partBytes, LIMITS.tasksPerMessage)) {
      if (part.length > 0) this.#event(framework, { type: 'UPDATE', updates: part });
    }
  }

  #live(framework: string, name: string): TestTask[] {
    return [...this.tasks.values()].filter(
      ({ framework: owner, info, state }) => owner === framework && info.task === name && !isTerminal(state),
    );
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

  /** Ends an offer: its rest goes back, hidden from the role for a while. */
  #return(id: string, refuseMs = 5_000): void {
    const offer = this.offers.get(id);
    if (offer === undefined) return;
    const until = this.#options.clock.monotonic() + (refuseMs < 0 ? 5_000 : refuseMs);
    if (refuseMs !== 0) {
      this.#filters.set(`${offer.framework} ${offer.role} ${offer.agent}`, { until, resources: offer.resources });
      this.#options.clock.after(until - this.#options.clock.monotonic(), () => this.#allocateSoon());
    }
    this.#takeBack(offer);
    this.#allocateSoon();
  }

  #takeBack(offer: Offer): void {
    this.offers.delete(offer.offer);
    this.#give(offer.name, offer.resources);
  }

  #give(agent: string, resources: Resources): void {
    const known = this.#agents.get(agent);
    if (known !== undefined) known.free = add(known.free, resources);
    this.#allocateSoon();
  }

  #allocateSoon(): void {
    if (this.#allocating) return;
    this.#allocating = true;
    this.#options.clock.after(0, () => {
      this.#allocating = false;
      this.#allocate();
    });
  }

  #allocate(): void {
    for (const [framework, session] of this.#sessions) {
      if (!session.connected) continue;
      for (const role of session.roles.filter((one) => !session.suppressed.has(one))) {
        const offers: Offer[] = [];
        for (const { agent, free } of this.#agents.values()) {
          if (free.length === 0 || this.#isFiltered(`${framework} ${role} ${agent.name}`, free)) continue;
          offers.push(this.#offer(framework, role, agent, free));
        }
        for (const part of cut(offers, LIMITS.partBytes, LIMITS.operations)) {
          if (part.length > 0) this.#event(framework, { type: 'OFFERS', offers: part });
        }
      }
    }
  }

  #offer(
    framework: string,
    role: string,
    { name, hostname = name, attributes = [] }: TestAgent,
    resources: Resources,
  ): Offer {
    const offer: Offer = {
      offer: randomWord(this.#options.random, 16),
      framework,
      role,
      agent: name,
      name,
      hostname,
      resources,
      attributes,
    };
    this.offers.set(offer.offer, offer);
    const known = this.#agents.get(name);
    if (known !== undefined) known.free = [];
    return offer;
  }

  #isFiltered(key: string, free: Resources): boolean {
    const filter = this.#filters.get(key);
    return filter !== undefined && filter.until > this.#options.clock.monotonic() && contains(filter.resources, free);
  }
}

function killed(task: TestTask): void {
  task.update('TASK_KILLED', { reason: 'KILLED_BY_REQUEST' });
}
