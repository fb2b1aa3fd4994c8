import type * as v from 'valibot';
import { randomWord } from '../io/random.ts';
import { type AGENT_UP, isOtherMachine, type KnownTask, type Presence, taskDigest } from '../protocol/agent-link.ts';
import { oldGenerationFault, otherClusterFault } from '../protocol/cluster-faults.ts';
import { type Encoding, type MessageOf, PROTOCOL } from '../protocol/envelope.ts';
import { Fault } from '../protocol/faults.ts';
import { LIMITS } from '../protocol/limits.ts';
import { reportedDigest } from '../protocol/reported-digest.ts';
import { shortened } from '../protocol/shortened.ts';
import { isTerminal, type TaskKey } from '../protocol/task.ts';
import type { AgentReports } from './agent-reports.ts';
import { type AgentSessions, goneFault } from './agent-sessions.ts';
import type { AgentStatsDesk } from './agent-stats.ts';
import type { BlobReading } from './blob-reading.ts';
import type { Dispatch } from './dispatch.ts';
import type { EventFeed } from './event-feed.ts';
import type { ExecutorLink } from './executor-link.ts';
import type { Leader } from './leader.ts';
import type { Part, PartialLists } from './partial-lists.ts';
import { registrationRefusal, tellsNews } from './registry/apply-agents.ts';
import type { RegisterAgent } from './registry/commands.ts';
import { type AgentRecord, taskKey, tasksOfAgent } from './registry/registry.ts';

type Up = MessageOf<typeof AGENT_UP>;
type UpOf<Type extends Up['type']> = Extract<Up, { type: Type }>;

export interface AgentDesk {
  readonly leader: Leader;
  readonly agents: AgentSessions;
  readonly dispatch: Dispatch;
  readonly executors: ExecutorLink;
  readonly reading: BlobReading;
  readonly stats: AgentStatsDesk;
  readonly feed: EventFeed;
  readonly lists: PartialLists;
  readonly reports: AgentReports;
}

/** Takes one message of the agent that has this name; the name comes from the topic. */
export function handleAgentMessage(desk: AgentDesk, name: string, message: Up, encoding: Encoding): void {
  desk.agents.speaks(name, encoding);
  if (message.type === 'REGISTER') return register(desk, name, message);
  if (message.type === 'RESUME') return resume(desk, name, message);
  const agent = desk.agents.byName(name);
  if (agent === undefined || agent.state !== 'active' || agent.epoch !== message.epoch) {
    desk.leader.world.counters.count('agent message of another epoch');
    return refuse(
      desk,
      name,
      new Fault('NOT_REGISTERED', `agent ${name} has no session of epoch ${message.epoch}`),
      true,
    );
  }
  desk.agents.heard(agent);
  fromSession(desk, agent, message);
}

function fromSession(desk: AgentDesk, agent: AgentRecord, message: Exclude<Up, { type: 'REGISTER' | 'RESUME' }>): void {
  const { leader, dispatch } = desk;
  const nowMs = leader.wallMs();
  switch (message.type) {
    case 'REPORT':
      return desk.reports.take(agent, message.resources, message.attributes);
    case 'ACCEPTED': {
      // An agent speaks only for itself: what was sent to another one is none of its business.
      const own = ({ framework, task, attempt }: TaskKey): boolean =>
        leader.registry.tasks.get(taskKey(framework, task, attempt))?.agent === agent.agent;
      for (const key of message.tasks) if (own(key)) dispatch.answered(taskKey(key.framework, key.task, key.attempt));
      const refused = message.refused.filter(own);
      if (refused.length < message.refused.length) leader.world.counters.count('launch of another agent refused');
      for (const reason of new Set(refused.map(({ fault }) => refusalReason(fault)))) {
        const some = refused.filter(({ fault }) => refusalReason(fault) === reason);
        leader.propose({
          kind: 'END_TASKS',
          tasks: some.map(({ framework, task, attempt }) => ({ framework, task, attempt })),
          state: 'TASK_DROPPED',
          reason,
          message: shortened(some[0]?.fault.message ?? '', LIMITS.messageLength),
          nowMs,
        });
      }
      return;
    }
    case 'UPDATE':
      return void leader.propose({
        kind: 'UPDATE_TASKS',
        agent: agent.agent,
        epoch: agent.epoch,
        updates: message.updates,
        nowMs,
      });
    case 'TASKS': {
      const tasks = assemble(desk, agent.name, `tasks ${message.request}`, message);
      if (tasks !== undefined && tellsNews(leader.registry, agent, tasks))
        leader.propose({ kind: 'RECONCILE_AGENT', agent: agent.agent, epoch: agent.epoch, tasks, nowMs });
      return;
    }
    case 'VOLUMES_REMOVED':
      dispatch.doomAnswered(agent.agent);
      return void leader.propose({
        kind: 'VOLUMES_REMOVED',
        agent: agent.agent,
        epoch: agent.epoch,
        volumes: message.volumes.map(({ volume, role, problem }) => ({ volume, role, problem })),
        nowMs,
      });
    case 'RENEW':
      if (message.keepAliveMs !== undefined) desk.agents.greeted(agent, message.keepAliveMs);
      return;
    case 'READ_BLOCKS':
      return desk.reading.read(agent, message.blob, message.blocks);
    case 'STATS':
      return desk.stats.answered(agent, message);
    case 'MESSAGE':
      return desk.executors.spoke(agent, message.framework, message.executor, message.data);
    case 'EXECUTOR_ENDED':
      return desk.executors.ended(agent, message.framework, message.executor, message.status);
    case 'IDLE_EXECUTORS':
      return desk.executors.idle(agent, message.executors);
  }
}

