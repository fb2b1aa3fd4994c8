import { attributeText } from '../protocol/attributes.ts';
import type { TaskView } from '../protocol/job.ts';
import { parseTaskName } from '../protocol/job.ts';
import type { AgentView, FrameworkView, MasterView, OfferView } from '../protocol/operator.ts';
import { add } from '../protocol/resource-arithmetic.ts';
import { formatResources, type Resources } from '../protocol/resources.ts';
import { isTerminal } from '../protocol/task.ts';
import type { AgentSessions } from './agent-sessions.ts';
import type { FrameworkSessions } from './framework-sessions.ts';
import { type InverseOffers, unavailabilityOf } from './inverse-offers.ts';
import type { Leader } from './leader.ts';
import type { OfferBook, OpenOffer } from './offers/offer-book.ts';
import {
  type AgentRecord,
  type FinishedTask,
  type MaintenanceWindow,
  type TaskRecord,
  tasksOfAgent,
} from './registry/registry.ts';

/** What people are shown of the cluster: one shape for the operator API, the CLI and `state/`. */
export interface ViewSources {
  readonly leader: Leader;
  readonly agents: AgentSessions;
  readonly frameworks: FrameworkSessions;
  readonly book: OfferBook;
  readonly inverse: InverseOffers;
}

export function agentView({ leader, agents, book, inverse }: ViewSources, agent: AgentRecord): AgentView {
  const live = tasksOfAgent(leader.registry, agent.agent).filter(({ state }) => !isTerminal(state));
  const reachable = agent.state === 'active' && !agents.connected(agent.agent) ? 'disconnected' : agent.state;
  // What somebody asked for is told before what is merely so.
  const state =
    agent.drain !== undefined && reachable === 'active' ? (live.length > 0 ? 'draining' : 'drained') : reachable;
  const when = unavailabilityOf(agent);
  const wish = agent.drain?.wish === undefined ? {} : { wish: agent.drain.wish };
  return {
    id: agent.agent,
    name: agent.name,
    state,
    hostname: agent.hostname,
    attributes: Object.fromEntries(agent.attributes.map((attribute) => [attribute.name, attributeText(attribute)])),
    resources: {
      total: formatResources(agent.resources),
      allocated: formatResources(sum(live.map(({ info }) => info.resources))),
      offered: formatResources(sum(book.ofAgent(agent.agent).map(({ resources }) => resources))),
    },
    tasks: live.length,
    epoch: agent.epoch,
    lastSeen: agents.lastSeenMs(agent),
    ...(agent.window === undefined ? {} : { window: windowView(agent.window) }),
    ...(when === undefined ? {} : { drain: { deadline: when.startMs, ...wish, ...inverse.answers(agent.agent) } }),
  };
}

function windowView({ startMs, durationMs }: MaintenanceWindow): NonNullable<AgentView['window']> {
  return { start: startMs, end: durationMs === undefined ? null : startMs + durationMs };
}

function sum(all: readonly Resources[]): Resources {
  return all.reduce<Resources>((total, resources) => add(total, resources), []);
}

/** All masters, as the leader sees them: of the others, what they have acknowledged lately. */
export function masterViews({ leader }: Pick<ViewSources, 'leader'>): MasterView[] {
  const { world, term } = leader;
  const { membership, commitIndex, followers } = world.quorum.standing();
  const { voters, learners } = membership;
  return [...voters, ...learners].map((member) => {
    const follower = followers.get(member.id);
    const own = member.id === world.id;
    return {
      id: member.id,
      url: world.quorum.urlsOf(member)[0] ?? '',
      role: own ? 'leader' : follower?.active === true ? 'follower' : 'unreachable',
      term,
      commitIndex: own ? commitIndex : Math.min(commitIndex, follower?.match ?? 0),
      version: own ? world.version : world.quorum.versionOf(member.id),
      voter: voters.includes(member),
    };
  });
}

export function frameworkView({ leader, frameworks, book }: ViewSources, framework: string): FrameworkView {
  const live = [...leader.registry.tasks.values()].filter(
    (task) => task.framework === framework && !isTerminal(task.state),
  );
  const roles = leader.registry.frameworks.get(framework)?.roles ?? [];
  return {
    id: framework,
    name: framework,
    role: roles.join(','),
    roles: [...roles],
    state: frameworks.active(framework) ? 'active' : 'disconnected',
    tasks: live.length,
    allocated: formatResources(sum(live.map(({ info }) => info.resources))),
    offered: formatResources(sum(book.ofFramework(framework).map(({ resources }) => resources))),
  };
}

export function offerView(
  { leader }: Pick<ViewSources, 'leader'>,
  { offer, framework, role, agent, resources, createdMs }: OpenOffer,
): OfferView {
  return {
    id: offer,
    framework,
    role,
    agent: leader.registry.agents.get(agent)?.name ?? agent,
    resources: formatResources(resources),
    created: createdMs,
  };
}

export function offerViews({ leader, book }: ViewSources): OfferView[] {
  return [...book.all()].map((offer) => offerView({ leader }, offer));
}

export function taskView({ leader }: ViewSources, task: TaskRecord): TaskView {
  const { framework, info } = task;
  return {
    ...named(info.task),
    framework,
    attempt: info.attempt,
    restart: task.restart,
    state: task.state,
    reason: task.reason ?? null,
    message: task.message ?? null,
    agent: leader.registry.agents.get(task.agent)?.name ?? task.agent,
    exitCode: task.exitCode ?? null,
    output: task.output ?? null,
    healthy: task.healthy ?? null,
    created: task.createdMs,
    started: task.startedMs ?? null,
    finished: task.finishedMs ?? null,
  };
}

export function finishedView({ leader }: ViewSources, task: FinishedTask): TaskView {
  return {
    ...named(task.task),
    framework: task.framework,
    attempt: task.attempt,
    restart: task.restart,
    state: task.state,
    reason: task.reason ?? null,
    message: task.message ?? null,
    agent: leader.registry.agents.get(task.agent)?.name ?? task.agent,
    exitCode: task.exitCode ?? null,
    output: { stdout: task.stdout, stderr: task.stderr },
    healthy: null,
    created: task.createdMs,
    started: task.startedMs ?? null,
    finished: task.finishedMs,
  };
}

/** A task named `job.index` belongs to an array; any other is a job of its own. */
function named(task: string): { id: string; job: string; index: number } {
  const parsed = parseTaskName(task);
  return { id: task, job: parsed?.job ?? task, index: parsed?.index ?? 0 };
}
