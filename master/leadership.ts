import { AGENT_UP, BULK, PRESENCE } from '../protocol/agent-link.ts';
import { UPLOADS } from '../protocol/blob-link.ts';
import { type Encoding, encodingOf, type MessageOf, type MessageTable, read } from '../protocol/envelope.ts';
import { Fault } from '../protocol/faults.ts';
import { REQUESTS } from '../protocol/operator.ts';
import { salvageAccept } from '../protocol/salvage-accept.ts';
import { salvageUpdate } from '../protocol/salvage-update.ts';
import { CALLS, isBuiltIn } from '../protocol/scheduler.ts';
import type { Address } from '../protocol/topics.ts';
import { type AgentDesk, handleAgentMessage, handlePresence, refuseMessage } from './agent-messages.ts';
import { AgentReports } from './agent-reports.ts';
import { AgentSessions } from './agent-sessions.ts';
import { AgentStatsDesk } from './agent-stats.ts';
import { BlobReading } from './blob-reading.ts';
import { ClientSessions } from './client-sessions.ts';
import { Dispatch } from './dispatch.ts';
import { Drains } from './drains.ts';
import { EventFeed } from './event-feed.ts';
import { ExecutorLink } from './executor-link.ts';
import { FrameworkSessions } from './framework-sessions.ts';
import { InverseOffers } from './inverse-offers.ts';
import type { Leader, World } from './leader.ts';
import { LostTasks } from './lost-tasks.ts';
import { Offering } from './offering.ts';
import { Operations } from './operations.ts';
import { answerChanges, handleRequest, type OperatorDesk, refuseRequest } from './operator-requests.ts';
import { OutputStreams } from './output-streams.ts';
import { PartialLists } from './partial-lists.ts';
import { Reactions } from './reactions.ts';
import type { RegistryEvent } from './registry/events.ts';
import type { Registry } from './registry/registry.ts';
import { handleCall, type SchedulerDesk } from './scheduler-calls.ts';
import { ShownThings } from './shown-things.ts';
import { handleSpoiledAccept } from './spoiled-accept.ts';
import { StateTree } from './state-tree.ts';
import { Uploads } from './uploads.ts';

/** What starts when a term is won, and stops when it is lost. Everything in here dies with the term. */
export class Leadership {
  readonly #world: World;
  readonly #agents: AgentSessions;
  readonly #frameworks: FrameworkSessions;
  readonly #dispatch: Dispatch;
  readonly #offering: Offering;
  readonly #state: StateTree;
  readonly #reports: AgentReports;
  readonly #lost: LostTasks;
  readonly #drains: Drains;
  readonly #operations: Operations;
  readonly #agentDesk: AgentDesk;
  readonly #schedulerDesk: SchedulerDesk;
  readonly #operatorDesk: OperatorDesk;
  readonly #reactions: Reactions;
  readonly #streams: OutputStreams;
  readonly #uploads: Uploads;
  readonly #stats: AgentStatsDesk;

  constructor(world: World, registry: Registry, term: number, propose: Leader['propose']) {
    this.#world = world;
    this.#state = new StateTree(world);
    const shown = new ShownThings(this.#state, world.counters);
    const leader: Leader = {
      world,
      registry,
      term,
      propose,
      show: (framework, things) => shown.show(framework, things),
      wallMs: () => world.clock.wall(),
    };
    const feed = new EventFeed(world);
    const clients = new ClientSessions(leader);
    this.#frameworks = new FrameworkSessions(leader);
    this.#offering = new Offering(leader, this.#frameworks);
    this.#agents = new AgentSessions(leader, {
      connected: (agent) => this.#reactions.connected(agent),
      disconnected: (agent) => this.#reactions.disconnected(agent),
    });
    this.#dispatch = new Dispatch(leader, this.#agents);
    this.#streams = new OutputStreams(leader, this.#agents, clients);
    this.#uploads = new Uploads(leader, clients);
    this.#stats = new AgentStatsDesk(leader, this.#agents, clients);
    this.#reports = new AgentReports(leader);
    this.#lost = new LostTasks(leader);
    this.#drains = new Drains(leader, () => this.#frameworks.withCapability('TASK_KILLING_STATE'));
    this.#operations = new Operations(leader, this.#frameworks, this.#offering);
    const inverse = new InverseOffers(leader, this.#frameworks, (agent) => this.#reactions.answered(agent));
    for (const agent of leader.registry.agents.values()) if (agent.state !== 'gone') inverse.announce(agent);
    const sources = { leader, agents: this.#agents, frameworks: this.#frameworks, book: this.#offering.book, inverse };
    const executors = new ExecutorLink(leader, this.#agents, this.#frameworks);
    this.#agentDesk = {
      leader,
      agents: this.#agents,
      dispatch: this.#dispatch,
      executors,
      reading: new BlobReading(leader, this.#agents),
      stats: this.#stats,
      feed,
      lists: new PartialLists(),
      reports: this.#reports,
    };
    this.#schedulerDesk = {
      leader,
      agents: this.#agents,
      frameworks: this.#frameworks,
      clients,
      offering: this.#offering,
      executors,
      operations: this.#operations,
      inverse,
    };
    this.#operatorDesk = {
      ...sources,
      clients,
      offering: this.#offering,
      streams: this.#streams,
      uploads: this.#uploads,
      stats: this.#stats,
      feed,
      entered: new Map(),
      waiting: new Map(),
      early: [],
      changes: [],
    };
    this.#reactions = new Reactions(
      this.#schedulerDesk,
      this.#operatorDesk,
      this.#dispatch,
      this.#state,
      shown,
      this.#lost,
      this.#drains,
      feed,
    );
    this.#state.start();
    this.#reactions.showAll();
    leader.world.counters.onCount(() => this.#reactions.showCluster());
  }