/** Collects the parts of a list; undefined until the last is there. A sequence that does not begin at 0 is dropped. */
function assemble(desk: AgentDesk, name: string, key: string, part: Part): KnownTask[] | undefined {
  const list = desk.lists.take(name, key, part);
  if (list === undefined) desk.leader.world.counters.count('list with a missing part');
  return list === 'more' ? undefined : list;
}

/** Whether it is the agent that can start nothing, or the task that asks for what this agent gives to none. */
function refusalReason({ code }: Fault): 'AGENT_DISK_FULL' | 'TASK_INVALID' | 'LAUNCH_FAILED' {
  if (code === 'DISK') return 'AGENT_DISK_FULL';
  return code === 'NOT_ALLOWED' || code === 'UNSUPPORTED' ? 'TASK_INVALID' : 'LAUNCH_FAILED';
}

function register(desk: AgentDesk, name: string, message: UpOf<'REGISTER'>): void {
  const { leader } = desk;
  const fault = unwelcome(desk, name, message);
  if (fault !== undefined) return refuse(desk, name, fault, false);
  const known = leader.registry.agents.get(message.agent);
  if (known?.state === 'gone' && known.name === name && message.cluster !== undefined) return dismiss(desk, known);
  const tasks = assemble(desk, name, `register ${message.incarnation} ${message.counter}`, message);
  if (tasks === undefined) return;
  const { agent, identity, incarnation, counter, hostname, boot, resources, attributes, metered } = message;
  const command: RegisterAgent = {
    kind: 'REGISTER_AGENT',
    agent,
    name,
    machine: identity.machine,
    serial: identity.serial,
    incarnation,
    counter,
    hostname,
    boot,
    resources,
    attributes,
    metered,
    tasks,
    nowMs: leader.wallMs(),
  };
  // Whoever is refused may ask every second for months: that is nothing to write down.
  const refusal = registrationRefusal(leader.registry, command);
  if (refusal === undefined) return void leader.propose(command);
  desk.feed.tell('agent-refused', name, refusal.message);
  refuse(desk, name, refusal, false);
}

function unwelcome({ leader, agents }: AgentDesk, name: string, message: UpOf<'REGISTER'>): Fault | undefined {
  if (message.name !== name)
    return new Fault('NOT_ALLOWED', `the agent connected as ${name} cannot register as ${message.name}`);
  if (message.versions.min > PROTOCOL.max || message.versions.max < PROTOCOL.min) {
    return new Fault(
      'VERSION',
      `agent ${name} speaks ${message.versions.min} to ${message.versions.max}, this master ${PROTOCOL.min} to ${PROTOCOL.max}`,
    );
  }
  const known = leader.registry.agents.get(message.agent);
  if (known !== undefined && known.name !== name && agents.connected(known.agent)) {
    return new Fault('CLONED', `agent ${known.agent} is connected as ${known.name}: this is a copy of its data folder`);
  }
  if (leader.registry.agents.size >= LIMITS.agents && known === undefined) {
    return new Fault('LIMIT', `the cluster has ${LIMITS.agents} agents already`);
  }
  return otherCluster(leader, message.cluster);
}

