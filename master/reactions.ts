import { formatAttributes } from '../protocol/attributes.ts';
import { Fault } from '../protocol/faults.ts';
import type { ShownMaster } from '../protocol/operator.ts';
import { isTerminal } from '../protocol/task.ts';
import { dropped } from './accept-call.ts';
import { goneFault } from './agent-sessions.ts';
import type { Dispatch } from './dispatch.ts';
import type { Drains } from './drains.ts';
import type { EventFeed } from './event-feed.ts';
import type { LostTasks } from './lost-tasks.ts';
import type { OperatorDesk } from './operator-requests.ts';
import { attemptsOf } from './registry/apply-tasks.ts';
import type { RegistryEvent } from './registry/events.ts';
import { type AgentRecord, type TaskRecord, taskKey, tasksOfAgent } from './registry/registry.ts';
import { confirm, type SchedulerDesk } from './scheduler-calls.ts';
import type { ShownThings } from './shown-things.ts';
import type { StateTree } from './state-tree.ts';
import { agentView, finishedView, masterViews, offerView, taskView } from './views.ts';

/** What a leader does about each thing that was committed: commit first, then act. */
export class Reactions {
  readonly #desk: SchedulerDesk;
  readonly #operators: OperatorDesk;
  readonly #dispatch: Dispatch;
  readonly #state: StateTree;
  readonly #shown: ShownThings;
  readonly #lost: LostTasks;
  readonly #drains: Drains;
  readonly #feed: EventFeed;

  constructor(
    desk: SchedulerDesk,
    operators: OperatorDesk,
    dispatch: Dispatch,
    state: StateTree,
    shown: ShownThings,
    lost: LostTasks,
    drains: Drains,
    feed: EventFeed,
  ) {
    this.#desk = desk;
    this.#operators = operators;
    this.#dispatch = dispatch;
    this.#state = state;
    this.#shown = shown;
    this.#lost = lost;
    this.#drains = drains;
    this.#feed = feed;
    desk.offering.onOffer = (offer) => this.#showOffer(offer);
    desk.frameworks.onActive = (framework) => this.showFramework(framework);
  }

