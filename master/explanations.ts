import type { Constraint } from '../protocol/constraints.ts';
import type { AgentView } from '../protocol/operator.ts';
import { amountOfName, formatQuantities, quantitiesOf } from '../protocol/quantities.ts';
import { allocatableTo, subtract } from '../protocol/resource-arithmetic.ts';
import type { Resources } from '../protocol/resources.ts';
import { isBuiltIn } from '../protocol/scheduler.ts';
import { type Candidate, type Explanation, explain } from './allocator/explain.ts';
import { admits } from './allocator/offer-constraints.ts';
import { isCommon } from './allocator/quotas.ts';
import type { Offering } from './offering.ts';
import { freeOf } from './registry/apply-tasks.ts';
import type { AgentRecord } from './registry/registry.ts';
import { agentView, type ViewSources } from './views.ts';

export interface ExplanationSources extends ViewSources {
  readonly offering: Offering;
}

/** A task that waits. */
export interface Waiting {
  readonly framework: string;
  /** Undefined: of no role in particular. */
  readonly role: string | undefined;
  readonly resources: Resources;
  readonly ports: number;
  readonly constraints: readonly Constraint[];
}

/** Why it waits: agent by agent, and what keeps it waiting everywhere. */
export function explainWaiting(sources: ExplanationSources, waiting: Waiting): Explanation {
  const { registry } = sources.leader;
  const candidates = [...registry.agents.values()]
    .filter(({ state }) => state !== 'gone')
    .map((agent) => candidateOf(sources, agent, waiting));
  return explain(candidates, waiting.resources, waiting.ports, waiting.constraints, reasonsOf(sources, waiting));
}

function candidateOf(sources: ExplanationSources, agent: AgentRecord, { framework, role }: Waiting): Candidate {
  const { book, leader } = sources;
  // What is offered to the asker itself may yet be taken: only tasks hold resources for certain.
  const free = book
    .ofAgent(agent.agent)
    .reduce(
      (rest, offer) => (offer.framework === framework ? rest : subtract(rest, offer.resources)),
      freeOf(leader.registry, agent),
    );
  const { state }: { state: AgentView['state'] } = agentView(sources, agent);
  const about = { agent: agent.name, state, hostname: agent.hostname, attributes: agent.attributes };
  if (role === undefined) return { ...about, total: agent.resources, free };
  const total = allocatableTo(agent.resources, role);
  return {
    ...about,
    total,
    free: allocatableTo(free, role),
    reserved: subtract(agent.resources, total),
    obstacles: obstaclesOf(sources, agent, framework, role),
  };
}

/** What the framework itself has said against that agent. */
function obstaclesOf(
  { frameworks, offering, leader }: ExplanationSources,
  agent: AgentRecord,
  framework: string,
  role: string,
): string[] {
  const obstacles: string[] = [];
  const untilMs = offering.allocator.refusedUntil(framework, role, agent.agent);
  // What the built-in framework refuses, it asks for again with the next job that could use it.
  if (untilMs !== undefined && !isBuiltIn(framework)) {
    const leftMs = Math.max(0, untilMs - leader.world.clock.monotonic());
    obstacles.push(`${framework} refused what is free there, for ${Math.ceil(leftMs / 1_000)} s more`);
  }
  const wish = frameworks.get(framework)?.terms.wishes.find((one) => one.role === role);
  const groups = wish?.constraints ?? [];
  if (groups.length > 0 && !admits(groups, agent, () => []))
    obstacles.push(
      `its wish ${groups.map((group) => group.map(({ text }) => text).join(' and ')).join(' or ')} does not hold`,
    );
  const leftMs = agent.window === undefined ? Number.POSITIVE_INFINITY : agent.window.startMs - leader.wallMs();
  if (leftMs < (wish?.availableMs ?? 0))
    obstacles.push(`it is to be drained in ${Math.max(0, Math.round(leftMs / 1_000))} s`);
  return obstacles;
}

function reasonsOf(
  { frameworks, offering, leader }: ExplanationSources,
  { framework, role, resources }: Waiting,
): string[] {
  if (role === undefined) return [];
  const reasons: string[] = [];
  const { allocator } = offering;
  const session = frameworks.get(framework);
  if (session?.active !== true) reasons.push(`${framework} is not connected`);
  else if (!session.terms.roles.includes(role)) reasons.push(`${framework} takes no offers under role ${role}`);
  else if (allocator.isSuppressed(framework, role))
    reasons.push(`${framework} has suppressed offers under role ${role}`);
  const [top = role] = role.split('/');
  const limits = leader.registry.roles.get(top)?.quota?.limits ?? [];
  const used = allocator.usedOfQuota(top);
  const wanted = quantitiesOf(resources);
  const over = limits.filter(({ name, amount }) => (used.get(name) ?? 0) + amountOfName(wanted, name) > amount);
  if (over.length > 0) {
    const uses = over.map(({ name }) => ({ name, amount: used.get(name) ?? 0 }));
    reasons.push(`role ${top} may have ${formatQuantities(over)} (quota), and has ${formatQuantities(uses)}`);
  }
  const kept = [...allocator.owedToOthers(role)].map(([name, amount]) => ({ name, amount }));
  const free = [...leader.registry.agents.values()]
    .filter(({ state }) => state === 'active')
    .flatMap((agent) => freeOf(leader.registry, agent).filter(isCommon));
  const short = kept.filter(({ name, amount }) => {
    const wants = amountOfName(wanted, name);
    return amount > 0 && wants > 0 && amountOfName(quantitiesOf(free), name) - amount < wants;
  });
  if (short.length > 0) {
    const left = short.map(({ name }) => ({ name, amount: amountOfName(quantitiesOf(free), name) }));
    reasons.push(
      `${formatQuantities(short)} is kept for what other roles are guaranteed (quota), of ${formatQuantities(left)} that is free`,
    );
  }
  return reasons;
}