  stop(): void {
    this.#world.counters.onCount(undefined);
    for (const part of [
      this.#agents,
      this.#frameworks,
      this.#dispatch,
      this.#offering,
      this.#state,
      this.#reports,
      this.#lost,
      this.#drains,
      this.#operations,
      this.#uploads,
      this.#stats,
    ])
      part.stop();
  }

  /** One batch of committed commands was applied. */
  applied(events: readonly RegistryEvent[]): void {
    for (const event of events) this.#reactions.react(event);
    this.#dispatch.flush();
    this.#frameworks.flush();
    this.#offering.flush();
    this.#release();
    answerChanges(this.#operatorDesk);
  }

  /** Requests that came before the built-in framework had subscribed. */
  #release(): void {
    if (this.#operatorDesk.early.length === 0 || !this.#frameworks.active('batch')) return;
    for (const ask of this.#operatorDesk.early.splice(0)) ask();
  }

  /**
   * One message from outside; the speaker is who the topic says, `role` what its connection stood as. What cannot be read is
   * counted with its reason.
   */
  message(address: Address, payload: Uint8Array, role?: string): void {
    const { kind, name = '', session = '' } = address;
    if (payload.length === 0) return;
    switch (kind) {
      case 'up':
        return this.#take(
          kind,
          name,
          AGENT_UP,
          this.#agents.unpacked(name, payload),
          (message, encoding) => handleAgentMessage(this.#agentDesk, name, message, encoding),
          (fault) => {
            refuseMessage(this.#agentDesk, name, fault, encodingOf(payload));
            const salvaged = fault.code === 'BAD_SHAPE' ? salvageUpdate(payload) : undefined;
            if (salvaged !== undefined) handleAgentMessage(this.#agentDesk, name, salvaged.update, salvaged.encoding);
          },
        );
      case 'presence':
        return this.#take(kind, name, PRESENCE, payload, (message) => handlePresence(this.#agentDesk, name, message));
      case 'agentBulk':
        return this.#take(kind, name, BULK, payload, (message) => this.#streams.chunk(name, message));
      case 'call':
        return this.#take(
          kind,
          name,
          CALLS,
          payload,
          (message, encoding) => {
            handleCall(this.#schedulerDesk, name, message, encoding);
            this.#release();
          },
          (fault) => {
            const salvaged = fault.code === 'BAD_SHAPE' ? salvageAccept(payload) : undefined;
            if (salvaged === undefined) this.#frameworks.refuse(name, fault, encodingOf(payload));
            else handleSpoiledAccept(this.#schedulerDesk, name, salvaged);
          },
        );
      case 'upload':
        return this.#take(kind, name, UPLOADS, payload, ({ data }) => this.#uploads.put({ name, role, session }, data));
      case 'request':
        return this.#take(
          kind,
          name,
          REQUESTS,
          payload,
          (message, encoding) => {
            this.#operatorDesk.clients.speaks(name, session, encoding);
            handleRequest(this.#operatorDesk, { name, role, session }, message);
          },
          (fault) => refuseRequest(this.#operatorDesk, name, session, payload, fault),
        );
      default:
        this.#world.counters.count(`message on ${kind}`);
    }
  }

  /** The broker saw the connection of an agent or a framework end; `local` is one of either that showed no token. */
  connectionLost(role: 'agent' | 'framework' | 'local', name: string): void {
    if (role !== 'framework') this.#agentDesk.lists.drop(name);
    // The board may have another card by now, and another connection: the end of the old one is noticed late.
    if (role !== 'framework' && this.#world.lastPacketMs(name) === undefined) this.#agents.lost(name);
    if (role !== 'agent' && this.#frameworks.active(name) && !isBuiltIn(name)) {
      this.#frameworks.end(name);
      this.#offering.allocator.setActive(name, false);
      this.#offering.rescindFrom(name, false);
      this.#reactions.showFramework(name);
    }
  }

  #take<Table extends MessageTable>(
    kind: string,
    name: string,
    table: Table,
    payload: Uint8Array,
    handle: (message: MessageOf<Table>, encoding: Encoding) => void,
    refused?: (fault: Fault) => void,
  ): void {
    const taken = read(table, payload);
    if (taken instanceof Fault) {
      const times = this.#world.counters.count(`${kind}: ${taken.code}`);
      // The first, the tenth, the hundredth: a hostile peer fills no log.
      const level = Number.isInteger(Math.log10(times)) ? 'warn' : 'debug';
      this.#world.log[level]('message refused', { kind, name, code: taken.code, message: taken.message, times });
      refused?.(taken);
      return;
    }
    handle(taken.message, taken.encoding);
  }
}