function otherCluster(
  leader: Leader,
  theirs: { readonly uuid: string; readonly generation: number } | undefined,
): Fault | undefined {
  const { uuid, generation } = leader.registry.cluster ?? { uuid: 'none', generation: 0 };
  if (theirs === undefined) return undefined;
  if (theirs.uuid !== uuid) return otherClusterFault(uuid, theirs);
  return theirs.generation > generation ? oldGenerationFault(generation, theirs.generation) : undefined;
}

/** Commits nothing unless something differs: what the registry has is what the agent says. */
function resume(desk: AgentDesk, name: string, message: UpOf<'RESUME'>): void {
  const { leader, agents, dispatch } = desk;
  const other = otherCluster(leader, message.cluster);
  if (other !== undefined) return refuse(desk, name, other, false);
  const { reported, resources, attributes } = message;
  if (reported === undefined && resources === undefined)
    return refuse(desk, name, new Fault('BAD_SHAPE', 'RESUME has neither `resources` nor `reported`'), false);
  const agent = leader.registry.agents.get(message.agent);
  if (agent?.state === 'gone' && agent.name === name) return dismiss(desk, agent);
  if (agent !== undefined && isOtherMachine(agent, message.identity)) {
    return refuse(
      desk,
      name,
      new Fault('CLONED', `agent ${agent.agent} belongs to the machine of ${agent.name}`),
      false,
    );
  }
  const sameSession =
    agent?.name === name &&
    agent.state === 'active' &&
    agent.epoch === message.epoch &&
    message.cluster.generation === leader.registry.cluster?.generation;
  if (agent === undefined || !sameSession) {
    return refuse(
      desk,
      name,
      new Fault('NOT_REGISTERED', `agent ${name} has no session of epoch ${message.epoch}`),
      true,
    );
  }
  if (message.session !== undefined) agents.presence(name, message.incarnation, message.session, true);
  agents.greeted(agent, message.keepAliveMs);
  const known = agent.reported ?? agent.resources;
  const report = resources === undefined && reported !== reportedDigest(known, agent.attributes);
  agents.answer(agent, {
    type: 'RESUMED',
    agent: agent.agent,
    ...agents.bears(agent),
    ...(report ? { report } : {}),
  });
  if (resources !== undefined) desk.reports.take(agent, resources, attributes);
  if (message.digest === undefined || digestOf(leader, agent) !== message.digest) {
    agents.command(agent, { type: 'RECONCILE', request: randomWord(leader.world.random, 12) });
  }
  dispatch.catchUp(agent, resources === undefined ? agent.attributes : attributes);
  dispatch.flush();
}

/** Over the tasks the agent should have: those it answered and whose end is not known here. */
function digestOf(leader: Leader, agent: AgentRecord): string {
  const tasks = tasksOfAgent(leader.registry, agent.agent).filter(
    ({ state }) => !isTerminal(state) && state !== 'TASK_STAGING',
  );
  return taskDigest(tasks.map(({ framework, info }) => ({ framework, task: info.task, attempt: info.attempt })));
}

/**
 * An agent that was away when it was declared gone: it stops what it still runs, and ends. It asks until it has; one
 * that has left its cluster (no `cluster` in its greeting) would not listen, and is refused like anybody else.
 */
function dismiss({ agents, leader }: AgentDesk, agent: AgentRecord): void {
  leader.world.log.warn('agent dismissed', { agent: agent.name, id: agent.agent });
  agents.command(agent, { type: 'SHUTDOWN', fault: goneFault(agent) });
}

function refuse(desk: AgentDesk, name: string, fault: Fault, again: boolean): void {
  if (!again) desk.leader.world.log.warn('agent refused', { agent: name, code: fault.code, message: fault.message });
  desk.agents.send(name, { type: 'REFUSED', fault, register: again });
}

/** What cannot be read is answered: whoever writes the firmware of an agent sees which field is wrong. Its session stays. */
export function refuseMessage({ agents }: AgentDesk, name: string, fault: Fault, encoding: Encoding): void {
  if (encoding === 'json') agents.speaks(name, encoding);
  agents.send(name, { type: 'REFUSED', fault, register: false });
}

export function handlePresence(
  desk: AgentDesk,
  name: string,
  { incarnation, session, online }: v.InferOutput<typeof Presence>,
): void {
  desk.agents.presence(name, incarnation, session, online);
}