  react(event: RegistryEvent): void {
    switch (event.kind) {
      case 'CLUSTER_CREATED':
        return this.showCluster();
      case 'AGENT_REGISTERED':
        if (event.formerly !== undefined) this.#showAgentNamed(event.formerly);
        return this.#registered(event.agent, event.counter, event.repeated);
      case 'AGENT_REFUSED':
        this.#feed.tell('agent-refused', event.name, event.fault.message);
        return this.#desk.agents.send(event.name, { type: 'REFUSED', fault: event.fault, register: false });
      case 'AGENT_CHANGED':
        this.#desk.offering.agentChanged(event.agent);
        this.#drains.watch(event.agent);
        return this.#showAgent(event.agent);
      case 'OPERATED':
        this.#desk.operations.applied(event);
        return this.#showChanged(event.agent);
      case 'OPERATION_ENDED':
        return this.#desk.operations.ended(event.operation);
      case 'VOLUMES_DOOMED':
        return this.#dispatch.doom(event.agent);
      case 'DRAIN_SCHEDULED':
        this.#drains.watch(event.agent);
        this.#desk.inverse.announce(event.agent);
        return this.#feed.tell('drain-scheduled', event.agent.name, `agent ${event.agent.name} will be drained`);
      case 'AGENT_DRAINING':
        this.#desk.inverse.announce(event.agent);
        this.#desk.offering.offerable(event.agent.agent, false);
        this.#drains.watch(event.agent);
        this.#feed.tell('agent-draining', event.agent.name, drainingWords(event.agent));
        return this.#showAgent(event.agent);
      case 'AGENT_RESUMED':
        this.#desk.inverse.announce(event.agent);
        this.#drains.watch(event.agent);
        this.#desk.offering.agentChanged(event.agent);
        this.#desk.offering.offerable(event.agent.agent, this.#desk.agents.connected(event.agent.agent));
        this.#feed.tell('agent-resumed', event.agent.name, `agent ${event.agent.name} takes tasks again`);
        return this.#showAgent(event.agent);
      case 'OPERATION_DONE':
        return this.#answer(event.request, () => ({ agent: event.agent.agent }));
      case 'ROLE_CHANGED':
        this.#desk.offering.roleChanged(event.role);
        this.#feed.tell('role-changed', event.role.role, `role ${event.role.role} has another weight or quota`);
        return this.#answer(event.request, () => ({ role: event.role.role }));
      case 'AGENT_UNREACHABLE':
        this.#desk.offering.agentLeft(event.agent.agent);
        // One that hears this never noticed that it was thought lost, and would wait for ever.
        this.#desk.agents.send(event.agent.name, {
          type: 'REFUSED',
          fault: new Fault('NOT_REGISTERED'),
          register: true,
        });
        this.#feed.tell('agent-unreachable', event.agent.name, `agent ${event.agent.name} is unreachable`);
        return this.#agentFailed(event.agent, 'unreachable');
      case 'AGENT_GONE':
        return this.#gone(event.agent, event.request);
      case 'FRAMEWORK_SUBSCRIBED':
        if (event.fresh)
          this.#feed.tell('framework-subscribed', event.framework, `framework ${event.framework} is new`);
        confirm(this.#desk, event.framework);
        this.showCluster();
        return this.showFramework(event.framework);
      case 'FRAMEWORK_REFUSED':
        this.#desk.frameworks.send(event.framework, { type: 'ERROR', fault: event.fault });
        return this.#desk.frameworks.end(event.framework);
      case 'FRAMEWORK_REMOVED':
        this.#desk.offering.rescindFrom(event.framework, true);
        this.#desk.offering.allocator.removeFramework(event.framework);
        this.#desk.frameworks.left(event.framework);
        if (event.request !== undefined) this.#answer(event.request, () => ({ framework: event.framework }));
        this.#desk.executors.removed(event.framework);
        this.#shown.removed(event.framework);
        return this.showFramework(event.framework);
      case 'TASK_PLACED':
        this.#dispatch.launch(event.task);
        this.#desk.inverse.taskPlaced(event.task.framework, event.task.agent);
        return this.#showTask(event.task);
      case 'TASK_REFUSED': {
        const { framework, task, fault, known } = event;
        this.#desk.offering.release(taskKey(framework, task.info.task, task.info.attempt));
        if (known !== undefined && !isTerminal(known.state) && known.state !== 'TASK_UNREACHABLE')
          this.#desk.offering.occupy(known);
        return dropped(this.#desk, framework, task.info, fault);
      }
      case 'TASK_UPDATED':
        return this.#updated(event.task, event.uuid, event.freed, event.tell);
      case 'UPDATE_REPEATED':
        return this.#dispatch.acknowledge(event.agent, event.uuid);
      case 'TASK_ORPHANED':
        this.#feed.tell(
          'task-orphaned',
          event.task.info.task,
          `${event.task.info.task} runs on an agent and nobody here launched it`,
        );
        this.#desk.offering.occupy(event.task);
        this.#desk.frameworks.update(event.task.framework, this.#desk.frameworks.statusOf(event.task));
        return this.#showTask(event.task);
      case 'TASK_FORGOTTEN':
        this.#dispatch.ended(event.key);
        return this.#showFinished(event.key);
      case 'RUN_UNWANTED': {
        // Killed once: should that be lost, the digest of the next connection differs, and the list comes again.
        const { agent, framework, task, attempt } = event;
        return this.#desk.agents.command(agent, { type: 'KILL', tasks: [{ framework, task, attempt }] });
      }
      case 'KILL_WANTED':
        return this.#dispatch.kill(event.task);
      case 'STORED': {
        const { framework, request, version, fault } = event;
        return this.#desk.frameworks.send(framework, {
          type: 'STORED',
          request,
          version,
          ...(fault === undefined ? {} : { fault }),
        });
      }
      case 'TOKEN_CREATED':
        return this.#answer(event.request, (token) => ({ id: event.token.token, token: token ?? '' }));
      case 'AGENT_JOINED':
        return this.#answer(event.request, () => ({ agent: event.name }));
      case 'TOKENS_REVOKED':
        return this.#answer(event.request, () => ({ revoked: event.names.length }));
      case 'REQUEST_REFUSED':
        return this.#answer(event.request, () => event.fault);
    }
  }

  /** An agent of the registry is in contact (again). */
  connected(agent: AgentRecord): void {
    this.#desk.offering.offerable(agent.agent, agent.drain === undefined);
    this.#feed.tell('agent-connected', agent.name, `agent ${agent.name} is in contact`);
    this.#showAgent(agent);
    this.#desk.offering.flush();
  }

  /** A framework has said whether it will have left. */
  answered(agent: string): void {
    this.#showChanged(agent);
  }

  disconnected(agent: AgentRecord): void {
    this.#desk.offering.offerable(agent.agent, false);
    this.#feed.tell('agent-disconnected', agent.name, `agent ${agent.name} is out of contact`);
    this.#showAgent(agent);
  }

  /** Everything a viewer sees at the start of a term. */
  showAll(): void {
    const { registry } = this.#desk.leader;
    this.showCluster();
    for (const agent of registry.agents.values()) this.#showAgent(agent);
    for (const framework of registry.frameworks.keys()) this.showFramework(framework);
    for (const key of [...registry.finished.keys()].slice(-1_000)) this.#showFinished(key);
    for (const task of registry.tasks.values()) this.#showTask(task);
  }

  #registered(agent: AgentRecord, counter: number, repeated: boolean): void {
    const { agents, offering } = this.#desk;
    if (!repeated) {
      offering.agentJoined(agent);
      this.#feed.tell('agent-registered', agent.name, `agent ${agent.name} registered, epoch ${agent.epoch}`);
    }
    if (repeated) agents.heard(agent);
    else agents.greeted(agent);
    agents.command(agent, {
      type: 'REGISTERED',
      agent: agent.agent,
      version: 1,
      incarnation: agent.incarnation,
      counter,
      ...agents.bears(agent),
    });
    this.#dispatch.catchUp(agent);
    this.#drains.watch(agent);
    this.#showAgent(agent);
  }

  #gone(agent: AgentRecord, request: string): void {
    const { agents, offering, leader } = this.#desk;
    offering.agentLeft(agent.agent);
    this.#desk.inverse.withdraw(agent.agent);
    this.#drains.forget(agent.agent);
    agents.forget(agent.agent);
    agents.command(agent, { type: 'SHUTDOWN', fault: goneFault(agent) });
    this.#feed.tell('agent-gone', agent.name, `agent ${agent.name} was declared gone`);
    leader.world.log.info('agent gone', { agent: agent.name });
    this.#agentFailed(agent, 'gone');
    this.#answer(request, () => ({ agent: agent.agent }));
  }

  #agentFailed(agent: AgentRecord, state: 'unreachable' | 'gone'): void {
    const { leader, frameworks } = this.#desk;
    for (const framework of leader.registry.frameworks.keys()) {
      if (frameworks.active(framework)) frameworks.send(framework, { type: 'FAILURE', agent: agent.agent, state });
    }
    this.#showAgent(agent);
  }

  #updated(task: TaskRecord, uuid: string, freed: boolean, tell: boolean): void {
    const { frameworks, offering } = this.#desk;
    const key = taskKey(task.framework, task.info.task, task.info.attempt);
    if (uuid !== '') this.#dispatch.acknowledge(task.agent, uuid);
    if (task.state !== 'TASK_STAGING' && task.state !== 'TASK_UNREACHABLE') this.#dispatch.answered(key);
    if (tell) frameworks.update(task.framework, frameworks.statusOf(task));
    this.#lost.watch(key, task);
    if (freed) {
      offering.release(key);
      this.#desk.inverse.taskEnded(task.framework, task.agent);
    }
    this.#showTask(task);
    if (isTerminal(task.state))
      this.#feed.tell(
        'task-ended',
        task.info.task,
        `${task.info.task} ${task.state}${task.message === undefined ? '' : `: ${task.message}`}`,
      );
  }

  #answer(request: string, body: (token: string | undefined) => object | Fault): void {
    const asker = this.#operators.waiting.get(request);
    if (asker === undefined) return;
    this.#operators.waiting.delete(request);
    const result = body(asker.token);
    const id = request.slice(request.indexOf('/') + 1);
    const answer = result instanceof Fault ? { fault: result } : { body: result };
    this.#operators.clients.reply(asker.client, asker.session, { request: id, part: 0, last: true, ...answer });
  }

  /** What concerns the cluster as a whole, and what was refused, reads differently. */
  showCluster(): void {
    const { leader } = this.#desk;
    const { world, registry } = leader;
    this.#state.touch('cluster', () => ({
      cluster: registry.cluster?.uuid ?? null,
      generation: registry.cluster?.generation ?? 0,
      leader: world.id,
      term: leader.term,
      agents: registry.names.size,
      frameworks: registry.frameworks.size,
      rejected: world.counters.all(),
    }));
    const { voters, learners } = world.quorum.standing().membership;
    for (const { id } of [...voters, ...learners]) {
      this.#state.touch(`masters/${id}`, () => {
        const view = masterViews(this.#operators).find((master) => master.id === id);
        if (view === undefined) return null;
        const { role, version, url, term } = view;
        return { id, role, version, url, term } satisfies ShownMaster;
      });
    }
  }

  #showChanged(id: string): void {
    const agent = this.#desk.leader.registry.agents.get(id);
    if (agent !== undefined) this.#showAgent(agent);
  }

  #showAgent(agent: AgentRecord): void {
    this.#showAgentNamed(agent.name);
    this.showCluster();
  }

  /** What has that name now; nothing, where it was declared gone or has another. */
  #showAgentNamed(name: string): void {
    const current = (): AgentRecord | undefined => this.#desk.agents.byName(name);
    this.#state.touch(`agents/${name}`, () => {
      const agent = current();
      if (agent === undefined) return null;
      const { id, state, hostname, resources, epoch } = agentView(this.#operators, agent);
      return {
        id,
        state,
        hostname,
        attributes: formatAttributes(agent.attributes),
        resources: resources.total,
        epoch,
        registered: new Date(agent.registeredMs).toISOString(),
      };
    });
    this.#showLoad(name);
  }

  #showLoad(name: string): void {
    this.#state.touch(`agents/${name}/load`, () => {
      const agent = this.#desk.agents.byName(name);
      return agent === undefined ? null : loadOf(tasksOfAgent(this.#desk.leader.registry, agent.agent));
    });
  }

  #showOffer(id: string): void {
    this.#state.touch(`offers/${id}`, () => {
      const offer = this.#desk.offering.book.get(id);
      if (offer === undefined) return null;
      const { framework, role, agent, resources, created } = offerView(this.#operators, offer);
      return { framework, role, agent, resources, created: new Date(created).toISOString() };
    });
  }

  /** A framework, and beside it the numbers of its tasks. */
  showFramework(framework: string): void {
    const { frameworks, leader } = this.#desk;
    this.#state.touch(`frameworks/${framework}`, () => {
      const record = leader.registry.frameworks.get(framework);
      if (record === undefined) return null;
      const state = frameworks.active(framework) ? 'active' : 'disconnected';
      return { state, roles: record.roles.slice(0, 100), registered: new Date(record.registeredMs).toISOString() };
    });
    this.#showFrameworkLoad(framework);
  }

  #showFrameworkLoad(framework: string): void {
    const { registry } = this.#desk.leader;
    this.#state.touch(`frameworks/${framework}/load`, () =>
      registry.frameworks.has(framework)
        ? loadOf([...registry.tasks.values()].filter((task) => task.framework === framework))
        : null,
    );
  }

  #showTask(task: TaskRecord): void {
    const key = taskKey(task.framework, task.info.task, task.info.attempt);
    this.#state.task(
      task.framework,
      task.info.task,
      () => taskView(this.#operators, this.#desk.leader.registry.tasks.get(key) ?? task),
      isTerminal(task.state),
    );
    this.#showFrameworkLoad(task.framework);
    const agent = this.#desk.leader.registry.agents.get(task.agent);
    if (agent !== undefined) this.#showLoad(agent.name);
  }

  /** An attempt that is forgotten says nothing where a later one is shown. */
  #showFinished(key: string): void {
    const { registry } = this.#desk.leader;
    const ended = registry.finished.get(key);
    if (ended === undefined) return;
    const { framework, task, attempt } = ended;
    const later =
      attemptsOf(registry, framework, task).length > 0 || registry.finished.has(taskKey(framework, task, attempt + 1));
    if (!later) this.#state.task(framework, task, () => finishedView(this.#operators, ended), true);
  }
}

/** Plotted numbers, apart from the description and small, so that MQTT Explorer keeps a long history of them. */
function loadOf(tasks: readonly TaskRecord[]): object {
  let live = 0;
  const used = new Map<string, number>();
  for (const { state, info } of tasks) {
    if (isTerminal(state)) continue;
    live++;
    for (const resource of info.resources)
      if ('scalar' in resource) used.set(resource.name, (used.get(resource.name) ?? 0) + resource.scalar);
  }
  const amount = (name: string): number => (used.get(name) ?? 0) / 1_000;
  return { tasks: live, cpus: amount('cpus'), mem: amount('mem'), disk: amount('disk'), gpus: amount('gpus') };
}

function drainingWords({ name, drain }: AgentRecord): string {
  const why = drain?.wish === undefined ? '' : `, as its health asks for (${drain.wish})`;
  return `agent ${name} is being drained${why}`;
}
